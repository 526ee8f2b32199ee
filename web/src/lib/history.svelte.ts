/** One line of undo for the whole page: selections and writes, each under the name of what was done. */
export interface Act {
  /** What was done, as the button says it: "Selected 240", "Marked interesting". */
  what: string
  undo: () => void | Promise<unknown>
  redo: () => void | Promise<unknown>
}

const LONGEST = 200

export class Acts {
  #done = $state.raw<Act[]>([])
  #undone = $state.raw<Act[]>([])
  #busy = false

  /** The name of what undo (redo) would take back (do again); null when there is nothing. */
  get undoes(): string | null {
    return this.#done.at(-1)?.what ?? null
  }

  get redoes(): string | null {
    return this.#undone.at(-1)?.what ?? null
  }

  /** Records what has just been done. Anything undone before can no longer be redone. */
  did(act: Act): void {
    if (this.#busy) return // an undo that itself acts adds nothing
    this.#done = [...this.#done, act].slice(-LONGEST)
    this.#undone = []
  }

  async undo(): Promise<string | null> {
    const act = this.#done.at(-1)
    if (!act || this.#busy) return null
    this.#done = this.#done.slice(0, -1)
    this.#undone = [...this.#undone, act]
    await this.#run(act.undo)
    return act.what
  }

  async redo(): Promise<string | null> {
    const act = this.#undone.at(-1)
    if (!act || this.#busy) return null
    this.#undone = this.#undone.slice(0, -1)
    this.#done = [...this.#done, act]
    await this.#run(act.redo)
    return act.what
  }

  async #run(step: () => void | Promise<unknown>): Promise<void> {
    this.#busy = true
    try {
      const going = step()
      this.#busy = false // what follows the first step is the server's time, not ours
      await going
    } finally {
      this.#busy = false
    }
  }
}

export const acts = new Acts()
