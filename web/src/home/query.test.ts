import { describe, expect, it } from 'vitest'
import { asked, coneOf, filterOf, fromParams, isEmpty, ranged, toggled, toParams, whereOf, type Search } from './query'

const isText = (column: string) => column === 'class'

const search: Search = {
  q: "target_name LIKE 'HD %'",
  where: 'snr > 5',
  cone: { ra: 160.25, dec: -59.68, radius: 2 },
  conditions: [
    { column: 'class', kind: 'values', values: ['STAR', "it's | odd\\"] },
    { column: 'sdss.z', kind: 'range', lo: -0.01, hi: 0.5 },
  ],
  sort: '-snr',
  page: 3,
}

describe('a search in the address', () => {
  it('comes back as it went, also with odd values', () => {
    expect(fromParams(toParams(search))).toEqual(search)
  })

  it('leaves out what cannot be read', () => {
    const odd = fromParams({ cone: '1,2', 'range.snr': 'a..b', 'range.z': '..', page: '-4' })
    expect(isEmpty(odd)).toBe(true)
    expect(odd.page).toBe(0)
  })

  it('knows an impossible cone', () => {
    expect(coneOf('10,95,1')).toBeNull()
    expect(coneOf('10,5,0')).toBeNull()
    expect(coneOf('10,-5,1')).toEqual({ ra: 10, dec: -5, radius: 1 })
  })
})

describe('the filter it comes to', () => {
  it('quotes names and doubles quotes in text', () => {
    expect(whereOf(search, isText)).toBe(`(snr > 5) AND class IN ('STAR', 'it''s | odd\\') AND sdss.z >= -0.01 AND sdss.z < 0.5`)
  })

  it('compares numbers and yes and no without quotes, and lets no other text through there', () => {
    expect(filterOf({ column: 'has_flags', kind: 'values', values: ['true'] }, isText)).toBe('has_flags = true')
    expect(filterOf({ column: 'n', kind: 'values', values: ['2', '1 OR 1'] }, isText)).toBe('n = 2')
  })

  it('leaves an open end open, and quotes odd names', () => {
    expect(filterOf({ column: 'map:pca:x', kind: 'range', lo: 3, hi: null }, isText)).toBe('"map:pca:x" >= 3')
    expect(filterOf({ column: 'snr', kind: 'range', lo: null, hi: 3 }, isText)).toBe('snr < 3')
  })

  it('sends only what is asked', () => {
    expect(asked({ ...search, q: '', where: '', cone: null, conditions: [] }, isText)).toEqual({})
  })
})

describe('clicks', () => {
  it('puts a value in and takes it out', () => {
    const once = toggled([], 'class', 'STAR')
    const twice = toggled(once, 'class', 'QSO')
    expect(twice).toEqual([{ column: 'class', kind: 'values', values: ['STAR', 'QSO'] }])
    expect(toggled(toggled(twice, 'class', 'STAR'), 'class', 'QSO')).toEqual([])
  })

  it('replaces a range', () => {
    const once = ranged([], 'snr', [1, 2])
    expect(ranged(once, 'snr', [3, 4])).toEqual([{ column: 'snr', kind: 'range', lo: 3, hi: 4 }])
    expect(ranged(once, 'snr', null)).toEqual([])
  })
})
