/** Paths of small traces: pure, so that sixty at once cost no layout and can be tested. */

export type Trace = ArrayLike<number | null>

export interface Range {
  lo: number
  hi: number
}

function seen(trace: Trace | undefined): number[] {
  const out: number[] = []
  for (let i = 0; i < (trace?.length ?? 0); i++) {
    const v = trace![i]
    if (v !== null && v !== undefined && Number.isFinite(v)) out.push(v)
  }
  return out
}

/** Range to draw `y` in: one sample in a hundred may stick out at either end, and 6 % is left free. */
export function rangeOf(y: Trace, expected?: Trace): Range {
  let lo = Infinity
  let hi = -Infinity
  for (const trace of [y, expected]) {
    const values = seen(trace).sort((a, b) => a - b)
    if (!values.length) continue
    const spare = Math.floor(values.length * 0.01)
    lo = Math.min(lo, values[spare]!)
    hi = Math.max(hi, values[values.length - 1 - spare]!)
  }
  if (lo > hi) return { lo: 0, hi: 1 }
  const room = hi > lo ? 0.06 * (hi - lo) : Math.abs(hi) || 1
  return { lo: lo - room, hi: hi + room }
}

/**
 * SVG path of a trace of equal bins, broken where there is no value; beyond the range it is cut at
 * the edge. A lone sample becomes a dot (the stroke has round ends).
 */
export function pathOf(y: Trace, width: number, height: number, range: Range): string {
  const n = y.length
  const scale = height / (range.hi - range.lo)
  const parts: string[] = []
  let drawing = false
  let run = 0
  for (let i = 0; i < n; i++) {
    const v = y[i]
    if (v === null || v === undefined || !Number.isFinite(v)) {
      if (drawing && run === 1) parts.push('h0')
      drawing = false
      continue
    }
    const up = Math.min(height, Math.max(0, (v - range.lo) * scale))
    parts.push(`${drawing ? 'L' : 'M'}${(((i + 0.5) * width) / n).toFixed(1)} ${(height - up).toFixed(1)}`)
    run = drawing ? run + 1 : 1
    drawing = true
  }
  if (drawing && run === 1) parts.push('h0')
  return parts.join('')
}

/** Stretches to shade, as x and width in px: cut to the picture, never narrower than 2 px. */
export function bandsOf(highlight: readonly (readonly [number, number])[], width: number) {
  return highlight
    .filter(([lo, hi]) => hi >= 0 && lo <= 1 && hi >= lo)
    .map(([lo, hi]) => {
      const left = Math.max(0, lo) * width
      const wide = Math.max(2, Math.min(1, hi) * width - left)
      return { x: Math.min(left, width - wide), width: wide }
    })
}
