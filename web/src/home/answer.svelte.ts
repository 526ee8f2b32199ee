/** An answer of the server that follows a question: late answers to old questions are dropped. */
import { asApiError, isAbort, type ApiError } from '../lib/api'

export class Answer<T> {
  value = $state.raw<T | null>(null)
  error = $state.raw<ApiError | null>(null)
  loading = $state(false)
  /** The question that `value` answers. */
  answered = $state<string | null>(null)
  #key: string | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #stop: AbortController | null = null

  /** Asks, unless the same question is already answered or on its way. */
  ask(key: string, question: (signal: AbortSignal) => Promise<T>): void {
    if (key === this.#key) return
    this.#key = key
    void this.#go(key, question, 1)
  }

  /** Forgets the question, so that the next `ask` goes out again. */
  forget(): void {
    this.#key = null
  }

  /** Stops what is on its way: nobody waits for it any more. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#stop?.abort()
    this.#key = null
  }

  async #go(key: string, question: (signal: AbortSignal) => Promise<T>, attempt: number): Promise<void> {
    clearTimeout(this.#timer)
    this.#stop?.abort()
    const stop = (this.#stop = new AbortController())
    this.loading = true
    try {
      const value = await question(stop.signal)
      if (this.#stop !== stop) return
      this.value = value
      this.answered = key
      this.error = null
    } catch (thrown) {
      if (this.#stop !== stop || isAbort(thrown)) return
      this.error = asApiError(thrown)
      // A server that restarts, a network that comes back: asked again without being told to.
      if (this.error.passing) this.#timer = setTimeout(() => void this.#go(key, question, attempt + 1), Math.min(30, 2 ** attempt) * 1000)
    } finally {
      if (this.#stop === stop) this.loading = false
    }
  }
}
