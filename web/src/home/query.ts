/** A search as the address bar holds it, and what it comes to in the filter grammar. Pure. */
import { degrees, number } from '../lib/format'

/** One clicked value list, or one brushed range: lo ≤ x < hi, null for an open end. */
export type Condition =
  | { column: string; kind: 'values'; values: string[] }
  | { column: string; kind: 'range'; lo: number | null; hi: number | null }

export interface Cone {
  ra: number
  dec: number
  radius: number
}

export interface Search {
  q: string
  /** A filter that came with the address, from another screen or a colleague. */
  where: string
  cone: Cone | null
  conditions: Condition[]
  /** A column, descending with "-"; '' is the server's own order. */
  sort: string
  page: number
}

type Params = Record<string, string>
const VALUES = 'in.'
const RANGE = 'range.'

/** The search that an address names; what cannot be read is left out. */
export function fromParams(params: Params): Search {
  const conditions: Condition[] = []
  for (const [name, text] of Object.entries(params)) {
    if (name.startsWith(VALUES)) conditions.push({ column: name.slice(VALUES.length), kind: 'values', values: split(text) })
    else if (name.startsWith(RANGE)) {
      const [lo, hi] = text.split('..').map(ending)
      if (lo !== undefined && hi !== undefined && (lo ?? hi) !== null) conditions.push({ column: name.slice(RANGE.length), kind: 'range', lo, hi })
    }
  }
  return {
    q: params.q ?? '',
    where: params.where ?? '',
    cone: coneOf(params.cone),
    conditions,
    sort: params.sort ?? '',
    page: Math.max(0, Math.floor(Number(params.page) || 0)),
  }
}

/** An end of a range: '' is open (null); undefined is not a number. */
function ending(text: string | undefined): number | null | undefined {
  if (text === undefined || text.trim() === '') return text === '' ? null : undefined
  return Number.isFinite(Number(text)) ? Number(text) : undefined
}

/** The address parameters of a search; unsaid ones are absent. */
export function toParams(search: Search): Params {
  const params: Params = {}
  if (search.q) params.q = search.q
  if (search.where) params.where = search.where
  if (search.cone) params.cone = coneText(search.cone)
  for (const one of search.conditions) {
    if (one.kind === 'range') params[RANGE + one.column] = `${one.lo ?? ''}..${one.hi ?? ''}`
    else if (one.values.length) params[VALUES + one.column] = one.values.map(escape).join('|')
  }
  if (search.sort) params.sort = search.sort
  if (search.page) params.page = String(search.page)
  return params
}

export function coneText(cone: Cone): string {
  return [cone.ra, cone.dec, cone.radius].map((x) => String(Number(x.toFixed(6)))).join(',')
}

export function coneOf(text: string | undefined): Cone | null {
  const [ra, dec, radius] = (text ?? '').split(',').map(Number)
  const good = [ra, dec, radius].every(Number.isFinite) && radius > 0 && radius <= 180 && Math.abs(dec) <= 90
  return good ? { ra, dec, radius } : null
}

const escape = (text: string) => text.replace(/[\\|]/g, '\\$&')

function split(text: string): string[] {
  const values = ['']
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\' && i + 1 < text.length) values[values.length - 1] += text[++i]
    else if (text[i] === '|') values.push('')
    else values[values.length - 1] += text[i]
  }
  return values
}

/** A column's name as the filter grammar takes it. */
export function filterName(name: string): string {
  return /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`

/** Whether a column's values are compared as they are (numbers, yes and no), not as text. */
export type IsText = (column: string) => boolean

/** One condition in the filter grammar. */
export function filterOf(one: Condition, isText: IsText): string {
  const name = filterName(one.column)
  if (one.kind === 'range') {
    const ends = [one.lo === null ? '' : `${name} >= ${one.lo}`, one.hi === null ? '' : `${name} < ${one.hi}`]
    return ends.filter(Boolean).join(' AND ')
  }
  const values = isText(one.column) ? one.values.map(quoted) : one.values.filter((v) => v === 'true' || v === 'false' || Number.isFinite(Number(v)))
  return values.length === 1 ? `${name} = ${values[0]}` : `${name} IN (${values.join(', ')})`
}

/** Everything but the box and the cone, as one filter; '' for none. */
export function whereOf(search: Pick<Search, 'where' | 'conditions'>, isText: IsText): string {
  const parts = search.conditions.map((one) => filterOf(one, isText))
  if (search.where) parts.unshift(parts.length ? `(${search.where})` : search.where)
  return parts.join(' AND ')
}

/** The parameters of /api/find, facets, sky and rows. */
export function asked(search: Search, isText: IsText): Params {
  const params: Params = {}
  if (search.q) params.q = search.q
  const where = whereOf(search, isText)
  if (where) params.where = where
  if (search.cone) params.cone = coneText(search.cone)
  return params
}

/** True when nothing is asked: everything there is would answer. */
export function isEmpty(search: Search): boolean {
  return !search.q && !search.where && !search.cone && !search.conditions.length
}

/** A value clicked: in, or out again. */
export function toggled(conditions: Condition[], column: string, value: string): Condition[] {
  const old = conditions.find((one) => one.column === column && one.kind === 'values')
  const values = old?.kind === 'values' ? old.values : []
  const next = values.includes(value) ? values.filter((v) => v !== value) : [...values, value]
  const rest = conditions.filter((one) => one !== old)
  return next.length ? [...rest, { column, kind: 'values', values: next }] : rest
}

/** A range brushed; null takes it away. */
export function ranged(conditions: Condition[], column: string, range: [number | null, number | null] | null): Condition[] {
  const rest = conditions.filter((one) => !(one.column === column && one.kind === 'range'))
  return range ? [...rest, { column, kind: 'range', lo: range[0], hi: range[1] }] : rest
}

/** A condition as its chip says it; `text` and `unit` show its numbers as its facet does. */
export function said(one: Condition, title: string, text: (x: number) => string = (x) => number(x), unit = ''): string {
  if (one.kind === 'values') return `${title}: ${one.values.join(', ')}`
  const after = unit ? ` ${unit}` : ''
  if (one.lo === null) return `${title} below ${text(one.hi!)}${after}`
  if (one.hi === null) return `${title} from ${text(one.lo)}${after}`
  return `${title} ${text(one.lo)} to ${text(one.hi)}${after}`
}

export function saidCone(cone: Cone): string {
  return `within ${degrees(cone.radius, cone.radius < 1 ? 3 : 1)} of ${degrees(cone.ra, 2)} ${degrees(cone.dec, 2)}`
}

/** The whole search in words, for a selection's origin. */
export function inWords(search: Search, isText: IsText): string {
  const parts = [search.q, whereOf(search, isText), search.cone ? saidCone(search.cone) : ''].filter(Boolean)
  return parts.length ? parts.join(' · ') : 'the whole archive'
}

/** Whether an address parameter is one of the search's own. */
export function isOwn(name: string): boolean {
  return ['q', 'where', 'cone', 'sort', 'page'].includes(name) || name.startsWith(VALUES) || name.startsWith(RANGE)
}
