import { describe, expect, it } from 'vitest'
import { asciiText, asMap, pointOf, refusal, takes } from './messages'
import { Tables } from './tables'

const rows = (...list: number[]) => Int32Array.from(list)
const table = { id: 't', url: 'http://x/t', rows: rows(3, 5, 8, 13), version: 1 }
const sent = (selected = rows()) => {
  const tables = new Tables()
  tables.add(table, selected)
  return tables
}

describe('rows of a table that was sent', () => {
  it('are told by their place in it, and only when that changes', () => {
    const tables = sent()
    expect(tables.mark(8, 1).map((one) => one.place)).toEqual([2])
    expect(tables.mark(8, 1)).toEqual([])
    expect(tables.mark(4, 1)).toEqual([])
    expect(tables.mark(3, 2)).toEqual([]) // rows of another version are others
    expect(tables.mark(3, 1).map((one) => one.place)).toEqual([0])
  })

  it('come back as rows of the archive, by id or by address', () => {
    const tables = sent()
    expect(tables.marked({ 'table-id': 't', url: '', row: '3' }, 1)).toBe(13)
    expect(tables.marked({ url: 'http://x/t', row: '0' }, 1)).toBe(3)
    for (const row of ['4', '-1', '1.5', 'x', ''] as const) expect(tables.marked({ 'table-id': 't', row }, 1)).toBe(-1)
    expect(tables.marked({ 'table-id': 'other', row: '0' }, 1)).toBe(-1)
    expect(tables.marked({ 'table-id': 't' }, 1)).toBe(-1)
    expect(Array.from(tables.chosen({ 'table-id': 't', 'row-list': ['2', '0', '2', '9', 'x'] }, 1)!)).toEqual([3, 8])
    expect(tables.chosen({ 'table-id': 't', 'row-list': 'x' }, 1)).toBeNull()
    expect(tables.chosen({ 'table-id': 'other', 'row-list': ['1'] }, 1)).toBeNull()
    expect(tables.past({ 'table-id': 't' }, 2)).toBe(true)
    expect(tables.past({ 'table-id': 't' }, 1)).toBe(false)
  })

  it('never answer their own echo', () => {
    const tables = sent()
    expect(tables.marked({ 'table-id': 't', row: '1' }, 1)).toBe(5)
    expect(tables.mark(5, 1)).toEqual([]) // what was heard is not said again
    const chosen = tables.chosen({ 'table-id': 't', 'row-list': ['1', '3'] }, 1)!
    expect(tables.choose(chosen, 1)).toEqual([])
    expect(tables.choose(rows(1, 5, 13, 20), 1)).toEqual([]) // more is selected here, nothing of it is in the table
    expect(Array.from(tables.choose(rows(5), 1)[0].places)).toEqual([1])
    expect(tables.choose(rows(), 1)[0].places).toHaveLength(0)
    expect(tables.choose(rows(), 1)).toEqual([])
  })

  it('that were selected when it was sent are nothing new', () => {
    expect(sent(rows(3, 5, 8, 13)).choose(rows(3, 5, 8, 13), 1)).toEqual([])
    expect(sent(rows(3, 5, 8, 13)).choose(rows(3), 1)).toHaveLength(1)
  })
})

describe('messages', () => {
  it('are of printable ASCII', () => {
    expect(asciiText('Ångström −5 “β”\u0000')).toBe('Angstrom -5 ????')
  })

  it('go to whoever subscribed, stars included', () => {
    expect(takes(['table.load.votable'], 'table.load.votable')).toBe(true)
    expect(takes(['table.*'], 'table.load.votable')).toBe(true)
    expect(takes(['*'], 'coord.pointAt.sky')).toBe(true)
    expect(takes(['table.load', 'tab.*'], 'table.load.votable')).toBe(false)
  })

  it('that are wrong are no position', () => {
    expect(pointOf({ ra: '370.5', dec: '-3' })).toEqual({ ra: 10.5, dec: -3 })
    expect(pointOf({ ra: 'x', dec: '0' })).toBeNull()
    expect(pointOf({ ra: '1', dec: '91' })).toBeNull()
    expect(pointOf({})).toBeNull()
  })

  it('are answered with done, or why not', () => {
    expect(refusal({ 'samp.status': 'samp.ok', 'samp.result': {} })).toBeNull()
    expect(refusal({ 'samp.status': 'samp.error', 'samp.error': { 'samp.errortxt': 'Out of memory' } })).toBe('Out of memory')
    expect(refusal('nonsense')).toBe('it could not')
    expect(asMap(['x'])).toEqual({})
  })
})
