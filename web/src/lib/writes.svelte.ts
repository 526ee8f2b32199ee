/**
 * Writes in order, kept until the server has them.
 *
 * A write that meets no answer (or "try again") waits and is sent again under the same
 * idempotency key, so a repeat is done once. The queue is kept in this browser's storage: a
 * reload, a crash or a restart of the server loses nothing. A write that the server refuses is
 * shown under `failed`, with the server's words, to be sent again or let go.
 */
import { ApiError, asApiError, sendJSON } from './api'
import { acts } from './history.svelte'
import { kept, type Keep } from './writes-kept'

export interface Request {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  body?: unknown
}

export interface WriteSpec<T = unknown> extends Request {
  /** What is done, in the user's words: "Save selection NGC 6397". */
  what: string
  /** How to take it back: a request, or a function of the server's answer. Named in undo. */
  undo?: Request | ((answer: T) => Request)
  /** Called after an undo or redo has reached the server, so that the screen can follow. */
  after?: (which: 'undone' | 'redone') => void
}

export interface Pending extends Request {
  key: string
  what: string
  tries: number
}

export interface Failed extends Pending {
  error: ApiError
}

type Send = (write: Pending) => Promise<unknown>
interface Waiter {
  resolve: (answer: any) => void
  reject: (error: unknown) => void
}

const LONGEST_WAIT_MS = 30_000

export class Writes {
  pending = $state.raw<Pending[]>([])
  failed = $state.raw<Failed[]>([])
  /** Why the queue waits (the last failure to reach the server), or null. */
  waiting = $state.raw<ApiError | null>(null)
  #waiters = new Map<string, Waiter>()
  #timer: ReturnType<typeof setTimeout> | null = null
  #sending = false

  constructor(
    private readonly send: Send = (write) => sendJSON(write.method, write.path, write.body, { key: write.key }),
    private readonly keep: Keep = kept,
    private readonly firstWaitMs = 1000,
  ) {}

  /** Takes up what an earlier page of this browser could not deliver. */
  start(): void {
    const left = this.keep.takeOver() as Pending[]
    if (left.length) this.#set([...left, ...this.pending])
    globalThis.addEventListener?.('online', () => this.retry())
    void this.#drain()
  }

  /** Queues a write; resolves with the server's answer, rejects when the server refuses it. */
  async write<T = unknown>(spec: WriteSpec<T>): Promise<T> {
    const answer = await this.#queue<T>(spec)
    const { undo } = spec
    if (undo) {
      let back = typeof undo === 'function' ? undo(answer) : undo
      acts.did({
        what: spec.what,
        undo: async () => {
          await this.#queue({ ...back, what: `Undo: ${spec.what}` })
          spec.after?.('undone')
        },
        redo: async () => {
          const again = await this.#queue<T>({ ...spec, what: `Redo: ${spec.what}` })
          if (typeof undo === 'function') back = undo(again)
          spec.after?.('redone')
        },
      })
    }
    return answer
  }

  /** Sends what waits now, rather than when its time comes. */
  retry(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    void this.#drain()
  }

  /** A refused write goes back into the queue (one of `failed`). */
  again(write: Failed): void {
    this.failed = this.failed.filter((one) => one.key !== write.key)
    const { error: _, ...pending } = write
    // A new key: the server remembers the old one with its refusal.
    this.#set([...this.pending, { ...pending, key: newKey(), tries: 0 }])
    void this.#drain()
  }

  /** A refused write is let go. */
  dismiss(write: Failed): void {
    this.failed = this.failed.filter((one) => one.key !== write.key)
  }

  undo(): Promise<string | null> {
    return acts.undo()
  }

  redo(): Promise<string | null> {
    return acts.redo()
  }

  #queue<T>(spec: Request & { what: string }): Promise<T> {
    const { method, path, body, what } = spec
    const key = newKey()
    const promise = new Promise<T>((resolve, reject) => this.#waiters.set(key, { resolve, reject }))
    this.#set([...this.pending, { key, method, path, body, what, tries: 0 }])
    void this.#drain()
    return promise
  }

  async #drain(): Promise<void> {
    if (this.#sending || this.#timer) return
    this.#sending = true
    try {
      while (this.pending.length) {
        if (!(await this.#sendFirst())) return
      }
    } finally {
      this.#sending = false
    }
  }

  /** Sends the oldest; false when it has to wait. */
  async #sendFirst(): Promise<boolean> {
    const write = this.pending[0]
    let answer: unknown
    try {
      answer = await this.send(write)
    } catch (thrown) {
      const error = asApiError(thrown)
      if (error.passing) {
        this.#wait(write, error)
        return false
      }
      this.failed = [...this.failed, { ...write, error }]
      this.#finish(write, (waiter) => waiter.reject(error))
      return true
    }
    this.#finish(write, (waiter) => waiter.resolve(answer))
    return true
  }

  #finish(write: Pending, tell: (waiter: Waiter) => void): void {
    this.waiting = null
    this.#set(this.pending.filter((one) => one.key !== write.key))
    const waiter = this.#waiters.get(write.key)
    this.#waiters.delete(write.key)
    if (waiter) tell(waiter)
  }

  #wait(write: Pending, error: ApiError): void {
    this.waiting = error
    this.#set(this.pending.map((one) => (one.key === write.key ? { ...one, tries: one.tries + 1 } : one)))
    const wait = Math.min(LONGEST_WAIT_MS, this.firstWaitMs * 2 ** write.tries)
    this.#timer = setTimeout(() => this.retry(), wait)
  }

  #set(pending: Pending[]): void {
    this.pending = pending
    this.keep.put(pending)
  }
}

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export const writes = new Writes()

/** Queues one write; see WriteSpec. */
export function write<T = unknown>(spec: WriteSpec<T>): Promise<T> {
  return writes.write(spec)
}
