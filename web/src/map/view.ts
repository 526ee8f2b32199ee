/**
 * Geometry of one scatter view, without a screen.
 *
 * Points lie in a unit plane: (u, v) is 0…1 over a robust range of each axis, after a logarithm
 * where the axis has one, so that float32 keeps its digits where the points are. A camera maps
 * the plane to CSS pixels; a reversed axis has a negative scale.
 */
import { linearTicks, logTicks, type Tick } from "../lib/ticks";

export interface Axis {
  /** transformed (log10 where `log`) value at 0 of the unit plane */
  origin: number;
  /** transformed length of the unit plane, > 0 */
  span: number;
  log: boolean;
  /** grows to the left (or downwards) */
  reversed: boolean;
  /** transformed extremes of the finite values */
  min: number;
  max: number;
}

export interface Plane {
  x: Axis;
  y: Axis;
  /** both axes share a unit: one pixel is as long on both */
  locked: boolean;
}

/** Centre in the unit plane; pixels per unit, negative where the axis is reversed. */
export interface Camera {
  u: number;
  v: number;
  sx: number;
  sy: number;
}

export interface Size {
  width: number;
  height: number;
}

/** A place that no window shows: where points without a value on an axis are put. */
export const NOWHERE = 1e6;
/** Room beside the outermost points, in parts of the window. */
const PAD = 0.06;

/** Axis over the finite `values`; its unit range leaves out a few wild ones if they stretch it. */
export function axisOf(values: ArrayLike<number>, log = false, reversed = false): Axis {
  let min = Infinity;
  let max = -Infinity;
  const some = new Float64Array(Math.min(values.length, 20_000));
  let n = 0;
  for (let i = 0; i < values.length; i++) {
    const raw = values[i]!;
    const t = log ? Math.log10(raw) : raw;
    if (!Number.isFinite(t)) continue;
    if (t < min) min = t;
    if (t > max) max = t;
    if (n < some.length) some[n++] = t;
  }
  if (!n) return { origin: 0, span: 1, log, reversed, min: 0, max: 1 };
  const sorted = some.subarray(0, n).sort();
  const lo = sorted[Math.floor(0.01 * (n - 1))]!;
  const hi = sorted[Math.ceil(0.99 * (n - 1))]!;
  let [from, to] = [min, max];
  if (hi > lo && max - min > 2.5 * (hi - lo)) {
    from = Math.max(min, lo - 0.3 * (hi - lo));
    to = Math.min(max, hi + 0.3 * (hi - lo));
  }
  if (!(to > from)) {
    const pad = Math.abs(from) * 0.05 || 0.5;
    [from, to] = [from - pad, to + pad];
  }
  return { origin: from, span: to - from, log, reversed, min, max };
}

/** Unit-plane positions, interleaved u, v; points without one of them go `NOWHERE`. */
export function positions(
  xs: ArrayLike<number>, ys: ArrayLike<number>, plane: Plane,
): Float32Array {
  const n = xs.length;
  const at = new Float32Array(2 * n);
  const { x, y } = plane;
  const [kx, ky] = [1 / x.span, 1 / y.span];
  for (let i = 0; i < n; i++) {
    const a = xs[i]!;
    const b = ys[i]!;
    const u = ((x.log ? Math.log10(a) : a) - x.origin) * kx;
    const v = ((y.log ? Math.log10(b) : b) - y.origin) * ky;
    const ok = Math.abs(u) < NOWHERE / 10 && Math.abs(v) < NOWHERE / 10;
    at[2 * i] = ok ? u : NOWHERE;
    at[2 * i + 1] = ok ? v : NOWHERE;
  }
  return at;
}

/** Camera that shows `box` (u0, v0, u1, v1), by default the unit square, with a little room. */
export function fit(
  plane: Plane, size: Size, box: readonly number[] = [0, 0, 1, 1], pad = PAD,
): Camera {
  const [u0, v0, u1, v1] = box as [number, number, number, number];
  const room = 1 - 2 * pad;
  let sx = (Math.max(1, size.width) * room) / Math.max(1e-9, Math.abs(u1 - u0));
  let sy = (Math.max(1, size.height) * room) / Math.max(1e-9, Math.abs(v1 - v0));
  if (plane.locked) {
    // pixels per axis unit, the smaller of both
    const k = Math.min(sx / plane.x.span, sy / plane.y.span);
    [sx, sy] = [k * plane.x.span, k * plane.y.span];
  }
  return {
    u: (u0 + u1) / 2,
    v: (v0 + v1) / 2,
    sx: plane.x.reversed ? -sx : sx,
    sy: plane.y.reversed ? -sy : sy,
  };
}

/** The box that holds every point, wild ones too. */
export function everything(plane: Plane): [number, number, number, number] {
  const { x, y } = plane;
  return [
    (x.min - x.origin) / x.span, (y.min - y.origin) / y.span,
    (x.max - x.origin) / x.span, (y.max - y.origin) / y.span,
  ];
}

export function toPixel(cam: Camera, size: Size, u: number, v: number): [number, number] {
  return [size.width / 2 + (u - cam.u) * cam.sx, size.height / 2 - (v - cam.v) * cam.sy];
}

export function toPlane(cam: Camera, size: Size, px: number, py: number): [number, number] {
  return [cam.u + (px - size.width / 2) / cam.sx, cam.v - (py - size.height / 2) / cam.sy];
}

export function panned(cam: Camera, dx: number, dy: number): Camera {
  return { ...cam, u: cam.u - dx / cam.sx, v: cam.v + dy / cam.sy };
}

/** Zoomed by `k` (> 1: closer) about a pixel that stays where it is. */
export function zoomed(
  cam: Camera, size: Size, px: number, py: number, k: number, least: number,
): Camera {
  // between a tenth of the whole and where float32 would show its steps
  const f = Math.max(least / 10 / Math.abs(cam.sx), Math.min((least * 20_000) / Math.abs(cam.sx), k));
  const [u, v] = toPlane(cam, size, px, py);
  const next = { ...cam, sx: cam.sx * f, sy: cam.sy * f };
  next.u = u - (px - size.width / 2) / next.sx;
  next.v = v + (py - size.height / 2) / next.sy;
  return next;
}

/** The camera on a window of another size: the same centre, the same part of the plane. */
export function resized(cam: Camera, from: Size, to: Size, locked: boolean): Camera {
  if (!from.width || !from.height) return cam;
  const kx = to.width / from.width;
  const ky = to.height / from.height;
  const k = Math.sqrt(kx * ky); // so that a window that comes back to its size shows the same again
  return { ...cam, sx: cam.sx * (locked ? k : kx), sy: cam.sy * (locked ? k : ky) };
}

/** Value of the quantity (log undone) at a place of the unit plane. */
export function valueAt(axis: Axis, unit: number): number {
  const t = axis.origin + unit * axis.span;
  return axis.log ? Math.pow(10, t) : t;
}

export function unitAt(axis: Axis, value: number): number {
  return ((axis.log ? Math.log10(value) : value) - axis.origin) / axis.span;
}

/** [lowest, highest] value in the window, whichever way the axis runs. */
export function shown(axis: Axis, centre: number, scale: number, pixels: number): [number, number] {
  const half = pixels / 2 / Math.abs(scale);
  return [valueAt(axis, centre - half), valueAt(axis, centre + half)];
}

/** Ticks of one axis with their pixels, about one for each `apart` pixels. */
export function axisTicks(
  axis: Axis, cam: Camera, size: Size, which: "x" | "y", apart: number,
): (Tick & { pixel: number })[] {
  const across = which === "x";
  const pixels = across ? size.width : size.height;
  const [lo, hi] = shown(axis, across ? cam.u : cam.v, across ? cam.sx : cam.sy, pixels);
  const count = Math.max(2, pixels / apart);
  const ticks = axis.log ? logTicks(lo, hi, count) : linearTicks(lo, hi, count);
  return ticks.map((t) => {
    const unit = unitAt(axis, t.value);
    const at = toPixel(cam, size, across ? unit : cam.u, across ? cam.v : unit);
    return { ...t, pixel: across ? at[0] : at[1] };
  });
}
