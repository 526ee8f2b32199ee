import { describe, expect, it } from 'vitest'
import { countText, freeName, search, shareLink, type Stored } from './stored'

const stored = (over: Partial<Stored>): Stored => ({
  sid: 's', name: '', about: '', origin: null, count: 0, owner: 'local', mine: true, shared: false, version: 1, created: 0, changed: 0, missing: 0, revision: 1, ...over,
})

describe('search', () => {
  const all = [
    stored({ sid: 'a', name: 'Odd stars', about: 'broad Hα', changed: 1 }),
    stored({ sid: 'b', name: 'Quasars', origin: { kind: 'map', text: 'lasso on odd corner' }, changed: 2 }),
  ]
  it('finds all words anywhere, the newest first', () => {
    expect(search(all, '').map((s) => s.sid)).toEqual(['b', 'a'])
    expect(search(all, 'ODD').map((s) => s.sid)).toEqual(['b', 'a'])
    expect(search(all, 'odd hα').map((s) => s.sid)).toEqual(['a'])
  })
})

it('tells what is no longer there', () => {
  expect(countText(stored({ count: 1204 }))).toBe('1,204')
  expect(countText(stored({ count: 1204, missing: 3 }))).toBe('1,201 · 3 no longer there')
})

it('finds a free name', () => {
  expect(freeName('odd', [])).toBe('odd')
  expect(freeName('Odd', ['odd', 'odd 2'])).toBe('Odd 3')
  expect(freeName('  ', [])).toBe('Selection')
})

it('shares an address that carries the selection and the view, but no rows', () => {
  expect(shareLink('http://h:1/map?v=1%3Ax&rows=1,2#top', 'abc')).toBe('http://h:1/map?v=1%3Ax&sel=abc')
})
