/** Where on a picture a stretch of wavelength lies. Samples are drawn at equal distances. */

import type { Driver, Reason, Spark, Strange } from './answers'

/** Position of a wavelength among the samples, 0…1 of the width: samples stand in the middle of bins. */
export function fraction(wave_aa: ArrayLike<number>, at_aa: number): number {
  const n = wave_aa.length
  if (n < 2) return 0.5
  let lo = 0
  let hi = n - 1
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1
    if (wave_aa[mid]! <= at_aa) lo = mid
    else hi = mid
  }
  const step = wave_aa[hi]! - wave_aa[lo]!
  const index = lo + (step > 0 ? (at_aa - wave_aa[lo]!) / step : 0)
  return (index + 0.5) / n
}

/** Stretches of a spark where the object departs, strongest first, as fractions of its width. */
export function departures(item: Pick<Strange, 'spark' | 'drivers'>): [number, number][] {
  const wave = item.spark?.wave_aa
  if (!wave?.length) return []
  return item.drivers.map((d) => [fraction(wave, d.lo_aa), fraction(wave, d.hi_aa)])
}

export interface Mark {
  lo_aa: number
  hi_aa: number
  text: string
  share: number
  sign: number
}

/** Drivers with the lines that may be behind them. */
export function marks(drivers: readonly Driver[], lines: readonly string[]): Mark[] {
  return drivers.map((d, i) => ({
    lo_aa: d.lo_aa,
    hi_aa: d.hi_aa,
    text: lines[i] ?? '',
    share: d.contribution,
    sign: d.sign,
  }))
}

/** "brighter", "fainter" or "both" than expected. */
export function signWord(sign: number): string {
  return sign > 0 ? 'brighter than expected' : sign < 0 ? 'fainter than expected' : 'brighter and fainter'
}

/** Reasons that hold somewhere, not all over. */
export function local(reasons: readonly Reason[]): Reason[] {
  return reasons.filter((r) => r.lo_aa != null && r.hi_aa != null && Number.isFinite(r.lo_aa))
}

/** Flux less what was expected; null where either is missing. */
export function residual(spark: Spark): (number | null)[] {
  return spark.flux.map((f, i) => {
    const e = spark.expected[i]
    return f == null || e == null ? null : f - e
  })
}
