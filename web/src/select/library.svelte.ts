/** Stored selections, one's own and shared ones: the list, and what can be done to them. */
import { asApiError, getArrow, getJSON, type ApiError } from '../lib/api'
import { overview } from '../lib/archive.svelte'
import { sorted } from '../lib/rows'
import { selection, type Combine } from '../lib/selection.svelte'
import { writes, type WriteSpec } from '../lib/writes.svelte'
import type { Stored } from './stored'

const at = (sid: string) => `/selections/${encodeURIComponent(sid)}`

export class Library {
  all = $state.raw<Stored[]>([])
  loaded = $state(false)
  error = $state.raw<ApiError | null>(null)

  async load(): Promise<void> {
    try {
      this.all = (await getJSON<{ selections: Stored[] }>('/selections')).selections
      this.loaded = true
      this.error = null
    } catch (thrown) {
      this.error = asApiError(thrown)
    }
  }

  find(sid: string): Stored | undefined {
    return this.all.find((one) => one.sid === sid)
  }

  /** Own selections, which can be replaced. */
  get mine(): Stored[] {
    return this.all.filter((one) => one.mine)
  }

  /** Keeps the present selection under a new name. */
  async create(name: string, about: string): Promise<Stored> {
    const body = { name, about, origin: selection.origin, rows: Array.from(selection.rows), version: selection.version }
    const made = await this.#write<Stored>({
      method: 'POST', path: '/selections', body, what: `Save ${name}`,
      undo: (answer) => ({ method: 'DELETE', path: at(answer.sid) }),
    })
    selection.markSaved(made)
    return made
  }

  /** Puts the present selection in the place of a stored one, unless that was changed meanwhile. */
  async replace(old: Stored, about: string): Promise<Stored> {
    const before = await this.rowsOf(old.sid)
    const body = {
      rows: Array.from(selection.rows), version: selection.version, about, origin: selection.origin, revision: old.revision,
    }
    const made = await this.#write<Stored>({
      method: 'PATCH', path: at(old.sid), body, what: `Replace ${old.name}`,
      undo: (answer) => ({
        method: 'PATCH', path: at(old.sid),
        body: { rows: Array.from(before), version: overview.version, about: old.about, origin: old.origin, revision: answer.revision },
      }),
    })
    selection.markSaved(made)
    return made
  }

  /** Name, text or sharing of a stored selection. */
  change(old: Stored, patch: Partial<Pick<Stored, 'name' | 'about' | 'shared'>>, what: string): Promise<Stored> {
    const back = Object.fromEntries(Object.keys(patch).map((key) => [key, old[key as keyof Stored]]))
    return this.#write<Stored>({
      method: 'PATCH', path: at(old.sid), body: { ...patch, revision: old.revision }, what,
      undo: (answer) => ({ method: 'PATCH', path: at(old.sid), body: { ...back, revision: answer.revision } }),
    })
  }

  async remove(old: Stored): Promise<void> {
    await this.#write({
      method: 'DELETE', path: at(old.sid), what: `Delete ${old.name}`,
      undo: { method: 'POST', path: `${at(old.sid)}/undelete`, body: {} },
    })
    if (selection.saved?.sid === old.sid) selection.markSaved(null)
  }

  /** Combines a stored selection with the present one. */
  async combine(one: Stored, how: Combine): Promise<void> {
    selection.combine(await this.rowsOf(one.sid), how, { kind: 'selection', text: one.name })
  }

  /** Rows, in the open version, of a stored selection. */
  async rowsOf(sid: string): Promise<Int32Array> {
    return sorted((await getArrow(`${at(sid)}/rows`)).numbers('row'))
  }

  /** A write whose refusal is told in the dialog that asked for it, so it is not told twice. */
  async #write<T>(spec: WriteSpec<T>): Promise<T> {
    try {
      const answer = await writes.write<T>({ ...spec, after: () => void this.load() })
      await this.load()
      return answer
    } catch (thrown) {
      const failed = writes.failed.find((one) => one.path === spec.path && one.method === spec.method)
      if (failed) writes.dismiss(failed)
      throw thrown
    }
  }
}

export const library = new Library()
