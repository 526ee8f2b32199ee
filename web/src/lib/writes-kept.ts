/** Where unsent writes are kept: one list a tab in localStorage, taken over when its tab is gone. */
export interface Keep {
  put(writes: unknown[]): void
  /** The lists of this tab before its reload, and of tabs that are no longer alive; oldest first. */
  takeOver(): unknown[]
}

interface List {
  touched: number
  writes: unknown[]
}

const PREFIX = 'spectrarium.writes.'
const TAB = 'spectrarium.tab'
const BEAT_MS = 10_000
const DEAD_MS = 60_000 // background tabs beat once a minute at worst; a double send is harmless (keys)

export class BrowserKeep implements Keep {
  #mine = ''
  #last: unknown[] = []
  #beat: ReturnType<typeof setInterval> | null = null

  constructor(
    private readonly local: Storage | undefined,
    session: Storage | undefined,
    private readonly now: () => number = Date.now,
  ) {
    try {
      const tab = session?.getItem(TAB) ?? Math.random().toString(36).slice(2)
      session?.setItem(TAB, tab)
      this.#mine = PREFIX + tab
    } catch {
      this.#mine = `${PREFIX}unnamed`
    }
  }

  put(writes: unknown[]): void {
    this.#last = writes
    if (this.#beat) clearInterval(this.#beat)
    this.#beat = writes.length ? setInterval(() => this.#store(), BEAT_MS) : null
    this.#store()
  }

  takeOver(): unknown[] {
    const found: List[] = []
    try {
      for (const name of Object.keys(this.local ?? {})) {
        if (!name.startsWith(PREFIX)) continue
        const list = JSON.parse(this.local!.getItem(name) ?? 'null') as List | null
        if (!list || (name !== this.#mine && this.now() - list.touched < DEAD_MS)) continue
        found.push(list)
        this.local!.removeItem(name)
      }
    } catch {
      // Storage is off or holds something foreign: there is nothing to take over.
    }
    return found.sort((a, b) => a.touched - b.touched).flatMap((list) => list.writes)
  }

  #store(): void {
    try {
      if (this.#last.length) {
        this.local?.setItem(this.#mine, JSON.stringify({ touched: this.now(), writes: this.#last }))
      } else this.local?.removeItem(this.#mine)
    } catch {
      // Full or off: the queue then lives as long as the page, which shows it.
    }
  }
}

function storage(name: 'localStorage' | 'sessionStorage'): Storage | undefined {
  try {
    return globalThis[name]
  } catch {
    return undefined
  }
}

export const kept: Keep = new BrowserKeep(storage('localStorage'), storage('sessionStorage'))
