import { describe, expect, it } from 'vitest'
import { nameOf, scoreTitle, sentence, sigma, total, where, type Strange } from './answers'
import { columnsIn, moved } from './moves'
import { isReady, jobFirst, offered, ready } from './scores'
import { departures, fraction, local, residual } from './place'

const item: Strange = {
  row: 4, id: 'sdss:spec-1', uid: '9', rank: 2, was_rank: null, value: 3.1, significance: 8.43, percentile: 99.9,
  kind: 'artefact', reasons: [{ name: 'cosmic_ray', kind: 'artefact', share: 0.6, lo_aa: 5000, hi_aa: 5003, text: 'a spike' }],
  lines: ['Hα'], drivers: [{ lo_aa: 6500, hi_aa: 6600, contribution: 0.6, sign: 1 }], judgement: null,
  target_name: null, class: 'STAR', snr: 12, spark: { wave_aa: [6000, 6500, 7000], flux: [1, 2, null], expected: [1, 1, 1] },
}

describe('words', () => {
  it("names an object by its target, else by the survey's id", () => {
    expect(nameOf(item)).toBe('spec-1')
    expect(nameOf({ id: 'a:b:c', target_name: null })).toBe('b:c')
    expect(nameOf({ id: 'x', target_name: '<b>HD 1</b>' })).toBe('<b>HD 1</b>')
  })
  it('says an outlier in one sentence', () => {
    expect(sentence(item, 'known')).toBe(
      'Rank 2, spec-1; 8.4 σ above the usual at its S/N; artefact; a spike; class STAR; judged known',
    )
  })
  it('writes σ and places', () => {
    expect([sigma(12.4), sigma(null), sigma(NaN)]).toEqual(['12 σ', '–', '–'])
    expect([where(1.4, 2.6), where(null, 2)]).toEqual(['1–3 Å', ''])
  })
  it('titles scores, those of a column too', () => {
    expect(scoreTitle('combined')).toBe('Combined')
    expect(scoreTitle('label-truth_obj_class-0a1b2c')).toBe('Label of truth_obj_class')
    expect(scoreTitle('mine')).toBe('mine')
  })
  it('counts one number or one by embedding', () => {
    expect([total(3), total({ a: 2, b: 5 }), total({}), total(null)]).toEqual([3, 5, 0, 0])
  })
})

describe('places', () => {
  it('finds wavelengths among samples, beyond the ends too', () => {
    expect(fraction([1, 2, 3, 4], 1)).toBe(0.125)
    expect(fraction([1, 2, 3, 4], 2.5)).toBe(0.5)
    expect(fraction([1, 2, 3, 4], 9)).toBeGreaterThan(1)
    expect(fraction([1], 5)).toBe(0.5)
  })
  it('marks departures on the spark', () => {
    expect(departures(item)).toEqual([[0.5, 0.5 + 0.2 / 3]])
    expect(departures({ ...item, spark: null })).toEqual([])
  })
  it('subtracts what was expected', () => {
    expect(residual(item.spark!)).toEqual([0, 1, null])
  })
  it('keeps reasons that hold somewhere', () => {
    expect(local([...item.reasons, { ...item.reasons[0]!, lo_aa: null }])).toHaveLength(1)
  })
})

describe('moves', () => {
  it('stays inside', () => {
    expect(moved(-1, 'down', 4, 10)).toBe(0)
    expect(moved(0, 'left', 4, 10)).toBe(0)
    expect(moved(9, 'right', 4, 10)).toBe(9)
    expect(moved(1, 'up', 4, 10)).toBe(1)
    expect(moved(0, 'right', 4, 0)).toBe(-1)
  })
  it('goes down into a shorter last line, but not beyond it', () => {
    expect(moved(7, 'down', 4, 10)).toBe(9)
    expect(moved(8, 'down', 4, 10)).toBe(8)
    expect(moved(1, 'down', 4, 10)).toBe(5)
  })
  it('jumps', () => {
    expect([moved(5, 'home', 4, 10), moved(5, 'end', 4, 10)]).toEqual([0, 9])
  })
  it('counts columns', () => {
    expect([columnsIn(100, 200, 8), columnsIn(408, 200, 8), columnsIn(407, 200, 8)]).toEqual([1, 2, 1])
  })
})

it('tells kept scores from those to be computed', () => {
  const kept = ['mine.pca', 'density.pca', 'density.patch', 'combined.pca'].map((name) => ({ name, score: name.split('.')[0], model: 'pca', count: 3 }))
  expect(ready(kept)).toEqual(['combined', 'density', 'mine'])
  expect(offered(kept)).toEqual(['reconstruction', 'total', 'spectral', 'spatial'])
  expect(isReady(kept, 'total')).toBe(false)
  expect([jobFirst(kept, 'total'), jobFirst(kept, 'density'), jobFirst(kept, 'reconstruction')]).toEqual([true, false, false])
})
