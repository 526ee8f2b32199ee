/** An answer of the server that follows a question: late answers to old questions are dropped. */
import { asApiError, isAbort, type ApiError } from '../lib/api'

export class Answer<T> {
  value = $state.raw<T | null>(null)
  error = $state.raw<ApiError | null>(null)
  loading = $state(false)
  #key: string | null = null
  #stop: AbortController | null = null

  /** Asks, unless the same question is already answered or on its way. */
  ask(key: string, question: (signal: AbortSignal) => Promise<T>): void {
    if (key === this.#key) return
    this.#key = key
    void this.#go(question)
  }

  /** Forgets the question, so that the next `ask` goes out again. */
  forget(): void {
    this.#key = null
  }

  /** Stops what is on its way: nobody waits for it any more. */
  stop(): void {
    this.#stop?.abort()
    this.#key = null
  }

  async #go(question: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.#stop?.abort()
    const stop = (this.#stop = new AbortController())
    this.loading = true
    try {
      const value = await question(stop.signal)
      if (this.#stop !== stop) return
      this.value = value
      this.error = null
    } catch (thrown) {
      if (this.#stop !== stop || isAbort(thrown)) return
      this.error = asApiError(thrown)
    } finally {
      if (this.#stop === stop) this.loading = false
    }
  }
}
