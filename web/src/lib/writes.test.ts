import { describe, expect, it, vi } from 'vitest'
import { ApiError } from './api'
import { acts } from './history.svelte'
import { Writes, type Pending } from './writes.svelte'
import { BrowserKeep, type Keep } from './writes-kept'

const away = () => new ApiError(0, 'unreachable', 'no answer')
const refused = () => new ApiError(400, 'bad_parameter', 'no such verdict')
const nowhere: Keep = { put: () => {}, takeOver: () => [] }

class Memory {
  held = new Map<string, string>()
  getItem = (name: string) => this.held.get(name) ?? null
  setItem = (name: string, value: string) => {
    this.held.set(name, value)
    Object.defineProperty(this, name, { value, enumerable: true, configurable: true, writable: true })
  }
  removeItem = (name: string) => {
    this.held.delete(name)
    delete (this as Record<string, unknown>)[name]
  }
}
const storage = () => new Memory() as unknown as Storage

const one = (what: string, path = '/x') => ({ method: 'POST' as const, path, body: { what }, what })

describe('writes', () => {
  it('go in order, one at a time, each with its own key', async () => {
    const sent: Pending[] = []
    let going = 0
    const writes = new Writes(async (write) => {
      expect(++going).toBe(1)
      await Promise.resolve()
      going--
      sent.push(write)
      return write.what
    }, nowhere)
    const answers = await Promise.all([writes.write(one('a')), writes.write(one('b')), writes.write(one('c'))])
    expect(answers).toEqual(['a', 'b', 'c'])
    expect(sent.map((write) => write.what)).toEqual(['a', 'b', 'c'])
    expect(new Set(sent.map((write) => write.key)).size).toBe(3)
    expect(writes.pending).toEqual([])
  })

  it('wait while there is no answer, and repeat under the same key', async () => {
    vi.useFakeTimers()
    const keys: string[] = []
    let failures = 3
    const writes = new Writes(async (write) => {
      keys.push(write.key)
      if (failures-- > 0) throw away()
      return 'done'
    }, nowhere, 10)
    const answer = writes.write(one('a'))
    await vi.advanceTimersByTimeAsync(5)
    expect(writes.waiting?.code).toBe('unreachable')
    expect(writes.pending[0].tries).toBe(1)
    await vi.advanceTimersByTimeAsync(200)
    expect(await answer).toBe('done')
    expect(new Set(keys).size).toBe(1)
    expect(keys.length).toBe(4)
    expect(writes.waiting).toBeNull()
    vi.useRealTimers()
  })

  it('that the server refuses are shown, do not block the next, and can be sent again with a new key', async () => {
    const keys: string[] = []
    let refuse = true
    const writes = new Writes(async (write) => {
      keys.push(write.key)
      if (write.what === 'bad' && refuse) throw refused()
      return write.what
    }, nowhere)
    const bad = writes.write(one('bad')).catch((error) => error.code)
    expect(await writes.write(one('good'))).toBe('good')
    expect(await bad).toBe('bad_parameter')
    expect(writes.failed.map((write) => write.what)).toEqual(['bad'])
    refuse = false
    writes.again(writes.failed[0])
    await vi.waitFor(() => expect(writes.pending).toEqual([]))
    expect(writes.failed).toEqual([])
    expect(new Set(keys).size).toBe(3)
  })

  it('are undone and redone by requests of their own', async () => {
    const sent: string[] = []
    let made = 0
    const writes = new Writes(async (write) => {
      sent.push(`${write.method} ${write.path}`)
      return { sid: `s${++made}` }
    }, nowhere)
    const undo = (answer: { sid: string }) => ({ method: 'DELETE' as const, path: `/selections/${answer.sid}` })
    await writes.write<{ sid: string }>({ ...one('Save'), path: '/selections', undo })
    expect(acts.undoes).toBe('Save')
    await writes.undo()
    expect(acts.redoes).toBe('Save')
    await writes.redo()
    await writes.undo() // of what the redo made, not of what the first write made
    expect(sent).toEqual(['POST /selections', 'DELETE /selections/s1', 'POST /selections', 'DELETE /selections/s3'])
  })
})

describe('unsent writes', () => {
  it('outlive a reload of the page', async () => {
    vi.useFakeTimers()
    const [local, session] = [storage(), storage()]
    const before = new Writes(async () => Promise.reject(away()), new BrowserKeep(local, session), 1e6)
    void before.write(one('kept'))
    await vi.advanceTimersByTimeAsync(1)
    const sent: string[] = []
    const after = new Writes(async (write) => sent.push(write.what), new BrowserKeep(local, session))
    after.start()
    await vi.advanceTimersByTimeAsync(1)
    expect(sent).toEqual(['kept'])
    expect(Object.keys(local).filter((name) => name.startsWith('spectrarium.writes.'))).toEqual([])
    vi.useRealTimers()
  })

  it('of another tab are left to it while it lives, and taken over when it is gone', () => {
    let now = 0
    const local = storage()
    new BrowserKeep(local, storage(), () => now).put([{ key: 'k' }])
    const other = new BrowserKeep(local, storage(), () => now)
    now = 30_000
    expect(other.takeOver()).toEqual([])
    now = 90_000
    expect(other.takeOver()).toEqual([{ key: 'k' }])
    expect(other.takeOver()).toEqual([])
  })
})
