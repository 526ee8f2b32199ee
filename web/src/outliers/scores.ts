/** Which scores the archive keeps, and which would have to be computed first. */
import type { Overview } from '../lib/archive.svelte'
import { SCORES } from './answers'

type Kept = Overview['scores']

/** Kept scores, whatever the embedding, the usual ones first. */
export function ready(kept: Kept): string[] {
  const order = Object.keys(SCORES)
  const names = [...new Set(kept.map((s) => s.score))]
  const at = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length)
  return names.sort((a, b) => at(a) - at(b) || (a < b ? -1 : 1))
}

export function isReady(kept: Kept, name: string): boolean {
  return kept.some((s) => s.score === name)
}

/** Forests over everything: minutes of work where the archive does not keep them. */
const SLOW = new Set(['total', 'spectral', 'spatial'])

/** Whether a score is to be computed by a job before anything is asked of it. */
export function jobFirst(kept: Kept, name: string): boolean {
  return SLOW.has(name) && !isReady(kept, name)
}

/** Scores that need nothing but time: `label` needs a column, and is asked for under Jobs. */
export function offered(kept: Kept): string[] {
  return Object.keys(SCORES).filter((name) => name !== 'label' && !isReady(kept, name))
}
