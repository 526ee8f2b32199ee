import { describe, expect, it } from 'vitest'
import { circle, fromGalactic, project, separation, unproject } from './projection'

describe('the sky', () => {
  it('goes there and back', () => {
    for (const ra of [0.5, 90, 179, 180, 181, 300, 359.5]) {
      for (const dec of [-88, -30, 0, 12, 88]) {
        const [x, y] = project(ra, dec)
        expect(x * x + y * y).toBeLessThanOrEqual(1 + 1e-9)
        const back = unproject(x, y)!
        expect(separation(ra, dec, ...back)).toBeLessThan(1e-6)
      }
    }
    expect(unproject(0.9, 0.9)).toBeNull()
  })

  it('has right ascension to the left and north up', () => {
    expect(project(200, 0)[0]).toBeLessThan(project(170, 0)[0])
    expect(project(180, 50)[1]).toBeGreaterThan(0)
  })

  it('draws circles of one radius', () => {
    for (const [ra, dec] of circle(350, 80, 15)) expect(separation(350, 80, ra, dec)).toBeCloseTo(15, 6)
  })

  it('knows the Galactic centre and pole', () => {
    expect(separation(...fromGalactic(0, 0), 266.405, -28.936)).toBeLessThan(0.01)
    expect(separation(...fromGalactic(0, 90), 192.8595, 27.1283)).toBeLessThan(0.01)
  })
})
