import { expect, test } from "vitest";
import { colours, csv, ratio, spread, strips, type Compared } from "./compared";
import { rowsOf, sample, viewOf, wordsOf } from "./settings";

test("an empty address is the plain view; there and back", () => {
  expect(Object.values(wordsOf(viewOf({}))).every((word) => word === null)).toBe(true);
  const params = {
    mode: "trailed", norm: "none", frame: "rest", order: "phase", period: "27.91", epoch: "58000.25",
    lo: "6540", hi: "6580", unit: "nm", show: "ratio", rowsat: "scale", cycles: "1", cmap: "cividis", offset: "1.5",
  };
  expect(wordsOf(viewOf(params))).toEqual(params);
  expect(viewOf({ period: "-1", mode: "x", lo: "9", hi: "1" })).toMatchObject({ period: null, mode: "overlay", lo: null });
});

test("rows of the address", () => {
  expect(rowsOf("1,2,30")).toEqual([1, 2, 30]);
  expect(rowsOf("1,x")).toBeNull();
  expect(rowsOf(undefined)).toBeNull();
});

test("a sample is the same for the same seed, without repeats", () => {
  const all = Array.from({ length: 1000 }, (_, i) => i);
  const some = sample(all, 60);
  expect(some).toEqual(sample(all, 60));
  expect(some).not.toEqual(sample(all, 60, 2));
  expect(new Set(some).size).toBe(60);
  expect(sample([3, 1], 60)).toEqual([3, 1]);
});

test("rows of a trailed image keep gaps as gaps, and go twice round", () => {
  const x = Float64Array.of(0, 1, 2, 10, NaN);
  expect(strips(x, "equal")).toHaveLength(4);
  const scaled = strips(x, "scale");
  expect(scaled[2]!.to).toBeLessThan(4);
  expect(scaled[3]!.from).toBeGreaterThan(8);
  expect(scaled[0]).toEqual({ member: 0, from: -0.5, to: 0.5 });
  const twice = strips(Float64Array.of(0.1, 0.6), "scale", 2);
  expect(twice[2]!.from - twice[0]!.from).toBeCloseTo(1);
  expect(strips(Float64Array.of(5), "scale")).toEqual([{ member: 0, from: 4.5, to: 5.5 }]);
});

test("ratios, spread, colours", () => {
  expect([...ratio(Float32Array.of(2, 3), Float32Array.of(1, 0))]).toEqual([2, NaN]);
  expect(spread([Float32Array.of(0, 1), Float32Array.of(NaN)])).toBeCloseTo(0.96);
  const map = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
  expect([...colours(Float32Array.of(0, 5, NaN), 0, 1, map)]).toEqual([0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 0, 0]);
});

test("CSV: hidden members left out, hostile names defused", () => {
  const compared = {
    wave: Float64Array.of(5000), rows: Int32Array.of(1, 2), ids: ['=cmd"', "b"], labels: ["a", "b"],
    x: Float64Array.of(1.5, NaN), flux: [Float32Array.of(1), Float32Array.of(NaN)], median: Float32Array.of(1),
    about: { x_name: "MJD" },
  } as unknown as Compared;
  expect(csv(compared)).toBe('wave_aa,median,"\'=cmd""","b"\n"MJD",,1.5,\n5000.0000,1,1,\n');
  expect(csv(compared, new Set([1]))).toBe('wave_aa,median,"b"\n"MJD",,\n5000.0000,1,\n');
});
