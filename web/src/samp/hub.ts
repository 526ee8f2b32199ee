/**
 * A client of SAMP's web profile: the hub on the visitor's own machine, spoken to by XML-RPC.
 *
 * Source: IVOA SAMP 1.3, section 5. The hub asks the visitor whether the page may come in. There is
 * no way for it to call a page, so the page asks again and again what there is.
 */
import { asMap, record, type Message } from './messages'
import { decodeResponse, encodeCall, Fault, type Value } from './xmlrpc'

export const ADDRESS = 'http://localhost:21012/'

/** Sends a body, gives the answer's; rejects where nobody answers. */
export type Transport = (body: string, options?: { signal?: AbortSignal; last?: boolean }) => Promise<string>

/** `absent`: no hub answers · `refused`: it, or the visitor, said no · `gone`: it was there before */
export class HubError extends Error {
  constructor(
    readonly kind: 'absent' | 'refused' | 'gone',
    text = '',
  ) {
    super(text)
    this.name = 'HubError'
  }
}

export interface Program {
  id: string
  name: string
  subscriptions: string[]
}

export interface Handlers {
  /** Something arrived; what is returned is answered where an answer is wanted. */
  message: (sender: string, message: Message) => void
  /** A program's answer to what was sent under this tag. */
  response: (responder: string, tag: string, response: Value) => void
  /** The hub does not answer any more, or put us out. */
  gone: () => void
}

const PULL_S = 20
/** A hub may answer at once though nothing is there: so long is waited then. */
const REST_MS = 400
const TRIES = 3

export class WebHub {
  #key = ''
  #self = ''
  #open = false
  readonly #stop = new AbortController()

  constructor(
    private readonly send: Transport,
    private readonly rest: number = REST_MS,
  ) {}

  /** Asks to come in; the hub's window asks the visitor meanwhile. */
  async register(metadata: Record<string, string>, subscriptions: readonly string[], signal?: AbortSignal): Promise<void> {
    let answer: Record<string, Value>
    try {
      answer = asMap(decodeResponse(await this.send(encodeCall('samp.webhub.register', [{ 'samp.name': metadata['samp.name'] }]), { signal })))
    } catch (error) {
      if (error instanceof Fault) throw new HubError('refused', error.text)
      if (signal?.aborted) throw error
      throw new HubError('absent', error instanceof Error ? error.message : '')
    }
    this.#key = String(answer['samp.private-key'] ?? '')
    this.#self = String(answer['samp.self-id'] ?? '')
    if (!this.#key) throw new HubError('refused', 'it gave no key')
    this.#open = true
    await this.call('declareMetadata', metadata)
    await this.call('allowReverseCallbacks', '1')
    await this.call('declareSubscriptions', Object.fromEntries(subscriptions.map((mtype) => [mtype, {}])))
  }

  /** Any method of the hub. Throws Fault, or HubError where nobody answers. */
  async call(method: string, ...params: Value[]): Promise<Value> {
    if (!this.#open) throw new HubError('gone')
    try {
      return decodeResponse(await this.send(encodeCall(`samp.webhub.${method}`, [this.#key, ...params])))
    } catch (error) {
      if (error instanceof Fault) throw error
      throw new HubError('gone', error instanceof Error ? error.message : '')
    }
  }

  notifyAll(message: Message): Promise<Value> {
    return this.call('notifyAll', record(message))
  }

  notify(to: string, message: Message): Promise<Value> {
    return this.call('notify', to, record(message))
  }

  /** Sends what is to be answered: the answer comes to `Handlers.response` under the tag. */
  ask(to: string, tag: string, message: Message): Promise<Value> {
    return this.call('call', to, tag, record(message))
  }

  /** The other programs, by name. One that leaves meanwhile is left out. */
  async programs(): Promise<Program[]> {
    const ids = await this.call('getRegisteredClients')
    const others = (Array.isArray(ids) ? ids : []).filter((id): id is string => typeof id === 'string' && id !== this.#self)
    const found = await Promise.all(others.map((id) => this.#program(id)))
    return found.filter((one) => one !== null).sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id))
  }

  async #program(id: string): Promise<Program | null> {
    try {
      const [metadata, subscriptions] = await Promise.all([this.call('getMetadata', id), this.call('getSubscriptions', id)])
      return { id, name: String(asMap(metadata)['samp.name'] ?? '') || id, subscriptions: Object.keys(asMap(subscriptions)) }
    } catch (error) {
      if (error instanceof Fault) return null
      throw error
    }
  }

  /** Takes in what comes, until the hub goes or `close` is called. */
  async listen(handlers: Handlers): Promise<void> {
    let failures = 0
    while (this.#open) {
      const began = Date.now()
      let calls: Value[] = []
      try {
        const found = decodeResponse(await this.send(encodeCall('samp.webhub.pullCallbacks', [this.#key, String(PULL_S)]), { signal: this.#stop.signal }))
        calls = Array.isArray(found) ? found : []
        failures = 0
      } catch (error) {
        if (!this.#open) return
        if (error instanceof Fault || ++failures >= TRIES) {
          this.#open = false
          handlers.gone()
          return
        }
      }
      for (const one of calls) this.#took(asMap(one), handlers)
      if (!calls.length && Date.now() - began < this.rest) await new Promise((resolve) => setTimeout(resolve, this.rest))
    }
  }

  #took(callback: Record<string, Value>, handlers: Handlers): void {
    const params = Array.isArray(callback['samp.params']) ? callback['samp.params'] : []
    const [from, second, third] = params
    const sender = String(from ?? '')
    // "samp.webclient.receiveCall" by the standard; pyvo's hub leaves the first words out
    switch (String(callback['samp.methodName'] ?? '').split('.').at(-1)) {
      case 'receiveNotification':
        handlers.message(sender, messageOf(second))
        break
      case 'receiveCall':
        handlers.message(sender, messageOf(third))
        this.call('reply', String(second ?? ''), { 'samp.status': 'samp.ok', 'samp.result': {} }).catch(() => undefined) // whoever asked has gone
        break
      case 'receiveResponse':
        handlers.response(sender, String(second ?? ''), third ?? '')
    }
  }

  /** Leaves. `last`: the page goes away, so nobody waits for the answer. */
  async close(last = false): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#stop.abort()
    try {
      await this.send(encodeCall('samp.webhub.unregister', [this.#key]), { last })
    } catch {
      // The hub has gone first.
    }
  }
}

function messageOf(value: Value | undefined): Message {
  const { 'samp.mtype': mtype, 'samp.params': params } = asMap(value)
  return { mtype: String(mtype ?? ''), params: asMap(params) }
}

/** The visitor's own machine. */
export const toHub: Transport = async (body, { signal, last } = {}) => {
  const response = await fetch(ADDRESS, {
    method: 'POST', body, signal, keepalive: last, headers: { 'Content-Type': 'text/xml' },
    credentials: 'omit', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer',
  })
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`)
  return response.text()
}
