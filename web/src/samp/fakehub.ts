/** A hub in memory, for tests: it answers XML with XML, and says what it was asked. */
import type { Transport } from './hub'
import { decodeResponse, encodeCall, type Value } from './xmlrpc'

const PROGRAMS: Record<string, { metadata: Record<string, Value>; subscriptions: Record<string, Value> }> = {
  hub: { metadata: { 'samp.name': 'Hub' }, subscriptions: {} },
  c1: { metadata: { 'samp.name': 'TOPCAT' }, subscriptions: { 'table.*': {} } },
  c2: { metadata: {}, subscriptions: { '*': {} } },
}

export class FakeHub {
  asked: { method: string; params: Value[] }[] = []
  callbacks: Value[] = []
  there = true
  /** Answers the page's registration with a fault of this text. */
  refuses = ''

  readonly send: Transport = async (body, { signal } = {}) => {
    await Promise.resolve()
    if (signal?.aborted) throw new DOMException('aborted', 'AbortError')
    if (!this.there) throw new TypeError('Failed to fetch')
    const method = /<methodName>(.*?)<\/methodName>/.exec(body)![1].replace('samp.webhub.', '')
    const params = read(body)
    this.asked.push({ method, params })
    if (method === 'register' && this.refuses) return fault(this.refuses)
    if (method !== 'register' && params[0] !== 'KEY') return fault('no such key')
    return answer(this.answers[method]?.(params) ?? '')
  }

  answers: Record<string, (params: Value[]) => Value> = {
    register: () => ({ 'samp.private-key': 'KEY', 'samp.self-id': 'me', 'samp.hub-id': 'hub', 'samp.url-translator': '' }),
    getRegisteredClients: () => Object.keys(PROGRAMS),
    getMetadata: ([, id]) => PROGRAMS[id as string].metadata,
    getSubscriptions: ([, id]) => PROGRAMS[id as string].subscriptions,
    pullCallbacks: () => this.callbacks.splice(0),
  }

  /** The parameters of each call of a method, without the key. */
  of(method: string): Value[][] {
    return this.asked.filter((one) => one.method === method).map((one) => one.params.slice(1))
  }

  says(method: string, ...params: Value[]): void {
    this.callbacks.push({ 'samp.methodName': method, 'samp.params': params })
  }
}

function answer(value: Value): string {
  return encodeCall('x', [value]).replace(/<methodName>.*?<\/methodName>/, '').replace(/methodCall/g, 'methodResponse')
}

function fault(text: string): string {
  const value = { faultCode: '1', faultString: text }
  return answer(value).replace('<params><param>', '<fault>').replace('</param></params>', '</fault>')
}

function read(body: string): Value[] {
  const params = body.slice(body.indexOf('<params>') + 8, body.lastIndexOf('</params>'))
  return params
    .split('</param>')
    .filter(Boolean)
    .map((one) => decodeResponse(`<methodResponse><params>${one}</param></params></methodResponse>`))
}
