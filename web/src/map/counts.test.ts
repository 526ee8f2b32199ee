import { describe, expect, it } from "vitest";
import type { Column } from "../lib/columns.svelte";
import { conditionsText, contrast, meeting, ordered, typedNumber, type Condition } from "./counts";
import { HIDDEN, SELECTED } from "./picks";

const numbers = (values: number[]): Column => ({ kind: "number", name: "n", unit: "", about: "", values: Float64Array.from(values) });
const words = (values: string[], codes: number[]): Column => ({ kind: "category", name: "w", unit: "", about: "", values, codes: Int32Array.from(codes) });
const look = (n: number, selected: number[] = [], hidden: number[] = []): Uint32Array => {
  const out = new Uint32Array(n);
  for (const i of selected) out[i]! |= SELECTED;
  for (const i of hidden) out[i]! |= HIDDEN;
  return out;
};

describe("the selected against the rest", () => {
  it("shares add up, hidden points and gaps left out", () => {
    const got = contrast(numbers([1, 2, 3, 4, NaN, 900]), look(6, [2, 3], [5]), 4);
    if (got.kind !== "bins") throw new Error("bins expected");
    expect([got.chosenCount, got.restCount]).toEqual([2, 2]);
    expect(got.chosenMedian).toBe(3.5);
    expect(got.restMedian).toBe(1.5);
  });
  it("every value of an even spread lies in a bin", () => {
    const got = contrast(numbers(Array.from({ length: 100 }, (_, i) => i % 10)), look(100), 10);
    if (got.kind !== "bins") throw new Error("bins expected");
    expect(got.rest.reduce((a, b) => a + b)).toBeCloseTo(1);
    expect(got.chosenMedian).toBeNaN();
  });
  it("kinds are ranked by the larger share", () => {
    const got = contrast(words(["A", "B", "C"], [0, 0, 0, 1, 2, -1]), look(6, [4]));
    if (got.kind !== "shares") throw new Error("shares expected");
    expect(got.kinds.map((k) => k.label)).toEqual(["C", "A", "B"]);
    expect(got.kinds[1]).toMatchObject({ rest: 0.75, chosen: 0 });
  });
});

describe("by values", () => {
  const get = (name: string): Column | null =>
    name === "snr" ? numbers([5, 10, 20, NaN]) : name === "class" ? words(["S", "Q"], [0, 1, 0, 0]) : null;
  const snr: Condition = { column: "snr", from: "10", to: "", kinds: [] };
  it("meets all conditions that say something", () => {
    expect([...meeting([snr], get, look(4))!]).toEqual([1, 2]);
    const star: Condition = { column: "class", from: "", to: "", kinds: ["S"] };
    expect([...meeting([snr, star], get, look(4))!]).toEqual([2]);
    expect([...meeting([star], get, look(4, [], [0]))!]).toEqual([2, 3]);
    expect(meeting([{ ...snr, from: "ten" }, { column: null, from: "1", to: "", kinds: [] }], get, look(4))).toBeNull();
  });
  it("is said in words", () => {
    expect(conditionsText([snr, { column: "class", from: "", to: "", kinds: ["S", "Q"] }])).toBe("snr from 10, class S or Q");
  });
  it("reads numbers as people type them", () => {
    expect([typedNumber(" −1,5 "), typedNumber("1e3"), typedNumber(""), typedNumber("x")]).toEqual([-1.5, 1000, null, null]);
  });
});

it("orders points by a column, gaps last", () => {
  const column = numbers([3, NaN, 1, 2]);
  expect([...ordered(Int32Array.of(0, 1, 2, 3), column, false)]).toEqual([2, 3, 0, 1]);
  expect([...ordered(Int32Array.of(0, 1, 2, 3), column, true)]).toEqual([0, 3, 2, 1]);
  expect([...ordered(Int32Array.of(0, 1, 2), words(["b", "a"], [0, 1, -1]), false)]).toEqual([1, 0, 2]);
});
