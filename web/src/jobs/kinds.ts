/** Work that can be started, who may start it, and what it must be told. */
import type { Overview } from '../lib/archive.svelte'

export type Kind = 'select' | 'stack' | 'score' | 'map'

export const KIND_TITLES: Readonly<Record<string, string>> = {
  select: 'Select',
  stack: 'Exact stack',
  score: 'Outlier score',
  map: 'Map',
}

export const KINDS: readonly { kind: Kind; about: string }[] = [
  { kind: 'select', about: 'Finds observations by a filter, by likeness to one, or by a score, and keeps them as a selection.' },
  { kind: 'stack', about: 'Median and percentiles of every member of the selection, not of a random 2,000.' },
  { kind: 'score', about: 'Computes an outlier score for everything that is embedded, and keeps it in the archive.' },
  { kind: 'map', about: 'Lays out what is embedded in two dimensions, and keeps the map in the archive.' },
]

/** Kinds that write into the archive. */
const WRITES = new Set<string>(['score', 'map'])

/** Why this visitor may not start this; null where they may. */
export function reasonAgainst(kind: string, overview: Pick<Overview, 'user' | 'writable' | 'embeddings'> | null): string | null {
  if (!overview) return 'The archive is not open yet.'
  if (kind !== 'stack' && kind !== 'select' && !overview.embeddings.length) return 'Nothing is embedded yet: run "spectrarium embed" first.'
  if (!WRITES.has(kind)) return null
  if (!overview.user.rights.includes('operate')) return 'It writes into the archive: only its operator may start it.'
  if (!overview.writable) return 'The archive can only be read here.'
  return null
}

/** The server takes so many neighbours or outliers. */
export const MOST_K = 5000

export interface Answers {
  name: string
  from: 'where' | 'similar' | 'outliers'
  where: string
  id: string
  k: number
  model: string
  score: string
  label: string
  method: string
  seed: string
}

export const BLANK: Answers = { name: '', from: 'where', where: '', id: '', k: 100, model: '', score: 'combined', label: '', method: 'umap', seed: '' }

/** What is still missing; null where the job can start. */
export function lacking(kind: Kind, a: Answers, selected: number, atOnce: number): string | null {
  if (kind === 'stack') {
    if (!selected) return 'Select some observations first.'
    return selected > atOnce ? null : `Up to ${atOnce.toLocaleString('en')} are stacked exactly at once, under the map: no job is needed.`
  }
  if (kind === 'score') return a.score === 'label' && !a.label ? 'Choose the label to be judged.' : null
  if (kind === 'map') return a.seed && !/^\d+$/.test(a.seed.trim()) ? 'A seed is a whole number.' : null
  if (!a.name.trim()) return 'Say under what name to keep it.'
  if (a.from === 'where') return a.where.trim() ? null : 'Say a filter.'
  if (a.from === 'similar' && !a.id.trim()) return 'Say which observation.'
  return Number.isInteger(a.k) && a.k >= 1 && a.k <= MOST_K ? null : `How many: 1 to ${MOST_K.toLocaleString('en')}.`
}

/** The parameters that the server is sent. */
export function params(kind: Kind, a: Answers, rows: ArrayLike<number>): Record<string, unknown> {
  const text = (value: string) => value.trim() || undefined
  if (kind === 'stack') return { rows: Array.from(rows), exact: true }
  if (kind === 'score') return { score: a.score, model: text(a.model), label: a.score === 'label' ? a.label : undefined }
  if (kind === 'map') return { method: a.method, model: text(a.model), where: text(a.where), seed: a.seed.trim() ? Number(a.seed) : undefined }
  const name = a.name.trim()
  if (a.from === 'where') return { name, where: a.where.trim() }
  if (a.from === 'similar') return { name, similar: { id: a.id.trim(), k: a.k, model: text(a.model), where: text(a.where) } }
  return { name, outliers: { score: a.score, k: a.k, where: text(a.where) } }
}
