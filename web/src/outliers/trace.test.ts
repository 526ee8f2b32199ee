import { expect, it } from 'vitest'
import { placed, trace, xOf, yOf, type Frame } from './trace'

const frame: Frame = { left: 10, top: 0, width: 100, height: 50, lo_aa: 4000, hi_aa: 5000, lo: 0, hi: 2 }

it('places wavelengths and values, cutting what sticks out', () => {
  expect(xOf(frame, 4500)).toBe(60)
  expect(yOf(frame, 1)).toBe(25)
  expect(yOf(frame, 1e9)).toBeCloseTo(-1)
})

it('breaks a trace where there is no value', () => {
  expect(trace([4000, 4100, 4200, 4300], [0, null, 2, 1], frame)).toBe('M10.0 50.0M30.0 0.0L40.0 25.0')
})

it('keeps labels apart and inside', () => {
  const items = [{ item: 'a', x: 12, wide: 30 }, { item: 'b', x: 20, wide: 30 }, { item: 'c', x: 22, wide: 30 }, { item: 'd', x: 109, wide: 30 }]
  const out = placed(items, 2, 10, 110)
  expect(out.map((p) => [p.item, p.line])).toEqual([['a', 0], ['b', 1], ['d', 0]])
  expect(out[0].x).toBe(25)
  expect(out[2].x).toBe(95)
})
