/**
 * Tables that were handed to other programs: which row of theirs is which observation of ours.
 *
 * What each table has marked is remembered, whoever marked it. A message goes out only where that
 * changes, so that two programs never answer each other's echo. Pure.
 */
import { hasRow } from '../lib/rows'
import type { Value } from './xmlrpc'

export interface SentTable {
  id: string
  url: string
  /** Rows of the archive, rising: place in the table → row. */
  rows: Int32Array
  /** The archive's version that they belong to. */
  version: number
}

interface Known extends SentTable {
  marked: number
  chosen: string
}

export class Tables {
  #list: Known[] = []

  get count(): number {
    return this.#list.length
  }

  /** `selected`: rows that are selected here as it is sent, which is nothing to be told. */
  add(table: SentTable, selected: Int32Array): void {
    const known = { ...table, marked: -1, chosen: '' }
    this.#list.push(known)
    known.chosen = key(places(known, selected))
  }

  /** A row was pointed at here: what is to be told of it. */
  mark(row: number, version: number): { table: SentTable; place: number }[] {
    const out: { table: SentTable; place: number }[] = []
    for (const table of this.#of(version)) {
      const place = placeOf(table.rows, row)
      if (place < 0 || table.marked === place) continue
      table.marked = place
      out.push({ table, place })
    }
    return out
  }

  /** The selection changed here: what is to be told of it. */
  choose(selected: Int32Array, version: number): { table: SentTable; places: Int32Array }[] {
    const out: { table: SentTable; places: Int32Array }[] = []
    for (const table of this.#of(version)) {
      const now = places(table, selected)
      const text = key(now)
      if (text === table.chosen) continue
      table.chosen = text
      out.push({ table, places: now })
    }
    return out
  }

  /** The row that another program marked; −1 where it is no row of ours. */
  marked(params: Record<string, Value>, version: number): number {
    const table = this.#find(params, version)
    const place = number(params.row)
    if (!table || !(place < table.rows.length)) return -1
    table.marked = place
    return table.rows[place]
  }

  /** The rows that another program selected; null where the table is not ours. */
  chosen(params: Record<string, Value>, version: number): Int32Array | null {
    const table = this.#find(params, version)
    const list = params['row-list']
    if (!table || !Array.isArray(list)) return null
    const found = Int32Array.from(new Set(list.map(number).filter((place) => place < table.rows.length))).sort()
    table.chosen = key(found)
    return found.map((place) => table.rows[place])
  }

  /** Whether it is of a table that was sent from an older version: its rows mean nothing now. */
  past(params: Record<string, Value>, version: number): boolean {
    return this.#list.some((table) => table.version !== version && (table.id === params['table-id'] || table.url === params.url))
  }

  /** Whether any table that was sent holds the row. */
  has(row: number, version: number): boolean {
    return this.#of(version).some((table) => hasRow(table.rows, row))
  }

  #of(version: number): Known[] {
    return this.#list.filter((table) => table.version === version)
  }

  #find(params: Record<string, Value>, version: number): Known | undefined {
    const mine = this.#of(version)
    return mine.find((table) => table.id === params['table-id']) ?? mine.find((table) => table.url === params.url)
  }
}

/** A whole number that is not negative; else NaN. */
function number(value: Value | undefined): number {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : NaN
}

function placeOf(rows: Int32Array, row: number): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (rows[middle] < row) low = middle + 1
    else high = middle
  }
  return rows[low] === row ? low : -1
}

/** Places in the table of those of its rows that are selected; both rise, so one walk does it. */
function places(table: SentTable, selected: Int32Array): Int32Array {
  const out: number[] = []
  let i = 0
  for (const row of selected) {
    while (i < table.rows.length && table.rows[i] < row) i++
    if (table.rows[i] === row) out.push(i)
  }
  return Int32Array.from(out)
}

/** Two sets with one text are the same for all that matters here. */
function key(found: Int32Array): string {
  let hash = 2166136261
  for (const place of found) hash = Math.imul(hash ^ place, 16777619) >>> 0
  return `${found.length}:${hash}`
}
