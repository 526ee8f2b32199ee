import { describe, expect, it } from 'vitest'
import { bandsOf, pathOf, rangeOf } from './sparkpath'

const unit = { lo: 0, hi: 1 }

describe('rangeOf', () => {
  it('is not stretched by one spike in two hundred samples', () => {
    const y = Array.from({ length: 200 }, (_, i) => (i === 77 ? 1e6 : i / 199))
    expect(rangeOf(y).hi).toBeLessThan(1.2)
  })
  it('covers what was expected too', () => {
    expect(rangeOf([0, 1], [5, 6]).hi).toBeGreaterThan(6)
  })
  it('is never empty: constant, missing, infinite', () => {
    for (const y of [[3, 3, 3], [0, 0], [], [null, NaN, Infinity]]) {
      const { lo, hi } = rangeOf(y)
      expect(hi).toBeGreaterThan(lo)
      expect(Number.isFinite(hi - lo)).toBe(true)
    }
  })
})

describe('pathOf', () => {
  it('breaks where there is no value', () => {
    expect(pathOf([0, 0.5, null, 1, 1], 10, 10, unit)).toBe('M1.0 10.0L3.0 5.0M7.0 0.0L9.0 0.0')
  })
  it('draws a lone sample as a dot', () => {
    expect(pathOf([null, 0.5, null], 30, 10, unit)).toBe('M15.0 5.0h0')
    expect(pathOf([null, 0.5], 20, 10, unit)).toBe('M15.0 5.0h0')
  })
  it('cuts what lies beyond the range', () => {
    expect(pathOf([-5, 7], 2, 10, unit)).toBe('M0.5 10.0L1.5 0.0')
  })
  it('takes typed arrays', () => {
    expect(pathOf(new Float32Array([0, NaN, 1]), 3, 1, unit)).toBe('M0.5 1.0h0M2.5 0.0h0')
  })
})

describe('bandsOf', () => {
  it('keeps narrow bands visible and inside', () => {
    expect(bandsOf([[0.5, 0.5]], 100)).toEqual([{ x: 50, width: 2 }])
    expect(bandsOf([[1, 1]], 100)).toEqual([{ x: 98, width: 2 }])
  })
  it('leaves out those outside and cuts the rest', () => {
    expect(bandsOf([[-2, -1], [-1, 0.1], [2, 3]], 100)).toEqual([{ x: 0, width: 10 }])
  })
})
