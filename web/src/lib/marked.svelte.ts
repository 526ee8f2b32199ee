/** The one object that is pointed at or open: marked in every view, and in other tabs' maps. */
export interface Mark {
  row: number
  id: string
}

const CHANNEL = 'spectrarium.marked'

class Marked {
  #hovered = $state.raw<Mark | null>(null)
  #opened = $state.raw<Mark | null>(null)
  #channel: BroadcastChannel | null = null

  /** Row of the pointed-at object, else of the open one; -1 for none. */
  get row(): number {
    return (this.#hovered ?? this.#opened)?.row ?? -1
  }

  get id(): string | null {
    return (this.#hovered ?? this.#opened)?.id ?? null
  }

  get hovered(): Mark | null {
    return this.#hovered
  }

  get opened(): Mark | null {
    return this.#opened
  }

  start(): void {
    if (typeof BroadcastChannel === 'undefined') return
    this.#channel = new BroadcastChannel(CHANNEL)
    this.#channel.onmessage = ({ data }) => {
      if (data === null || (typeof data?.row === 'number' && typeof data?.id === 'string')) this.#opened = data
    }
  }

  /** Pointed at with the mouse or the keys; null when the pointer has left. */
  hover(mark: Mark | null): void {
    if (mark?.row !== this.#hovered?.row) this.#hovered = mark
  }

  /** Open on the object screen; stays marked when one goes back to the map. */
  open(mark: Mark | null): void {
    this.#opened = mark
    this.#channel?.postMessage(mark)
  }
}

export const marked = new Marked()
