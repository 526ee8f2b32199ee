/** The ranked list, page by page: one question at a time, the last one asked wins. */
import { asApiError, getJSON, isAbort, version, type ApiError } from '../lib/api'
import { type Ranked, type Strange } from './answers'

export interface Question {
  score: string
  where: string
  bins: string
  rerank: boolean
}

export const PAGE = 60

export class List {
  answers = $state.raw<Strange[]>([])
  /** The first page without its answers: notes, counts, how it was ranked again. */
  about = $state.raw<Omit<Ranked, 'answers'> | null>(null)
  loading = $state(false)
  error = $state.raw<ApiError | null>(null)
  /** What is shown answers an older question; the answer to the present one is on its way. */
  stale = $state(false)
  #question: Question | null = null
  #stop: AbortController | null = null
  #version = 0

  /** True where the server may have more. */
  get more(): boolean {
    return this.about !== null && this.answers.length < this.about.count
  }

  ask(question: Question): Promise<void> {
    this.#question = question
    this.stale = this.answers.length > 0
    return this.#page(0)
  }

  next(): Promise<void> {
    if (this.loading || this.stale || !this.more) return Promise.resolve()
    return this.#page(this.answers.length)
  }

  again(): Promise<void> {
    return this.#page(this.stale ? 0 : this.answers.length)
  }

  stop(): void {
    this.#stop?.abort()
  }

  async #page(offset: number): Promise<void> {
    this.#stop?.abort()
    const stop = (this.#stop = new AbortController())
    const { score, where, bins, rerank } = this.#question!
    this.loading = true
    this.error = null
    try {
      const found = await getJSON<Ranked>('/outliers', { score, where, bins, rerank, offset, k: PAGE }, stop.signal)
      if (offset > 0 && this.#version !== version.seen) return await this.#page(0) // ranks moved between pages
      this.#version = version.seen
      const { answers, ...about } = found
      this.about = about
      this.stale = false
      this.answers = offset ? [...this.answers, ...fresh(answers, this.answers)] : answers
    } catch (thrown) {
      if (isAbort(thrown)) return
      this.error = asApiError(thrown)
      if (offset === 0) {
        this.answers = []
        this.about = null
      }
    } finally {
      if (this.#stop === stop) this.loading = false
    }
  }
}

/** Judgements made between two pages may move a rank over the edge: nothing is shown twice. */
function fresh(answers: Strange[], before: readonly Strange[]): Strange[] {
  const seen = new Set(before.map((a) => a.uid))
  return answers.filter((a) => !seen.has(a.uid))
}
