import { expect, test } from "vitest";
import { panned, same, wheelFactor, within, zoomAbout } from "./window";

const full = { lo: 3800, hi: 9200 };

test("zooming about a point keeps it in place", () => {
  const out = zoomAbout({ lo: 4000, hi: 8000 }, 5000, 0.5);
  expect(out).toEqual({ lo: 4500, hi: 6500 });
  expect((5000 - out.lo) / (out.hi - out.lo)).toBeCloseTo(0.25);
});

test("windows stay inside the data and above the least width", () => {
  expect(within({ lo: 3000, hi: 4000 }, full, 1)).toEqual({ lo: 3800, hi: 4800 });
  expect(within({ lo: 9000, hi: 9900 }, full, 1)).toEqual({ lo: 8300, hi: 9200 });
  expect(within({ lo: 0, hi: 1e6 }, full, 1)).toEqual(full);
  expect(within({ lo: 5000, hi: 5000.1 }, full, 1)).toEqual({ lo: 4999.55, hi: 5000.55 });
});

test("panning moves by a part of the width", () => {
  expect(panned({ lo: 100, hi: 200 }, -0.1)).toEqual({ lo: 90, hi: 190 });
});

test("same picture", () => {
  expect(same({ lo: 1, hi: 2 }, { lo: 1.00001, hi: 2 })).toBe(true);
  expect(same({ lo: 1, hi: 2 }, { lo: 1.01, hi: 2 })).toBe(false);
  expect(same(null, null)).toBe(true);
});

test("one wheel notch there and back is no move, in pixels or lines", () => {
  expect(wheelFactor(100, 0) * wheelFactor(-100, 0)).toBeCloseTo(1);
  expect(wheelFactor(3, 1)).toBeCloseTo(wheelFactor(96, 0));
});
