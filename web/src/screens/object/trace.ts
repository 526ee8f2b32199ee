/** Small pictures of spectra on one grid, as SVG paths. */
import { percentile, robustRange } from "../../spectrum/decimate";

export interface Frame {
  width: number;
  height: number;
  lo: number;
  hi: number;
}

/** Vertical range of several traces that a few spikes do not set, with room. */
export function rangeOf(...traces: Float32Array[]): { lo: number; hi: number } {
  let lo = Infinity;
  let hi = -Infinity;
  for (const trace of traces) {
    const range = robustRange(trace, trace);
    if (range) [lo, hi] = [Math.min(lo, range.lo), Math.max(hi, range.hi)];
  }
  if (!(hi >= lo)) return { lo: 0, hi: 1 };
  const room = 0.06 * (hi - lo || Math.abs(hi) || 1);
  return { lo: lo - room, hi: hi + room };
}

/** The same about zero: for differences. */
export function evenRange(trace: Float32Array): { lo: number; hi: number } {
  const most = Math.max(percentile(trace.map(Math.abs), 0.995) || 0, 1e-9);
  return { lo: -1.1 * most, hi: 1.1 * most };
}

export function xOf(wave: number, grid: ArrayLike<number>, width: number): number {
  const [first, last] = [grid[0]!, grid[grid.length - 1]!];
  return ((wave - first) / (last - first || 1)) * width;
}

/** A trace as an SVG path of at most two points a pixel column: first, and the farther extreme. */
export function path(grid: ArrayLike<number>, trace: Float32Array, frame: Frame): string {
  const { width, height, lo, hi } = frame;
  const y = (value: number): string =>
    Math.max(-height, Math.min(2 * height, height - ((value - lo) / (hi - lo)) * height)).toFixed(1);
  let out = "";
  let on = false;
  for (let i = 0; i < trace.length; i++) {
    const value = trace[i]!;
    if (!Number.isFinite(value)) {
      on = false;
      continue;
    }
    out += `${on ? "L" : "M"}${xOf(grid[i]!, grid, width).toFixed(1)} ${y(value)}`;
    on = true;
  }
  return out;
}

/** A trace filled down to zero: for "why". */
export function area(grid: ArrayLike<number>, trace: Float32Array, frame: Frame): string {
  const { height, lo, hi } = frame;
  const zero = (height - ((0 - lo) / (hi - lo)) * height).toFixed(1);
  let out = "";
  let begun: string | null = null;
  let last = "";
  const close = (): void => {
    if (begun !== null) out += `L${last} ${zero}Z`;
    begun = null;
  };
  for (let i = 0; i < trace.length; i++) {
    const value = trace[i]!;
    if (!Number.isFinite(value)) {
      close();
      continue;
    }
    const x = xOf(grid[i]!, grid, frame.width).toFixed(1);
    const y = Math.max(0, Math.min(height, height - ((value - lo) / (hi - lo)) * height)).toFixed(1);
    out += begun === null ? `M${x} ${zero}L${x} ${y}` : `L${x} ${y}`;
    begun ??= x;
    last = x;
  }
  close();
  return out;
}
