import { describe, expect, it } from 'vitest'
import { elapsed_s, instant, ordered, pause_ms, problemOf, share, type Job } from './job'

const job = (over: Partial<Job>): Job => ({
  jid: 'j', kind: 'score', title: '', phase: 'EXECUTING', progress: null, started: null, ended: null, log: [], result: null, owner: 'local', ...over,
})

describe('progress', () => {
  it('is a share only where the whole is known', () => {
    expect(share(job({ progress: { what: 'rows', done: 5, total: 20 } }))).toBe(0.25)
    expect(share(job({ progress: { what: 'rows', done: 5, total: null } }))).toBeNull()
    expect(share(job({ progress: { what: 'rows', done: 0, total: 0 } }))).toBeNull()
    expect(share(job({ progress: { what: 'rows', done: 30, total: 20 } }))).toBe(1)
    expect(share(job({ phase: 'COMPLETED' }))).toBe(1)
  })
})

describe('time', () => {
  it('reads ISO text, seconds and milliseconds', () => {
    expect(instant('2026-11-26T12:00:00Z')).toBe(Date.UTC(2026, 10, 26, 12))
    expect(instant(1_800_000_000)).toBe(1_800_000_000_000)
    expect(instant(1_800_000_000_000)).toBe(1_800_000_000_000)
    expect([instant(null), instant(''), instant('soon')]).toEqual([null, null, null])
  })
  it('stops when the job ends, and never runs backwards', () => {
    expect(elapsed_s(job({ started: 100, ended: 160 }), 1e12)).toBe(60)
    expect(elapsed_s(job({ started: 100 }), 90_000)).toBe(0)
    expect(elapsed_s(job({}), 5)).toBeNull()
  })
})

describe('ordered', () => {
  it('puts live work first, then the last ended', () => {
    const jobs = [
      job({ jid: 'old', phase: 'COMPLETED', started: 1, ended: 2 }),
      job({ jid: 'new', phase: 'ERROR', started: 3, ended: 9 }),
      job({ jid: 'run', started: 4 }),
      job({ jid: 'wait', phase: 'QUEUED' }),
    ]
    expect(ordered(jobs).map((j) => j.jid)).toEqual(['wait', 'run', 'new', 'old'])
  })
})

describe('pause_ms', () => {
  const live = [job({})]
  it('stops when hidden or when nothing runs', () => {
    expect(pause_ms(live, true, 0)).toBeNull()
    expect(pause_ms([job({ phase: 'COMPLETED' })], false, 0)).toBeNull()
    expect(pause_ms(live, false, 0)).toBe(1000)
  })
  it('grows when the server does not answer, to half a minute', () => {
    expect([1, 2, 9].map((n) => pause_ms([], false, n))).toEqual([2000, 4000, 30_000])
  })
})

it('an error is told in words, whatever its form', () => {
  expect(problemOf(job({ error: 'no disk' }))).toEqual({ code: 'job_failed', what: 'no disk' })
  expect(problemOf(job({}))).toBeNull()
})
