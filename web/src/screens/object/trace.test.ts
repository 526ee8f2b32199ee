import { expect, test } from "vitest";
import { area, evenRange, path, rangeOf, xOf } from "./trace";

const grid = [4000, 5000, 6000];
const frame = { width: 100, height: 10, lo: 0, hi: 1 };

test("a path runs from edge to edge and breaks where there is nothing", () => {
  expect(path(grid, Float32Array.of(0, 0.5, 1), frame)).toBe("M0.0 10.0L50.0 5.0L100.0 0.0");
  expect(path(grid, Float32Array.of(0, NaN, 1), frame)).toBe("M0.0 10.0M100.0 0.0");
});

test("an area closes on zero", () => {
  expect(area(grid, Float32Array.of(1, 1, NaN), frame)).toBe("M0.0 10.0L0.0 0.0L50.0 0.0L50.0 10.0Z");
});

test("ranges", () => {
  expect(rangeOf(Float32Array.of(NaN))).toEqual({ lo: 0, hi: 1 });
  const even = evenRange(Float32Array.of(-2, 1));
  expect(even.lo).toBe(-even.hi);
  expect(xOf(5500, grid, 100)).toBe(75);
});
