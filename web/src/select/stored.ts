/** Selections that the server keeps. */

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
  created: string
  changed: string
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
    .sort((a, b) => (a.changed < b.changed ? 1 : a.changed > b.changed ? -1 : 0))
}

/** "1,204 · 3 no longer there": what there is of it in the open version. */
export function countText(s: Pick<Stored, 'count' | 'missing'>): string {
  const count = `${(s.count - s.missing).toLocaleString('en')}`
  return s.missing ? `${count} · ${s.missing.toLocaleString('en')} no longer there` : count
}

/** A name that is not taken: "odd", "odd 2", "odd 3". */
export function freeName(wanted: string, taken: readonly string[]): string {
  const name = wanted.trim() || 'Selection'
  const used = new Set(taken.map((t) => t.toLowerCase()))
  if (!used.has(name.toLowerCase())) return name
  const bare = name.replace(/ \d+$/, '')
  for (let n = 2; ; n++) if (!used.has(`${bare} ${n}`.toLowerCase())) return `${bare} ${n}`
}

/** Sorted union of two sorted sets of rows. */
export function union(a: ArrayLike<number>, b: ArrayLike<number>): Int32Array {
  const out = new Int32Array(a.length + b.length)
  let i = 0
  let j = 0
  let n = 0
  while (i < a.length || j < b.length) {
    const x = i < a.length ? a[i] : Infinity
    const y = j < b.length ? b[j] : Infinity
    out[n++] = Math.min(x, y)
    if (x <= y) i++
    if (y <= x) j++
  }
  return out.slice(0, n)
}

/** Whether two sorted sets of rows are one. */
export function same(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** The address that shows this selection in a screen: what a person sends to another. */
export function shareLink(base: string, sid: string): string {
  const url = new URL(base)
  url.searchParams.set('sel', sid)
  url.searchParams.delete('rows')
  url.hash = ''
  return url.toString()
}
