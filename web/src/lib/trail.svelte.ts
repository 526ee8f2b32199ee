/**
 * The list that an object was opened from: previous and next walk along it.
 *
 * A screen that lists objects leaves its list here when one is opened; it outlives a reload.
 */
export interface Trail {
  ids: string[]
  /** Where the list came from, in words: "class = 'STAR'", "outliers by combined". */
  text: string
}

const KEPT = 'spectrarium.trail'
const LONGEST = 5000

class Trails {
  #trail = $state.raw<Trail | null>(read())

  get text(): string {
    return this.#trail?.text ?? ''
  }

  get count(): number {
    return this.#trail?.ids.length ?? 0
  }

  set(ids: readonly string[], text: string): void {
    this.#trail = { ids: ids.slice(0, LONGEST), text }
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.#trail))
    } catch {
      // Storage is off or full: the list then lives until the page is reloaded.
    }
  }

  /** Place of an object in the list (0 = first) and its neighbours; null when it is not in it. */
  around(id: string): { at: number; previous: string | null; next: string | null } | null {
    const ids = this.#trail?.ids ?? []
    const at = ids.indexOf(id)
    return at < 0 ? null : { at, previous: ids[at - 1] ?? null, next: ids[at + 1] ?? null }
  }
}

function read(): Trail | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null')
    return Array.isArray(kept?.ids) && typeof kept.text === 'string' ? kept : null
  } catch {
    return null
  }
}

export const trail = new Trails()
