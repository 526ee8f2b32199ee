import { expect, it } from "vitest";
import { HIDDEN, SELECTED } from "./picks";
import { FAINT, paintPoints, pixel, shades, sums, type Target } from "./raster";

const rgba = new Uint8Array(1024);
rgba.set([10, 20, 30, 255, 200, 100, 0, 255], 0);
const full = shades(rgba, [0, 0, 0], 0);
const dim = shades(rgba, [100, 100, 100], 0.5);
const target = (width: number, height: number): Target => ({ pixels: new Uint32Array(width * height), width, height });
const map = { ax: 0, bx: 10, ay: 0, by: 10 };
const lit = (t: Target) => t.pixels.reduce((n, p) => n + (p ? 1 : 0), 0);

it("bytes of a pixel are in the order of WebGL", () => {
  expect([...new Uint8Array(Uint32Array.of(pixel(1, 2, 3)).buffer)]).toEqual([1, 2, 3, 255]);
  expect(dim[1]).toBe(pixel(150, 100, 50));
});

it("squares are clipped at every edge and beyond it", () => {
  const t = target(10, 10);
  const at = new Float32Array([0, 0, 0.99, 0.99, 0.5, 0.5, -0.5, 0.5, 1e6, 1e6, NaN, 0.5]);
  paintPoints(t, at, new Uint32Array(6), 6, map, 3, full, dim, false);
  expect(lit(t)).toBe(4 + 4 + 9);
  expect(t.pixels[0]).toBe(full[0]);
});

it("what is selected lies in front, what is hidden nowhere, the rest is dimmed", () => {
  const t = target(10, 10);
  const at = new Float32Array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]);
  paintPoints(t, at, Uint32Array.of(SELECTED | 1, 0, HIDDEN, 1), 4, map, 1, full, dim, true);
  expect(t.pixels[55]).toBe(full[1]);
  expect(t.pixels[11]).toBe(dim[1]);
  expect(lit(t)).toBe(2);
});

it("sums are means with gaps apart, and the selected outweigh any crowd", () => {
  const at = new Float32Array(2 * 4).fill(0.05);
  const got = sums(10, 10, at, Uint32Array.of(1, 255, 0, HIDDEN | 9), 4, map, null, false);
  expect([...got.subarray(0, 4)]).toEqual([1, 2, 0, 3]);
  const some = sums(10, 10, at, Uint32Array.of(1, SELECTED | 255, 1, 1), 4, map, null, true);
  expect(some[0]! / some[1]!).toBeCloseTo(1, 5);
  const none = sums(10, 10, at, Uint32Array.of(1, 1, 1, 1), 4, map, null, true);
  expect(none[3]).toBeCloseTo(4 * FAINT);
  const kinds = sums(10, 10, at, Uint32Array.of(1, 1, 0, 0), 4, map, rgba, false);
  expect(kinds[0]! / kinds[3]!).toBeCloseTo(105 / 255);
});
