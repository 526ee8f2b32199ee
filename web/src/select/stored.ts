/** Selections that the server keeps. */
import { moment } from '../lib/format'

export interface Stored {
  sid: string
  name: string
  about: string
  origin: { kind: string; text: string } | null
  count: number
  owner: string
  mine: boolean
  shared: boolean
  /** Of the archive, when it was saved. */
  version: number
  /** Unix seconds. */
  created: number
  changed: number
  /** Members that the open version of the archive no longer has. */
  missing: number
  revision: number
}

/** Those whose name, text or owner has all the words; the newest first. */
export function search(all: readonly Stored[], text: string): Stored[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  return all
    .filter((s) => {
      const hay = `${s.name} ${s.about} ${s.owner} ${s.origin?.text ?? ''}`.toLowerCase()
      return words.every((w) => hay.includes(w))
    })
    .sort((a, b) => b.changed - a.changed)
}

/** "1,204 · 3 no longer there": what there is of it in the open version. */
export function countText(s: Pick<Stored, 'count' | 'missing'>): string {
  const count = `${(s.count - s.missing).toLocaleString('en')}`
  return s.missing ? `${count} · ${s.missing.toLocaleString('en')} no longer there` : count
}

/** Unix seconds → "today 14:05". */
export function when(seconds: number | null | undefined): string {
  return seconds == null ? '–' : moment(new Date(seconds * 1000).toISOString())
}

/** A name that is not taken: "odd", "odd 2", "odd 3". */
export function freeName(wanted: string, taken: readonly string[]): string {
  const name = wanted.trim() || 'Selection'
  const used = new Set(taken.map((t) => t.toLowerCase()))
  if (!used.has(name.toLowerCase())) return name
  const bare = name.replace(/ \d+$/, '')
  for (let n = 2; ; n++) if (!used.has(`${bare} ${n}`.toLowerCase())) return `${bare} ${n}`
}

/** The address that shows this selection in a screen: what a person sends to another. */
export function shareLink(base: string, sid: string): string {
  const url = new URL(base)
  url.searchParams.set('sel', sid)
  url.searchParams.delete('rows')
  url.hash = ''
  return url.toString()
}
