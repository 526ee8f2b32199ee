/** What /api/outliers answers, and the words for it. */

export type Verdict = 'interesting' | 'artefact' | 'known'
export type Kind = 'artefact' | 'astrophysical' | 'unclear'

export interface Reason {
  name: string
  kind: Kind
  share: number
  lo_aa: number | null
  hi_aa: number | null
  text: string
}

export interface Driver {
  lo_aa: number
  hi_aa: number
  contribution: number
  sign: number
}

export interface Spark {
  wave_aa: number[]
  flux: (number | null)[]
  expected: (number | null)[]
}

export interface Strange {
  row: number
  id: string
  uid: string
  rank: number
  was_rank: number | null
  value: number | null
  significance: number | null
  percentile: number | null
  kind: Kind | ''
  reasons: Reason[]
  /** For each of `drivers`, the lines that may be behind it. */
  lines: string[]
  drivers: Driver[]
  judgement: Verdict | null
  target_name: string | null
  class: string | null
  snr: number | null
  spark: Spark | null
  model?: string
  /** Of the wavelengths: observed, rest … */
  frame?: string
  expected_by?: string
  note?: string
  bin?: string
  bin_rank?: number | null
  bin_size?: number | null
}

export interface Ranked {
  score: string
  scores: string[]
  judged: number | Record<string, number>
  abstained: number | Record<string, number>
  notes: string[]
  count: number
  answers: Strange[]
  rerank: { used: number; how: string } | null
}

export const VERDICTS: readonly { verdict: Verdict; key: string; title: string; about: string }[] = [
  { verdict: 'interesting', key: 'i', title: 'Interesting', about: 'worth a look by someone' },
  { verdict: 'artefact', key: 'a', title: 'Artefact', about: 'of the instrument or the reduction' },
  { verdict: 'known', key: 'k', title: 'Known', about: 'strange, but understood' },
]

export const KINDS: readonly { kind: Kind; title: string; about: string }[] = [
  { kind: 'astrophysical', title: 'Astrophysical', about: 'as wide as the instrument makes lines, not on sky lines' },
  { kind: 'artefact', title: 'Artefact', about: 'spikes, sky lines, bad joins, noise, masks' },
  { kind: 'unclear', title: 'Unclear', about: 'smooth departures: flux calibration, reddening, unusual stars' },
]

/** What each score asks, for the chooser. */
export const SCORES: Readonly<Record<string, { title: string; about: string }>> = {
  combined: { title: 'Combined', about: 'what the model cannot reproduce, or what has no like: whichever is stranger' },
  reconstruction: { title: 'Reconstruction', about: 'what the model of this archive cannot reproduce' },
  density: { title: 'Density', about: 'far from its nearest kin in the embedding' },
  total: { title: 'Total weirdness', about: 'unsupervised random forest over everything' },
  spectral: { title: 'Spectral weirdness', about: 'forest of its own, among like spectra' },
  spatial: { title: 'Spatial weirdness', about: 'unlike the spectra of its neighbours on the sky or in space' },
  label: { title: 'Label', about: 'its label is denied by spectra like it' },
}

/** Title of a score of the archive: those that take a column are named SCORE-COLUMN-HASH. */
export function scoreTitle(name: string): string {
  if (SCORES[name]) return SCORES[name].title
  const cut = /^([a-z]+)-(.+)-[0-9a-f]{6}$/.exec(name)
  if (cut) return `${SCORES[cut[1]!]?.title ?? cut[1]} of ${cut[2]}`
  return name
}

/** A name to show: the target's, else the survey's own id. */
export function nameOf(item: Pick<Strange, 'target_name' | 'id'>): string {
  if (item.target_name) return item.target_name
  const cut = item.id.indexOf(':')
  return cut < 0 ? item.id : item.id.slice(cut + 1)
}

/** "8.4 σ": how far above what is usual at its S/N. */
export function sigma(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? '–' : `${value.toFixed(value < 10 ? 1 : 0)} σ`
}

/** "6540–6580 Å"; empty where the reason holds all over. */
export function where(lo: number | null | undefined, hi: number | null | undefined): string {
  if (lo == null || hi == null || !Number.isFinite(lo) || !Number.isFinite(hi)) return ''
  return `${Math.round(lo)}–${Math.round(hi)} Å`
}

/** The whole of an outlier in a sentence: what the picture says, for those who do not see it. */
export function sentence(item: Strange, verdict: Verdict | null): string {
  const parts = [`Rank ${item.rank}, ${nameOf(item)}`]
  if (item.significance != null) parts.push(`${sigma(item.significance)} above the usual at its S/N`)
  if (item.kind) parts.push(item.kind)
  const first = item.reasons[0]
  if (first) parts.push(first.text)
  if (item.class) parts.push(`class ${item.class}`)
  if (verdict) parts.push(`judged ${verdict}`)
  return parts.join('; ')
}

/** How many were judged or abstained, whether told as one number or by embedding. */
export function total(count: number | Record<string, number> | null | undefined): number {
  if (count == null) return 0
  return typeof count === 'number' ? count : Math.max(0, ...Object.values(count))
}
