/**
 * Which points lie inside a drawn shape. Positions are interleaved u, v; shapes are in the same
 * plane. Exact tests on typed arrays: 300,000 points against a freehand polygon in a few tens of
 * milliseconds.
 */

/** Indices of the points in the polygon (u, v, u, v …) by the non-zero rule, in rising order. */
export function inPolygon(at: Float32Array, polygon: ArrayLike<number>): Int32Array {
  const m = polygon.length >> 1;
  if (m < 3) return new Int32Array(0);
  let [u0, v0, u1, v1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let k = 0; k < m; k++) {
    u0 = Math.min(u0, polygon[2 * k]!);
    u1 = Math.max(u1, polygon[2 * k]!);
    v0 = Math.min(v0, polygon[2 * k + 1]!);
    v1 = Math.max(v1, polygon[2 * k + 1]!);
  }
  if (!(v1 > v0) || !(u1 > u0)) return new Int32Array(0);
  const bands = banded(polygon, m, v0, v1);
  const out = new Int32Array(at.length >> 1);
  let n = 0;
  for (let i = 0; i < out.length; i++) {
    const v = at[2 * i + 1]!;
    if (!(v >= v0 && v <= v1)) continue;
    const u = at[2 * i]!;
    if (!(u >= u0 && u <= u1)) continue;
    if (winds(bands, u, v)) out[n++] = i;
  }
  return out.slice(0, n);
}

interface Bands {
  v0: number;
  scale: number;
  count: number;
  /** edges of band b: `edges[start[b]] … edges[start[b + 1]]` */
  start: Uint32Array;
  edges: Uint32Array;
  /** for each edge: u, v, end v, slope du/dv */
  geometry: Float64Array;
}

/** Edges sorted into horizontal bands, so that a point meets only the edges at its height. */
function banded(polygon: ArrayLike<number>, m: number, v0: number, v1: number): Bands {
  const count = Math.max(1, Math.min(2048, m * 2));
  const scale = count / (v1 - v0);
  const geometry = new Float64Array(4 * m);
  const start = new Uint32Array(count + 1);
  const of = (v: number) => Math.max(0, Math.min(count - 1, Math.floor((v - v0) * scale)));
  const spans: [number, number][] = [];
  for (let k = 0; k < m; k++) {
    const j = (k + 1) % m;
    const [ua, va, ub, vb] = [polygon[2 * k]!, polygon[2 * k + 1]!, polygon[2 * j]!, polygon[2 * j + 1]!];
    geometry.set([ua, va, vb, vb === va ? 0 : (ub - ua) / (vb - va)], 4 * k);
    const span: [number, number] = [of(Math.min(va, vb)), of(Math.max(va, vb))];
    spans.push(span);
    for (let b = span[0]; b <= span[1]; b++) start[b + 1]!++;
  }
  for (let b = 0; b < count; b++) start[b + 1]! += start[b]!;
  const edges = new Uint32Array(start[count]!);
  const next = start.slice();
  spans.forEach(([from, to], k) => {
    for (let b = from; b <= to; b++) edges[next[b]!++] = k;
  });
  return { v0, scale, count, start, edges, geometry };
}

/** Whether the polygon winds about (u, v): signed crossings of the ray to larger u. */
function winds(bands: Bands, u: number, v: number): boolean {
  const { start, edges, geometry } = bands;
  const b = Math.min(bands.count - 1, Math.floor((v - bands.v0) * bands.scale));
  let turns = 0;
  for (let e = start[b]!; e < start[b + 1]!; e++) {
    const k = 4 * edges[e]!;
    const va = geometry[k + 1]!;
    const vb = geometry[k + 2]!;
    if (va <= v ? vb <= v : vb > v) continue;
    if (geometry[k]! + (v - va) * geometry[k + 3]! > u) turns += va <= v ? 1 : -1;
  }
  return turns !== 0;
}

/** Indices of the points in the box, borders included. */
export function inBox(
  at: Float32Array, ua: number, va: number, ub: number, vb: number,
): Int32Array {
  const [u0, u1] = ua < ub ? [ua, ub] : [ub, ua];
  const [v0, v1] = va < vb ? [va, vb] : [vb, va];
  const out = new Int32Array(at.length >> 1);
  let n = 0;
  for (let i = 0; i < out.length; i++) {
    const u = at[2 * i]!;
    const v = at[2 * i + 1]!;
    if (u >= u0 && u <= u1 && v >= v0 && v <= v1) out[n++] = i;
  }
  return out.slice(0, n);
}

/** Square of the distance from (x, y) to the segment a–b, all in one metric. */
export function distance2(
  x: number, y: number, ax: number, ay: number, bx: number, by: number,
): number {
  const [dx, dy] = [bx - ax, by - ay];
  const long = dx * dx + dy * dy;
  const t = long ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / long)) : 0;
  return (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2;
}

/**
 * A drawn path without the points that add nothing: closer than `least` to the one before.
 * Keeps a lasso of thousands of mouse moves short.
 */
export function thinned(path: readonly number[], least: number): number[] {
  const out: number[] = [];
  for (let k = 0; k + 1 < path.length; k += 2) {
    const n = out.length;
    const [x, y] = [path[k]!, path[k + 1]!];
    if (n && Math.hypot(x - out[n - 2]!, y - out[n - 1]!) < least) continue;
    out.push(x, y);
  }
  return out;
}
