/** Running and past work: what the server says of it, and the words for that. */

export type Phase = 'QUEUED' | 'EXECUTING' | 'COMPLETED' | 'ERROR' | 'ABORTED'

export interface Problem {
  code: string
  what: string
  where?: string
  remedy?: string
}

export interface Job {
  jid: string
  kind: string
  title: string
  phase: Phase
  progress: { what: string; done: number; total: number | null } | null
  started: string | number | null
  ended: string | number | null
  created?: string | number | null
  params?: Record<string, unknown>
  log: string[]
  result: { selection?: string; count?: number; stack?: boolean; map?: string; maps?: string[]; score?: string; notes?: string[] } | null
  error?: Problem | string | null
  owner: string
  /** It was asked to stop and has not yet. */
  cancelling?: boolean
}

export const PHASES: Readonly<Record<Phase, string>> = {
  QUEUED: 'Waiting',
  EXECUTING: 'Running',
  COMPLETED: 'Done',
  ERROR: 'Failed',
  ABORTED: 'Cancelled',
}

export function isLive(job: Pick<Job, 'phase'>): boolean {
  return job.phase === 'QUEUED' || job.phase === 'EXECUTING'
}

/** Done of the present step, 0…1; null where it is not known how much there is. */
export function share(job: Pick<Job, 'phase' | 'progress'>): number | null {
  if (job.phase === 'COMPLETED') return 1
  const { done, total } = job.progress ?? {}
  if (!total || done === undefined) return null
  return Math.min(1, Math.max(0, done / total))
}

/** Milliseconds since 1970 of what the server calls a time: ISO text, seconds or milliseconds. */
export function instant(time: string | number | null | undefined): number | null {
  if (time === null || time === undefined || time === '') return null
  if (typeof time === 'number') return time > 1e11 ? time : time * 1000
  const parsed = Date.parse(time)
  return Number.isNaN(parsed) ? null : parsed
}

/** Seconds that a job has run, until now or until it ended; null before it starts. */
export function elapsed_s(job: Pick<Job, 'started' | 'ended'>, now_ms: number): number | null {
  const from = instant(job.started)
  if (from === null) return null
  return Math.max(0, ((instant(job.ended) ?? now_ms) - from) / 1000)
}

/** Live work first, the newest on top; then past work, the last ended on top. */
export function ordered(jobs: readonly Job[]): Job[] {
  const when = (job: Job) => instant(job.ended) ?? instant(job.started) ?? instant(job.created) ?? Infinity
  return [...jobs].sort((a, b) => Number(isLive(b)) - Number(isLive(a)) || when(b) - when(a) || (a.jid < b.jid ? 1 : -1))
}

/**
 * Milliseconds until the jobs are asked for again; null: not at all.
 * failures : of the last requests in a row; the pause grows with them to half a minute
 */
export function pause_ms(jobs: readonly Pick<Job, 'phase'>[], hidden: boolean, failures: number): number | null {
  if (hidden) return null
  if (failures > 0) return Math.min(30_000, 1000 * 2 ** failures)
  return jobs.some(isLive) ? 1000 : null
}

export function problemOf(job: Pick<Job, 'error'>): Problem | null {
  if (!job.error) return null
  return typeof job.error === 'string' ? { code: 'job_failed', what: job.error } : job.error
}
