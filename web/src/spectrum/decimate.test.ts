import { expect, test } from "vitest";
import { fold, lowerBound, nearest, percentile, robustRange, runs } from "./decimate";

const N = 313_156;
const x = Float64Array.from({ length: N }, (_, i) => 3782 + i * 0.01);
const y = Float32Array.from({ length: N }, (_, i) => 1 + 0.1 * Math.sin(i / 50));

test("folding keeps every extreme", () => {
  const spiky = y.slice();
  spiky[123_456] = 99;
  spiky[200_001] = -7;
  const out = fold(x, spiky, x[0]!, x[N - 1]!, 2000);
  expect(out.x.length).toBeLessThanOrEqual(2000);
  expect(Math.max(...out.hi)).toBe(99);
  expect(Math.min(...out.lo)).toBe(-7);
  expect(out.bin).toBe(157);
});

test("a narrow window is exact and runs on to the edge", () => {
  const out = fold(x, y, 4000, 4005, 2000);
  expect(out.bin).toBe(1);
  expect(out.x[0]).toBeLessThan(4000);
  expect(out.x[out.x.length - 1]).toBeGreaterThan(4005);
  expect(out.mean[10]).toBe(y[lowerBound(x, 4000) - 1 + 10]);
});

test("bins without a good sample are gaps", () => {
  const out = fold(Float64Array.of(1, 2, 3, 4), Float32Array.of(NaN, NaN, 5, 7), 0, 9, 2);
  expect([...out.mean]).toEqual([NaN, 6]);
  expect([...out.hi]).toEqual([NaN, 7]);
});

test("nearest sample", () => {
  expect(nearest([1, 2, 4], 2.9)).toBe(1);
  expect(nearest([1, 2, 4], 3.1)).toBe(2);
  expect(nearest([1, 2, 4], 99)).toBe(2);
  expect(nearest([], 1)).toBe(-1);
});

test("percentiles skip what is not finite", () => {
  expect(percentile([NaN, 1, 2, 3, Infinity], 0.5)).toBe(2);
  expect(percentile([NaN], 0.5)).toBeNaN();
});

test("one cosmic ray does not set the range, a strong line of several samples does", () => {
  const calm = Float32Array.from({ length: 1000 }, (_, i) => 1 + 0.01 * Math.sin(i));
  const hit = calm.slice();
  hit[10] = 500;
  const range = robustRange(hit, hit)!;
  expect(range.hi).toBeLessThan(2);
  expect(range.beyond).toBe(1);
  const line = calm.slice();
  for (let i = 500; i < 510; i++) line[i] = 50;
  expect(robustRange(line, line)).toMatchObject({ hi: 50, beyond: 0 });
  const narrow = calm.slice();
  narrow.set([20, 60, 40, 20], 500);
  expect(robustRange(narrow, narrow)).toMatchObject({ hi: 60, beyond: 0 });
  const column = calm.slice();
  column[500] = 60;
  expect(robustRange(calm, column)!.beyond).toBe(1);
  expect(robustRange(calm, column, column)).toMatchObject({ hi: 60, beyond: 0 });
  expect(robustRange(calm.map((v) => -v), calm.map((v, i) => (i === 3 ? 900 : -v)))!.hi).toBeLessThan(2);
  expect(robustRange([NaN], [NaN])).toBeNull();
});

test("runs of a mask", () => {
  expect(runs([0, 1, 1, 0, 0, 4])).toEqual([[1, 2], [5, 5]]);
  expect(runs([])).toEqual([]);
});
