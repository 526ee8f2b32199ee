/** Places and words of axis ticks, linear and logarithmic. */

export interface Tick {
  /** in the units of the axis */
  value: number;
  label: string;
}

/** The step of 1, 2 or 5 × 10^k that puts about `count` ticks into `span`. */
export function niceStep(span: number, count: number): number {
  const raw = Math.abs(span) / Math.max(1, count);
  if (!(raw > 0) || !Number.isFinite(raw)) return 1;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const f = raw / power;
  const factor = f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10;
  return factor * power;
}

/** `value` with as many digits as a `step` needs to be told apart. */
export function tickLabel(value: number, step: number): string {
  const size = Math.max(Math.abs(value), Math.abs(step));
  if (value !== 0 && (size >= 1e6 || size < 1e-4)) {
    const digits = Math.max(0, Math.floor(Math.log10(Math.abs(value))) - Math.floor(Math.log10(step)));
    return value.toExponential(Math.min(6, digits)).replace("e+", "e").replace("-", "−");
  }
  const digits = Math.max(0, Math.min(10, -Math.floor(Math.log10(step) + 1e-9)));
  const text = value.toFixed(digits);
  return text.replace("-", "−").replace(/^−(0(\.0*)?)$/, "$1");
}

/** Ticks of a linear axis from `lo` to `hi`, in rising order. */
export function linearTicks(lo: number, hi: number, count = 6): Tick[] {
  if (lo > hi) [lo, hi] = [hi, lo];
  const step = niceStep(hi - lo, count);
  const out: Tick[] = [];
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  for (let k = first; k <= last && out.length < 100; k++) {
    out.push({ value: k * step, label: tickLabel(k * step, step) });
  }
  return out;
}

/** Ticks of a log axis; `lo`, `hi` and the values are the quantity itself, both above 0. */
export function logTicks(lo: number, hi: number, count = 6): Tick[] {
  if (lo > hi) [lo, hi] = [hi, lo];
  if (!(lo > 0)) return [];
  const decades = Math.log10(hi) - Math.log10(lo);
  if (decades < 0.7) return linearTicks(lo, hi, count);
  const every = Math.max(1, Math.round(decades / count));
  const within = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
  const out: Tick[] = [];
  for (let p = Math.floor(Math.log10(lo)); p <= Math.ceil(Math.log10(hi)); p++) {
    if (decades > 4 && ((p % every) + every) % every !== 0) continue;
    for (const m of within) {
      const value = m * Math.pow(10, p);
      if (value >= lo * 0.999 && value <= hi * 1.001) {
        out.push({ value, label: tickLabel(value, value) });
      }
    }
  }
  return out;
}
