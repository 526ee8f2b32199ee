/**
 * Points painted by the processor.
 *
 * Where WebGL2 itself is run by the processor (no graphics card, remote desktops), each point
 * costs it about a microsecond; painting them here costs a twentieth of that. The picture is then
 * shown through the same context. Rows run from the bottom up, as in WebGL. Bytes of a pixel are
 * red, green, blue, alpha on the little-endian machines that browsers run on.
 */
import { HIDDEN, SELECTED } from "./picks";

export interface Target {
  pixels: Uint32Array;
  width: number;
  height: number;
}

/** Unit plane → pixels of the target: x = ax + bx u, y = ay + by v. */
export interface Map2 {
  ax: number;
  bx: number;
  ay: number;
  by: number;
}

/** One colour as a pixel. */
export function pixel(r: number, g: number, b: number): number {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** 256 colours (RGBA bytes) as pixels, mixed with `other` by `share`. */
export function shades(rgba: Uint8Array, other: readonly number[], share: number): Uint32Array {
  const out = new Uint32Array(256);
  for (let k = 0; k < 256; k++) {
    const mix = (c: number) => Math.round(rgba[4 * k + c]! * (1 - share) + other[c]! * share);
    out[k] = pixel(mix(0), mix(1), mix(2));
  }
  return out;
}

/**
 * Squares of `side` pixels for the first `n` points, later ones over earlier ones.
 * `wanted`, `mask`: only points whose look has these bits among those of the mask.
 */
export function squares(
  to: Target, at: Float32Array, look: Uint32Array, n: number, map: Map2, side: number,
  colours: Uint32Array, wanted: number, mask: number,
): void {
  const { pixels, width, height } = to;
  const { ax, bx, ay, by } = map;
  const before = (side - 1) >> 1;
  for (let i = 0; i < n; i++) {
    const l = look[i]!;
    if ((l & mask) !== wanted) continue;
    const fx = ax + bx * at[2 * i]!;
    const fy = ay + by * at[2 * i + 1]!;
    if (!(fx > -side && fx < width + side && fy > -side && fy < height + side)) continue;
    const x0 = Math.floor(fx) - before;
    const y0 = Math.floor(fy) - before;
    const colour = colours[l & 255]!;
    if (x0 >= 0 && y0 >= 0 && x0 + side <= width && y0 + side <= height) {
      let k = y0 * width + x0;
      for (let dy = 0; dy < side; dy++, k += width) {
        for (let dx = 0; dx < side; dx++) pixels[k + dx] = colour;
      }
    } else {
      for (let y = Math.max(0, y0); y < Math.min(height, y0 + side); y++) {
        for (let x = Math.max(0, x0); x < Math.min(width, x0 + side); x++) pixels[y * width + x] = colour;
      }
    }
  }
}

/** All points: those that are not selected behind, dimmed, where something is. */
export function paintPoints(
  to: Target, at: Float32Array, look: Uint32Array, n: number, map: Map2, side: number,
  full: Uint32Array, dimmed: Uint32Array, any: boolean,
): void {
  if (!any) {
    squares(to, at, look, n, map, side, full, 0, HIDDEN);
    return;
  }
  squares(to, at, look, n, map, side, dimmed, 0, HIDDEN | SELECTED);
  squares(to, at, look, n, map, side, full, SELECTED, HIDDEN | SELECTED);
}

/** What a point that is not selected weighs beside one that is; as in the shader. */
export const FAINT = 2 ** -21;

/**
 * Sums of cells for the mean: value × weight, weight of those with a value, nothing, weight; of
 * kinds red, green, blue (0…1) × weight, weight. `map` goes to cells of a `width` × `height` grid.
 */
export function sums(
  width: number, height: number, at: Float32Array, look: Uint32Array, n: number, map: Map2,
  kinds: Uint8Array | null, any: boolean,
): Float32Array {
  const out = new Float32Array(4 * width * height);
  for (let i = 0; i < n; i++) {
    const l = look[i]!;
    if (l & HIDDEN) continue;
    const x = Math.floor(map.ax + map.bx * at[2 * i]!);
    const y = Math.floor(map.ay + map.by * at[2 * i + 1]!);
    if (!(x >= 0 && x < width && y >= 0 && y < height)) continue;
    const k = 4 * (y * width + x);
    const weight = !any || l & SELECTED ? 1 : FAINT;
    const level = l & 255;
    if (kinds) {
      for (let c = 0; c < 3; c++) out[k + c]! += (weight * kinds[4 * level + c]!) / 255;
    } else if (level) {
      out[k]! += (weight * (level - 1)) / 254;
      out[k + 1]! += weight;
    }
    out[k + 3]! += weight;
  }
  return out;
}
