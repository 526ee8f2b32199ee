/** Where somebody works: the screen's address and the stored selection. Kept by itself and by name. */
import { asApiError, getJSON, sendJSON, type ApiError } from '../lib/api'
import { overview } from '../lib/archive.svelte'
import { route } from '../lib/route.svelte'
import { selection } from '../lib/selection.svelte'
import { writes, write } from '../lib/writes.svelte'

/** The one that is kept by itself. */
export const AUTO = 'Where I was'
const REST_MS = 4000

export interface State {
  href: string
  selection: { sid: string; name: string } | null
}

export interface Workspace {
  name: string
  revision: number
  /** Unix seconds. */
  changed: number
  state?: State | null
}

const at = (name: string) => `/workspaces/${encodeURIComponent(name)}`

export class Workspaces {
  all = $state.raw<Workspace[]>([])
  loaded = $state(false)
  error = $state.raw<ApiError | null>(null)
  /** When this page was last kept, in milliseconds; 0 for never. */
  kept = $state(0)
  /** Why it is not kept at the moment. */
  trouble = $state.raw<ApiError | null>(null)
  #revision: number | null = null
  #timer: ReturnType<typeof setTimeout> | null = null
  #last = ''

  async load(): Promise<void> {
    try {
      this.all = (await getJSON<{ workspaces: Workspace[] }>('/workspaces')).workspaces
      this.loaded = true
      this.error = null
    } catch (thrown) {
      this.error = asApiError(thrown)
    }
  }

  /** What there is to keep of this page. */
  present(): State {
    const { saved } = selection
    return { href: route.here, selection: saved ? { sid: saved.sid, name: saved.name } : null }
  }

  /** Keeps this page in a moment; called whenever it changes. */
  touch(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#auto(), REST_MS)
  }

  async save(name: string): Promise<void> {
    const before = this.all.find((one) => one.name === name)
    const old = before ? await getJSON<Workspace>(at(name)) : null
    await this.#write('PUT', name, { state: this.present(), revision: old?.revision ?? 0 }, `Keep workspace ${name}`)
  }

  async remove(one: Workspace): Promise<void> {
    await write({
      method: 'DELETE', path: at(one.name), what: `Delete workspace ${one.name}`,
      undo: { method: 'POST', path: `${at(one.name)}/undelete`, body: {} }, after: () => void this.load(),
    })
    await this.load()
  }

  /** Goes where the workspace was, with its selection. */
  async restore(one: Workspace): Promise<void> {
    const { state } = await getJSON<Workspace>(at(one.name))
    if (!state?.href?.startsWith('/')) return
    route.open(state.href)
    if (state.selection) await selection.open(state.selection.sid)
  }

  async #write(method: 'PUT', name: string, body: unknown, what: string): Promise<void> {
    try {
      await write({ method, path: at(name), body, what })
    } catch (thrown) {
      const failed = writes.failed.find((one) => one.path === at(name))
      if (failed) writes.dismiss(failed) // told in the dialog
      throw thrown
    }
    await this.load()
  }

  /** The tab in use wins: what another tab kept is older than what is done here. */
  async #auto(tries = 2): Promise<void> {
    const state = this.present()
    const text = JSON.stringify(state)
    if (!overview.may('save') || document.hidden || text === this.#last) return
    try {
      this.#revision ??= await revisionOf(AUTO)
      const made = await sendJSON<Workspace>('PUT', at(AUTO), { state, revision: this.#revision })
      this.#revision = made.revision
      this.#last = text
      this.kept = Date.now()
      this.trouble = null
    } catch (thrown) {
      const error = asApiError(thrown)
      this.#revision = null
      if (error.code === 'changed_elsewhere' && tries > 0) return this.#auto(tries - 1)
      this.trouble = error
      if (error.passing) this.touch()
    }
  }
}

async function revisionOf(name: string): Promise<number> {
  const { workspaces } = await getJSON<{ workspaces: Workspace[] }>('/workspaces')
  return workspaces.find((one) => one.name === name)?.revision ?? 0
}

export const workspaces = new Workspaces()
