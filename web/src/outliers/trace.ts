/** Traces on a wavelength axis, for the large view. */

export interface Frame {
  left: number
  top: number
  width: number
  height: number
  lo_aa: number
  hi_aa: number
  lo: number
  hi: number
}

export function xOf(f: Frame, aa: number): number {
  return f.left + ((aa - f.lo_aa) / (f.hi_aa - f.lo_aa)) * f.width
}

export function yOf(f: Frame, value: number): number {
  const share = (value - f.lo) / (f.hi - f.lo)
  return f.top + f.height * (1 - Math.min(1.02, Math.max(-0.02, share)))
}

/** SVG path, broken where there is no value. */
export function trace(wave_aa: ArrayLike<number>, values: ArrayLike<number | null>, f: Frame): string {
  const parts: string[] = []
  let drawing = false
  for (let i = 0; i < values.length; i++) {
    const v = values[i]
    if (v === null || v === undefined || !Number.isFinite(v)) {
      drawing = false
      continue
    }
    parts.push(`${drawing ? 'L' : 'M'}${xOf(f, wave_aa[i]).toFixed(1)} ${yOf(f, v).toFixed(1)}`)
    drawing = true
  }
  return parts.join('')
}

export interface Placed<T> {
  item: T
  x: number
  line: number
}

/**
 * Labels on as few lines as keep them apart, leftmost first; those that fit on none of `lines` are
 * left out.
 * wide : width of a label in px
 */
export function placed<T>(items: readonly { item: T; x: number; wide: number }[], lines: number, left: number, right: number): Placed<T>[] {
  const ends: number[] = Array(lines).fill(-Infinity)
  const out: Placed<T>[] = []
  for (const { item, x, wide } of [...items].sort((a, b) => a.x - b.x)) {
    const centre = Math.min(right - wide / 2, Math.max(left + wide / 2, x))
    const line = ends.findIndex((end) => end < centre - wide / 2)
    if (line < 0) continue
    ends[line] = centre + wide / 2 + 6
    out.push({ item, x: centre, line })
  }
  return out
}
