/** What the archive holds, as /api/archive says it, and whether a newer version has come since. */
import { ApiError, asApiError, getJSON, version } from './api'

export interface ArchiveColumn {
  name: string
  unit: string | null
  ucd: string | null
  about: string | null
  kind: 'number' | 'text' | 'bool' | 'time'
  source: string | null
  /** Share of a sample of the observations that has a value; null where nobody has looked. */
  share: number | null
}

export interface ArchiveMap {
  name: string
  method: string
  model: string
  count: number
  axes: [string, string]
  quality: Record<string, number | null>
  note: string | null
}

export interface Overview {
  name: string
  version: number
  count: number
  columns: ArchiveColumn[]
  collections: { name: string; count: number }[]
  embeddings: { name: string; encoder: string; count: number }[]
  maps: ArchiveMap[]
  scores: { name: string; score: string; model: string; count: number }[]
  tags: { label: string; kind: string; unit: string | null; levels: string[] | null; models: string[]; count: number }[]
  suggested: {
    kiel?: [string, string] | null
    sky?: [string, string] | null
    galactic?: [string, string] | null
    side?: [string, string] | null
    colour?: string | null
  }
  limits: { upload_bytes: number; stack_at_once: number; table_rows: number }
  user: { name: string; rights: string[]; signed_in: boolean }
  writable: boolean
}

class OverviewState {
  value = $state.raw<Overview | null>(null)
  error = $state.raw<ApiError | null>(null)
  loading = $state(false)
  #going: Promise<Overview | null> | null = null

  /** The archive was changed on disk after this page had read what it holds. */
  get changed(): boolean {
    return this.value !== null && version.seen > this.value.version
  }

  /** The version that rows on this page belong to; 0 before the first answer. */
  get version(): number {
    return this.value?.version ?? 0
  }

  /** Column of that name, or null. */
  column(name: string): ArchiveColumn | null {
    return this.value?.columns.find((one) => one.name === name) ?? null
  }

  may(right: string): boolean {
    return this.value?.user.rights.includes(right) ?? false
  }

  /** Loads once; later calls get the same answer. `reload` asks again. */
  load(): Promise<Overview | null> {
    this.#going ??= this.#ask()
    return this.#going
  }

  reload(): Promise<Overview | null> {
    this.#going = this.#ask()
    return this.#going
  }

  async #ask(): Promise<Overview | null> {
    this.loading = true
    try {
      this.value = await getJSON<Overview>('/archive')
      version.open = this.value.version
      version.stale = version.signedOut = false
      this.error = null
    } catch (thrown) {
      this.error = asApiError(thrown)
      this.#going = null
    } finally {
      this.loading = false
    }
    return this.value
  }
}

export const overview = new OverviewState()
