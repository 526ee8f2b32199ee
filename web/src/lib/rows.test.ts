import { describe, expect, it } from 'vitest'
import { combine, hasRow, pack, sorted, unpack, type Combine } from './rows'

const random = (n: number, most: number, seed: number) => {
  let x = seed
  return Array.from({ length: n }, () => (x = (x * 48271) % 2147483647) % most)
}

describe('sets of rows', () => {
  it('are sorted and without repeats', () => {
    expect([...sorted([3, 1, 3, 2, 1])]).toEqual([1, 2, 3])
    expect([...sorted([])]).toEqual([])
  })

  it('combine as sets do', () => {
    for (let seed = 1; seed < 40; seed++) {
      const [a, b] = [random(seed * 3, 60, seed), random(seed * 2, 60, seed + 7)]
      const expected: Record<Combine, (x: number) => boolean> = {
        new: (x) => b.includes(x),
        add: (x) => a.includes(x) || b.includes(x),
        subtract: (x) => a.includes(x) && !b.includes(x),
        intersect: (x) => a.includes(x) && b.includes(x),
      }
      for (const how of Object.keys(expected) as Combine[]) {
        const found = combine(sorted(a), sorted(b), how)
        const wanted = Array.from({ length: 60 }, (_, x) => x).filter(expected[how])
        expect([...found]).toEqual(wanted)
        for (let x = 0; x < 60; x++) expect(hasRow(found, x)).toBe(wanted.includes(x))
      }
    }
  })

  it('are packed for the storage of a tab and come back', () => {
    for (const rows of [[], [0], [0, 1, 127, 128, 129, 5_000_000, 2_000_000_000], random(5000, 1e6, 3)]) {
      expect([...unpack(pack(sorted(rows)))]).toEqual([...sorted(rows)])
    }
  })
})
