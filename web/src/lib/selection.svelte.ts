/**
 * The one selection that every screen shares.
 *
 * Rows belong to an archive version. When the version moves, the rows are found again by identity
 * through the server; those no longer there are counted in `missing`.
 */
import { getArrow, getJSON, postArrow } from './api'
import { overview } from './archive.svelte'
import { count as countText } from './format'
import { acts } from './history.svelte'
import { combine, hasRow, pack, sorted, unpack, type Combine } from './rows'

export type { Combine } from './rows'

/** Where a selection came from: a lasso, a filter, neighbours of …; said in words. */
export interface Origin {
  kind: string
  text: string
}

/** The stored selection that the current rows are equal to, if any. */
export interface Saved {
  sid: string
  name: string
  revision: number
}

interface Held {
  rows: Int32Array
  origin: Origin | null
  saved: Saved | null
}

const KEPT = 'spectrarium.selection'
const NONE: Held = { rows: new Int32Array(0), origin: null, saved: null }

class Selection {
  #held = $state.raw<Held>(NONE)
  /** The archive version that the rows belong to. */
  version = $state(0)
  /** How many could not be found again in the version that is open now. */
  missing = $state(0)

  get rows(): Int32Array {
    return this.#held.rows
  }

  get count(): number {
    return this.#held.rows.length
  }

  get origin(): Origin | null {
    return this.#held.origin
  }

  get saved(): Saved | null {
    return this.#held.saved
  }

  /** The stored name, or what it came from; '' for nothing selected. */
  get name(): string {
    return this.#held.saved?.name ?? this.#held.origin?.text ?? ''
  }

  has(row: number): boolean {
    return hasRow(this.#held.rows, row)
  }

  set(rows: ArrayLike<number>, origin: Origin): void {
    this.#change({ rows: sorted(rows), origin, saved: null }, `Select ${countText(rows.length)}`)
  }

  /** New, add, subtract, intersect: as the modifier of a lasso or the menu says. */
  combine(rows: ArrayLike<number>, how: Combine, origin: Origin): void {
    const next = combine(this.#held.rows, sorted(rows), how)
    const from = how === 'new' || !this.#held.origin ? origin : joined(this.#held.origin, how, origin)
    this.#change({ rows: next, origin: from, saved: null }, `${SAID[how]} (${countText(next.length)} selected)`)
  }

  toggle(row: number, origin: Origin = { kind: 'hand', text: 'picked by hand' }): void {
    const one = Int32Array.of(row)
    const how = this.has(row) ? 'subtract' : 'add'
    const rows = combine(this.#held.rows, one, how)
    const from = this.#held.origin ? joined(this.#held.origin, how, origin) : origin
    this.#change({ rows, origin: from, saved: null }, how === 'add' ? 'Select one' : 'Deselect one')
  }

  clear(): void {
    if (this.count) this.#change(NONE, `Clear ${countText(this.count)}`)
  }

  /** Opens a stored selection. */
  async open(sid: string): Promise<void> {
    const [about, table] = await Promise.all([
      getJSON<{ name: string; revision: number; origin: Origin | null }>(`/selections/${encodeURIComponent(sid)}`),
      getArrow(`/selections/${encodeURIComponent(sid)}/rows`),
    ])
    const saved = { sid, name: about.name, revision: about.revision }
    const origin = about.origin ?? { kind: 'selection', text: about.name }
    this.#change({ rows: sorted(table.numbers('row')), origin, saved }, `Open ${about.name}`)
    this.missing = Number(table.headers.get('X-Missing') ?? 0)
  }

  /** The rows have been stored under this name: the chip says so. */
  markSaved(saved: Saved | null): void {
    this.#held = { ...this.#held, saved }
    this.#keep()
  }

  undo(): Promise<string | null> {
    return acts.undo()
  }

  redo(): Promise<string | null> {
    return acts.redo()
  }

  /** After a reload of the page: what this tab had, in the version that is open now. */
  async start(): Promise<void> {
    const kept = read()
    if (!kept || this.count) return
    this.#held = { rows: unpack(kept.rows), origin: kept.origin, saved: kept.saved }
    this.version = kept.version
    await this.follow()
  }

  /** Finds the rows again when the archive's version has moved. */
  async follow(): Promise<void> {
    const now = overview.version
    if (!now || now === this.version) return
    if (this.count && this.version) {
      const before = this.count
      const rows = await resolve(this.#held.rows, this.version)
      this.#held = { ...this.#held, rows }
      this.missing = before - rows.length
    }
    this.version = now
    this.#keep()
  }

  #change(next: Held, what: string): void {
    const before = this.#held
    const version = overview.version
    const put = (held: Held) => () => {
      if (overview.version !== version) return // rows of a version that is gone mean other objects
      this.#put(held)
    }
    this.#put(next)
    acts.did({ what, undo: put(before), redo: put(next) })
  }

  #put(held: Held): void {
    this.#held = held
    this.version = overview.version
    this.missing = 0
    this.#keep()
  }

  #keep(): void {
    try {
      if (!this.count) sessionStorage.removeItem(KEPT)
      else {
        const { rows, origin, saved } = this.#held
        sessionStorage.setItem(KEPT, JSON.stringify({ version: this.version, rows: pack(rows), origin, saved }))
      }
    } catch {
      // Storage is off or full: the selection then lives until the page is reloaded.
    }
  }
}

const SAID: Record<Combine, string> = { new: 'Select', add: 'Add', subtract: 'Subtract', intersect: 'Intersect' }
const WORDS: Record<Combine, string> = { new: '', add: ' + ', subtract: ' − ', intersect: ' ∩ ' }

function joined(old: Origin, how: Combine, fresh: Origin): Origin {
  const more = `${WORDS[how]}${fresh.text}`
  // Ten objects picked one by one are "… + picked by hand" once, not ten times.
  if (fresh.kind === 'hand' && (old.kind === 'hand' || old.text.endsWith(more))) return old
  const text = `${old.text}${more}`
  return { kind: 'combined', text: text.length > 200 ? `${text.slice(0, 199)}…` : text }
}

/** Rows of an older version as rows of the open one. */
async function resolve(rows: Int32Array, version: number): Promise<Int32Array> {
  return sorted((await postArrow('/rows/moved', { rows: Array.from(rows), version })).numbers('row'))
}

function read(): { version: number; rows: string; origin: Origin | null; saved: Saved | null } | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? 'null')
  } catch {
    return null
  }
}

export const selection = new Selection()
