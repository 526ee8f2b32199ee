/** All work that the server knows of; asked for only while somebody looks and something runs. */
import { asApiError, getJSON, isAbort, sendJSON, type ApiError } from '../lib/api'
import { write } from '../lib/writes.svelte'
import { isLive, ordered, pause_ms, type Job } from './job'

export class Jobs {
  all = $state.raw<Job[]>([])
  loaded = $state(false)
  error = $state.raw<ApiError | null>(null)
  /** The job that is looked at, with its whole log; the list has the last line only. */
  whole = $state.raw<Job | null>(null)
  #jid = ''
  #watchers = 0
  #failures = 0
  #timer: ReturnType<typeof setTimeout> | null = null
  #asking: AbortController | null = null

  get live(): number {
    return this.all.filter(isLive).length
  }

  find(jid: string): Job | undefined {
    return this.all.find((job) => job.jid === jid)
  }

  /** Looks at one job more closely; '' for none. */
  lookAt(jid: string): void {
    if (jid === this.#jid) return
    this.#jid = jid
    this.whole = null
    if (jid) void this.refresh()
  }

  /** Looks until the function returned is called; the page's being hidden pauses it. */
  watch(): () => void {
    if (this.#watchers++ === 0) document.addEventListener('visibilitychange', this.#seen)
    void this.refresh()
    return () => {
      if (--this.#watchers > 0) return
      document.removeEventListener('visibilitychange', this.#seen)
      this.#clear()
      this.#asking?.abort()
    }
  }

  async refresh(): Promise<void> {
    this.#clear()
    this.#asking?.abort()
    const asking = (this.#asking = new AbortController())
    try {
      const jid = this.#jid
      const { jobs } = await getJSON<{ jobs: Job[] }>('/jobs', {}, asking.signal)
      this.all = ordered(jobs)
      if (jid && jobs.some((job) => job.jid === jid)) {
        const whole = await getJSON<Job>(`/jobs/${encodeURIComponent(jid)}`, {}, asking.signal)
        if (jid === this.#jid) this.whole = whole
      }
      this.loaded = true
      this.error = null
      this.#failures = 0
    } catch (thrown) {
      if (isAbort(thrown)) return
      this.error = asApiError(thrown)
      this.#failures = this.error.passing ? this.#failures + 1 : 0
    }
    this.#plan()
  }

  /** Starts work; resolves with its id. A repeat under the same key starts nothing twice. */
  async start(kind: string, params: Record<string, unknown>): Promise<string> {
    const key = crypto.getRandomValues(new Uint32Array(4)).join('-')
    const job = await sendJSON<Job>('POST', '/jobs', { kind, params }, { key })
    await this.refresh()
    return job.jid
  }

  async cancel(job: Job): Promise<void> {
    await write({ method: 'POST', path: `/jobs/${job.jid}/cancel`, body: {}, what: `Cancel ${job.title}` })
    await this.refresh()
  }

  async remove(job: Job): Promise<void> {
    await write({ method: 'DELETE', path: `/jobs/${job.jid}`, what: `Delete ${job.title}` })
    await this.refresh()
  }

  #seen = (): void => {
    if (!document.hidden) void this.refresh()
    else this.#clear()
  }

  #plan(): void {
    this.#clear()
    if (this.#watchers < 1) return
    const pause = pause_ms(this.all, document.hidden, this.#failures)
    if (pause !== null) this.#timer = setTimeout(() => void this.refresh(), pause)
  }

  #clear(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
  }
}

export const jobs = new Jobs()
