import { describe, expect, it } from "vitest";
import { inBox, inPolygon, thinned } from "./lasso";
import { HIDDEN, Picks } from "./picks";
import {
  NOWHERE, axisOf, axisTicks, everything, fit, panned, positions, resized, shown, toPixel,
  toPlane, unitAt, valueAt, zoomed, type Plane,
} from "./view";

/** Repeatable numbers in 0…1. */
function random(seed: number): () => number {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 4294967296;
  };
}
function cloud(n: number, seed = 1): Float32Array {
  const r = random(seed);
  return Float32Array.from({ length: 2 * n }, () => (r() + r() + r()) / 3);
}
const size = { width: 640, height: 400 };
const plane = (over: Partial<Plane> = {}): Plane => ({
  x: axisOf([0, 10]), y: axisOf([0, 5]), locked: false, ...over,
});

describe("axes", () => {
  it("cover the values, and not a single wild one", () => {
    const x = Float64Array.from({ length: 1000 }, (_, i) => i);
    expect(axisOf(x)).toMatchObject({ origin: 0, span: 999 });
    x[3] = 1e12;
    const a = axisOf(x);
    expect(a.span).toBeLessThan(2000);
    expect(a.max).toBe(1e12);
  });
  it("stand values that are missing, equal or not positive", () => {
    expect(axisOf([NaN, NaN]).span).toBe(1);
    expect(axisOf([4, 4, 4]).span).toBeGreaterThan(0);
    expect(axisOf([-1, 0, 10, 1000], true)).toMatchObject({ min: 1, max: 3 });
  });
  it("put points without a value nowhere", () => {
    const at = positions([1, NaN, 10], [0, 0, 5], plane());
    expect([...at]).toEqual([expect.closeTo(0.1), 0, NOWHERE, NOWHERE, 1, 1]);
  });
  it("keep fine differences on a far origin", () => {
    const x = Float64Array.from({ length: 1001 }, (_, i) => 2_450_000 + i / 1000);
    const at = positions(x, x, { x: axisOf(x), y: axisOf(x), locked: false });
    expect(at[2 * 501]! - at[2 * 500]!).toBeCloseTo(0.001, 6);
  });
});

describe("camera", () => {
  it("goes to pixels and back, reversed axes too", () => {
    for (const reversed of [false, true]) {
      const p = plane({ x: axisOf([0, 10], false, reversed) });
      const cam = panned(fit(p, size), 13, -7);
      const [px, py] = toPixel(cam, size, 0.3, 0.8);
      const [u, v] = toPlane(cam, size, px, py);
      expect(u).toBeCloseTo(0.3, 10);
      expect(v).toBeCloseTo(0.8, 10);
    }
    const back = fit(plane({ x: axisOf([0, 10], false, true) }), size);
    expect(toPixel(back, size, 0, 0)[0]).toBeGreaterThan(toPixel(back, size, 1, 0)[0]);
  });
  it("keeps one pixel as long on both axes when locked", () => {
    const p = plane({ locked: true });
    const cam = fit(p, size);
    expect(cam.sx / p.x.span).toBeCloseTo(cam.sy / p.y.span, 10);
    const after = resized(cam, size, { width: 300, height: 500 }, true);
    expect(after.sx / p.x.span).toBeCloseTo(after.sy / p.y.span, 10);
  });
  it("holds the pixel under the pointer while zooming", () => {
    const cam = fit(plane(), size);
    const before = toPlane(cam, size, 100, 50);
    const after = toPlane(zoomed(cam, size, 100, 50, 3, cam.sx), size, 100, 50);
    expect(after[0]).toBeCloseTo(before[0], 10);
    expect(after[1]).toBeCloseTo(before[1], 10);
  });
  it("does not zoom without end", () => {
    let cam = fit(plane(), size);
    const least = cam.sx;
    for (let i = 0; i < 200; i++) cam = zoomed(cam, size, 9, 9, 2, least);
    expect(cam.sx).toBeLessThanOrEqual(least * 20_001);
    for (let i = 0; i < 200; i++) cam = zoomed(cam, size, 9, 9, 0.5, least);
    expect(cam.sx).toBeGreaterThanOrEqual(least / 11);
  });
  it("shows everything when asked", () => {
    const x = Float64Array.from({ length: 1000 }, (_, i) => (i ? i : -1e6));
    const p = { x: axisOf(x), y: axisOf(x), locked: false };
    const cam = fit(p, size, everything(p));
    const [lo, hi] = shown(p.x, cam.u, cam.sx, size.width);
    expect(lo).toBeLessThan(-1e6);
    expect(hi).toBeGreaterThan(999);
  });
});

it("ticks fall where their values are", () => {
  const p = plane({ x: axisOf([1, 10_000], true) });
  const cam = fit(p, size);
  for (const t of axisTicks(p.x, cam, size, "x", 80)) {
    const unit = toPlane(cam, size, t.pixel, 0)[0];
    expect(valueAt(p.x, unit)).toBeCloseTo(t.value, 3);
    expect(unitAt(p.x, t.value)).toBeCloseTo(unit, 9);
  }
});

describe("shapes", () => {
  const star = [0.5, 0.9, 0.62, 0.6, 0.9, 0.5, 0.62, 0.4, 0.5, 0.1, 0.38, 0.4, 0.1, 0.5, 0.38, 0.6];
  /** The plain textbook rule, point by point. */
  function plainly(u: number, v: number, p: number[]): boolean {
    let turns = 0;
    for (let k = 0; k < p.length; k += 2) {
      const [ua, va] = [p[k]!, p[k + 1]!];
      const [ub, vb] = [p[(k + 2) % p.length]!, p[(k + 3) % p.length]!];
      if (va <= v === vb <= v) continue;
      if (ua + ((v - va) * (ub - ua)) / (vb - va) > u) turns += va <= v ? 1 : -1;
    }
    return turns !== 0;
  }
  it("agree with the textbook rule", () => {
    const at = cloud(20_000);
    const bow = [0.2, 0.2, 0.8, 0.8, 0.8, 0.2, 0.2, 0.8];
    for (const p of [star, bow]) {
      const want: number[] = [];
      for (let i = 0; i < 20_000; i++) if (plainly(at[2 * i]!, at[2 * i + 1]!, p)) want.push(i);
      expect([...inPolygon(at, p)]).toEqual(want);
      expect(want.length).toBeGreaterThan(100);
    }
  });
  it("take nothing from points that are nowhere or from flat shapes", () => {
    expect(inPolygon(new Float32Array([NOWHERE, NOWHERE, NaN, 0.5]), star).length).toBe(0);
    expect(inPolygon(cloud(10), [0, 0, 1, 0]).length).toBe(0);
    expect(inPolygon(cloud(10), [0, 0, 1, 0, 2, 0]).length).toBe(0);
  });
  it("know a box from either corner", () => {
    const at = new Float32Array([0.1, 0.1, 0.5, 0.5, 0.9, 0.9]);
    expect([...inBox(at, 0.6, 0.6, 0.4, 0.4)]).toEqual([1]);
  });
  it("are drawn with few points", () => {
    expect(thinned([0, 0, 0.1, 0, 5, 0, 5, 0.2, 5, 9], 2)).toEqual([0, 0, 5, 0, 5, 9]);
  });
  it("test 300,000 points against a freehand lasso quickly", () => {
    const at = cloud(300_000);
    const path = Array.from({ length: 400 }, (_, k) => {
      const a = (k / 400) * 2 * Math.PI;
      const r = 0.2 + 0.03 * Math.sin(9 * a);
      return [0.5 + r * Math.cos(a), 0.5 + r * Math.sin(a)];
    }).flat();
    inPolygon(at, path);
    const start = performance.now();
    const inside = inPolygon(at, path);
    console.log(`lasso of ${inside.length} among 300,000: ${Math.round(performance.now() - start)} ms`);
    expect(inside.length).toBeGreaterThan(50_000);
  });
});

describe("picking", () => {
  const at = cloud(5_000, 3);
  at.set([3.2, -4.1], 0);
  at.set([NOWHERE, NOWHERE], 2);
  const picks = new Picks(at);
  const look = new Uint32Array(5_000);
  it("finds the nearest as a plain search does", () => {
    const r = random(9);
    for (let k = 0; k < 200; k++) {
      const [u, v] = [r(), r()];
      let [best, least] = [-1, 144];
      for (let i = 0; i < 5_000; i++) {
        const d = ((at[2 * i]! - u) * 500) ** 2 + ((at[2 * i + 1]! - v) * 300) ** 2;
        if (d < least) [best, least] = [i, d];
      }
      expect(picks.nearest(u, v, -500, 300, 12, look)).toBe(best);
    }
  });
  it("finds far points and leaves hidden ones", () => {
    expect(picks.nearest(3.2, -4.1, 500, 300, 12, look)).toBe(0);
    const hidden = look.slice();
    hidden[0] = HIDDEN;
    expect(picks.nearest(3.2, -4.1, 500, 300, 12, hidden)).toBe(-1);
  });
  it("brushes what a plain search does", () => {
    const got = new Set<number>();
    picks.along(0.3, 0.3, 0.6, 0.5, 500, 300, 20, look, (i) => got.add(i));
    for (let i = 2; i < 5_000; i++) {
      const [x, y] = [at[2 * i]! * 500, at[2 * i + 1]! * 300];
      const t = Math.max(0, Math.min(1, ((x - 150) * 150 + (y - 90) * 60) / (150 ** 2 + 60 ** 2)));
      const near = Math.hypot(x - 150 - t * 150, y - 90 - t * 60) <= 20;
      expect(got.has(i)).toBe(near);
    }
    expect(got.size).toBeGreaterThan(50);
  });
});
