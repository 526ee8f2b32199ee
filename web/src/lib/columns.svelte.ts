/** Catalogue columns as typed arrays, all in one fixed shuffled order per archive version. */
import { getArrow } from './api'
import { overview } from './archive.svelte'
import type { Category, Numbers, Table } from './arrow'

export interface NumberColumn {
  kind: 'number'
  name: string
  values: Numbers
  unit: string
  about: string
}

export interface CategoryColumn extends Category {
  kind: 'category'
  name: string
  unit: string
  about: string
}

export type Column = NumberColumn | CategoryColumn

export interface Columns {
  /** Catalogue row of each place in the order; any beginning of it is a fair sample. */
  row: Int32Array
  get(name: string): Column
  /** Place of a row in the order; -1 when it is not there. */
  position(row: number): number
}

class ColumnStore {
  #version = 0
  #row: Int32Array | null = null
  #places: Int32Array | null = null
  #held = new Map<string, Column>()
  #going = new Map<string, Promise<void>>()

  /** All rows of these columns. What is already here is not asked again. */
  async load(names: string[]): Promise<Columns> {
    this.#follow()
    const missing = [...new Set(names)].filter((name) => !this.#held.has(name) && !this.#going.has(name))
    if (missing.length || (!names.length && !this.#row)) this.#ask(missing)
    await Promise.all(names.map((name) => this.#going.get(name)))
    return this.#answer()
  }

  /** The column, if it is here already. */
  peek(name: string): Column | null {
    return this.#version === overview.version ? (this.#held.get(name) ?? null) : null
  }

  position(row: number): number {
    const places = this.#placesOf()
    return row >= 0 && row < places.length ? places[row] : -1
  }

  #follow(): void {
    if (this.#version === overview.version) return
    this.#version = overview.version
    this.#row = this.#places = null
    this.#held.clear()
    this.#going.clear()
  }

  #ask(names: string[]): void {
    const version = this.#version
    const going = getArrow('/columns', { names, version }).then((table) => {
      if (version === this.#version) this.#take(names, table)
    })
    for (const name of names) {
      const one = going.finally(() => this.#going.get(name) === one && this.#going.delete(name))
      this.#going.set(name, one)
    }
  }

  #take(names: string[], table: Table): void {
    const row = Int32Array.from(table.numbers('row'))
    if (this.#row && !same(this.#row, row)) {
      this.#held.clear() // another order than before: nothing held lines up with it any more
      this.#places = null
    }
    this.#row = row
    for (const name of names) {
      const { unit, about } = table.field(name)
      const head = { name, unit, about }
      if (table.isCategory(name)) this.#held.set(name, { kind: 'category', ...head, ...table.category(name) })
      else this.#held.set(name, { kind: 'number', ...head, values: table.numbers(name) })
    }
  }

  #answer(): Columns {
    const row = this.#row ?? new Int32Array(0)
    const held = new Map(this.#held)
    return {
      row,
      position: (one) => this.position(one),
      get: (name) => {
        const column = held.get(name)
        if (!column) throw new Error(`Column ${name} was not loaded.`)
        return column
      },
    }
  }

  #placesOf(): Int32Array {
    if (this.#places || !this.#row) return this.#places ?? new Int32Array(0)
    let most = -1
    for (const row of this.#row) if (row > most) most = row
    const places = new Int32Array(most + 1).fill(-1)
    for (let i = 0; i < this.#row.length; i++) places[this.#row[i]] = i
    this.#places = places
    return places
  }
}

/** Ends, middle and length decide: orders of one version are the same or differ everywhere. */
function same(a: Int32Array, b: Int32Array): boolean {
  const middle = a.length >> 1
  return a.length === b.length && a[0] === b[0] && a[middle] === b[middle] && a.at(-1) === b.at(-1)
}

export const columns = new ColumnStore()
