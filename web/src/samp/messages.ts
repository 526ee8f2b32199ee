/** Messages of SAMP: what they are called, what they hold, and what they come back as. Pure. */
import type { Value } from './xmlrpc'

export interface Message {
  mtype: string
  params: Record<string, Value>
}

export const TABLE = 'table.load.votable'
export const SPECTRUM = 'spectrum.load.ssa-generic'
export const POINT = 'coord.pointAt.sky'
export const ROW = 'table.highlight.row'
export const ROWS = 'table.select.rowList'
/** Of the hub: somebody came, went, or said something new about itself. */
export const COMINGS = ['samp.hub.event.register', 'samp.hub.event.unregister', 'samp.hub.event.metadata', 'samp.hub.event.subscriptions']
export const ENDS = ['samp.hub.event.shutdown', 'samp.hub.disconnect']

export function record({ mtype, params }: Message): Record<string, Value> {
  return { 'samp.mtype': mtype, 'samp.params': params }
}

export function tableMessage(url: string, id: string, name: string): Message {
  return { mtype: TABLE, params: { url, 'table-id': id, name: asciiText(name) } }
}

/** `meta`: what is known of it, by SSA's names. */
export function spectrumMessage(url: string, meta: Record<string, string>, name: string): Message {
  return { mtype: SPECTRUM, params: { url, 'spectrum-id': url, name: asciiText(name), meta: { ...meta, 'Access.Reference': url } } }
}

/** Degrees, ICRS. */
export function pointMessage(ra: number, dec: number): Message {
  return { mtype: POINT, params: { ra: String(ra), dec: String(dec) } }
}

export function rowMessage(table: { id: string; url: string }, row: number): Message {
  return { mtype: ROW, params: { 'table-id': table.id, url: table.url, row: String(row) } }
}

export function rowsMessage(table: { id: string; url: string }, rows: ArrayLike<number>): Message {
  return { mtype: ROWS, params: { 'table-id': table.id, url: table.url, 'row-list': Array.from(rows, String) } }
}

/** A position that another program points at; null where it is none. */
export function pointOf(params: Record<string, Value>): { ra: number; dec: number } | null {
  const [ra, dec] = [Number(params.ra ?? NaN), Number(params.dec ?? NaN)]
  return Number.isFinite(ra) && Math.abs(dec) <= 90 ? { ra: ((ra % 360) + 360) % 360, dec } : null
}

/** Text as SAMP allows it: printable ASCII; letters lose their accents. */
export function asciiText(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[−–]/g, '-')
    .replace(/[^\t\n\r\x20-\x7e]/gu, '?')
}

/** Whether a program's subscriptions ("table.*", "*") take a message. */
export function takes(subscriptions: readonly string[], mtype: string): boolean {
  return subscriptions.some((one) => one === '*' || one === mtype || (one.endsWith('.*') && mtype.startsWith(one.slice(0, -1))))
}

/** A map, whatever was sent in its place. */
export function asMap(value: Value | undefined): Record<string, Value> {
  return value === undefined || typeof value === 'string' || Array.isArray(value) ? {} : value
}

/** What a program answered: null for done, else in words. */
export function refusal(response: Value): string | null {
  const { 'samp.status': status, 'samp.error': error } = asMap(response)
  if (status === 'samp.ok' || status === 'samp.warning') return null
  return String(asMap(error)['samp.errortxt'] ?? '') || 'it could not'
}
