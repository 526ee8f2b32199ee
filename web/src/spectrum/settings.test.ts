import { expect, test } from "vitest";
import { kindsFor, viewOf, wordsOf } from "./settings";

test("an empty address is the plain view, and the plain view an empty address", () => {
  const plain = viewOf({});
  expect(plain).toMatchObject({ lo: null, z: null, smooth: 0, medium: "asis", kinds: null, error: true });
  expect(Object.values(wordsOf(plain)).every((word) => word === null)).toBe(true);
});

test("there and back", () => {
  const params = { lo: "6500", hi: "6600.25", z: "0.0123", smooth: "2", medium: "air", unit: "nm", flux: "log", lines: "es", error: "0", mask: "0", order: "12" };
  expect(wordsOf(viewOf(params))).toEqual(params);
  expect(wordsOf({ kinds: [] })).toEqual({ lines: "0" });
  expect(viewOf({ lines: "0" }).kinds).toEqual([]);
});

test("nonsense is left at its default", () => {
  expect(viewOf({ lo: "7000", hi: "6000", z: "-2", smooth: "1e9", medium: "water", order: "-1" })).toMatchObject({
    lo: null, hi: null, z: null, smooth: 200, medium: "asis", order: null,
  });
});

test("lines that suit the class", () => {
  expect(kindsFor("GALAXY")).toContain("emission");
  expect(kindsFor("STAR")).toContain("absorption");
  expect(kindsFor(null)).toContain("absorption");
});
