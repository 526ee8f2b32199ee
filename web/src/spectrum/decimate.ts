/** Pictures of long arrays: minimum, mean and maximum of bins, robust ranges, runs of a mask. */

export interface Binned {
  x: Float64Array;
  mean: Float32Array;
  lo: Float32Array;
  hi: Float32Array;
  /** Samples a bin; 1 where nothing was folded. */
  bin: number;
}

/** Index of the first value >= `x` in an ascending array. */
export function lowerBound(sorted: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the value nearest to `x` in an ascending array; −1 when it is empty. */
export function nearest(sorted: ArrayLike<number>, x: number): number {
  const right = lowerBound(sorted, x);
  if (right === 0) return sorted.length ? 0 : -1;
  if (right === sorted.length) return right - 1;
  return x - sorted[right - 1]! <= sorted[right]! - x ? right - 1 : right;
}

/**
 * Samples between `lo` and `hi`, folded into at most `width` bins that keep every extreme.
 * One sample beyond either side is kept, so that a line runs on to the picture's edge.
 */
export function fold(
  x: Float64Array,
  y: Float32Array,
  lo: number,
  hi: number,
  width: number,
): Binned {
  const first = Math.max(0, lowerBound(x, lo) - 1);
  const last = Math.min(x.length, lowerBound(x, hi) + 2);
  const count = Math.max(0, last - first);
  const bin = Math.max(1, Math.ceil(count / Math.max(1, width)));
  const bins = Math.ceil(count / bin);
  const out: Binned = {
    x: new Float64Array(bins), mean: new Float32Array(bins),
    lo: new Float32Array(bins), hi: new Float32Array(bins), bin,
  };
  for (let b = 0; b < bins; b++) foldOne(x, y, first + b * bin, Math.min(last, first + (b + 1) * bin), b, out);
  return out;
}

function foldOne(
  x: Float64Array, y: Float32Array, from: number, to: number, b: number, out: Binned,
): void {
  let low = Infinity;
  let high = -Infinity;
  let sum = 0;
  let good = 0;
  for (let i = from; i < to; i++) {
    const value = y[i]!;
    if (!Number.isFinite(value)) continue;
    sum += value;
    good++;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  out.x[b] = (x[from]! + x[to - 1]!) / 2;
  out.mean[b] = good ? sum / good : NaN;
  out.lo[b] = good ? low : NaN;
  out.hi[b] = good ? high : NaN;
}

/** The p-th (0–1) percentile of the finite values; NaN when there are none. */
export function percentile(values: ArrayLike<number>, p: number): number {
  const kept = finite(values);
  return kept.length ? of(kept, p) : NaN;
}

function finite(values: ArrayLike<number>): Float64Array {
  const kept = new Float64Array(values.length);
  let n = 0;
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i]!)) kept[n++] = values[i]!;
  return kept.subarray(0, n).sort();
}

function of(sorted: Float64Array, p: number): number {
  const at = p * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(sorted.length - 1, low + 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}

export interface Range {
  lo: number;
  hi: number;
  /** Samples (or bins) that stick out of the picture. */
  beyond: number;
}

/**
 * A vertical range that spikes do not set. An end that lies further beyond the 0.3–99.7 % core
 * than three times its span counts only if it is no spike: it is four samples wide at a quarter of
 * its height or, where columns are folded, the column's mean reaches there too.
 *
 * mean: of folded columns; left out where lows and highs are the samples themselves
 */
export function robustRange(
  lows: ArrayLike<number>,
  highs: ArrayLike<number>,
  mean?: ArrayLike<number>,
): Range | null {
  const low = finite(lows);
  const high = finite(highs);
  if (!low.length || !high.length) return null;
  const core = [of(low, 0.003), of(high, 0.997)] as const;
  const span = core[1] - core[0] || Math.abs(core[1]) || 1;
  const hi = topOf(highs, of(high, 0.5), core[1] + 3 * span, core[1] + 0.25 * span, mean);
  const under = (values: ArrayLike<number>): Float64Array => Float64Array.from(values, (v) => -v);
  const lo = -topOf(under(lows), -of(low, 0.5), 3 * span - core[0], 0.25 * span - core[0], mean && under(mean));
  let beyond = 0;
  for (let i = 0; i < lows.length; i++) if (lows[i]! < lo || highs[i]! > hi) beyond++;
  return { lo, hi, beyond };
}

/** The highest value up to `cut` or, if more than a spike is above it, above; else `otherwise`. */
function topOf(
  values: ArrayLike<number>, base: number, cut: number, otherwise: number, mean?: ArrayLike<number>,
): number {
  let below = -Infinity;
  let above = -Infinity;
  let spikes = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value > cut) {
      spikes = true;
      if (value > above && (mean ? mean[i]! > cut : wideAt(values, i, base) >= 4)) above = value;
    } else if (value > below) below = value;
  }
  if (above > -Infinity) return above;
  return spikes ? Math.max(otherwise, Math.min(below, cut)) : below;
}

/** Neighbours of a sample (itself too) that reach a quarter of its height over the base; 4 at most. */
function wideAt(values: ArrayLike<number>, i: number, base: number): number {
  const least = base + 0.25 * (values[i]! - base);
  let wide = 1;
  for (let k = i - 1; wide < 4 && k >= 0 && values[k]! > least; k--) wide++;
  for (let k = i + 1; wide < 4 && k < values.length && values[k]! > least; k++) wide++;
  return wide;
}

/** [first, last] of every run of set entries. */
export function runs(set: ArrayLike<number>): [number, number][] {
  const out: [number, number][] = [];
  let start = -1;
  for (let i = 0; i <= set.length; i++) {
    const on = i < set.length && set[i] !== 0;
    if (on && start < 0) start = i;
    if (!on && start >= 0) {
      out.push([start, i - 1]);
      start = -1;
    }
  }
  return out;
}
