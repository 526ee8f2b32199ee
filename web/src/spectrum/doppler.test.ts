import { expect, test } from "vitest";
import { airToVac, atRest, C_KMS, fromRest, lineVelocity, redshiftOf, seenAt, vacToAir, velocityOf } from "./doppler";

test("velocity and redshift go there and back, relativistically", () => {
  for (const v of [-250_000, -30, 0, 0.001, 1500, 290_000]) expect(velocityOf(redshiftOf(v))).toBeCloseTo(v, 6);
  expect(redshiftOf(0.5 * C_KMS)).toBeCloseTo(Math.sqrt(1.5 / 0.5) - 1, 12);
  expect(lineVelocity(6564.632 * 1.001, 6564.632)).toBeCloseTo(299.642, 2);
});

test("air and vacuum: Hα and the round trip", () => {
  expect(vacToAir(6564.632)).toBeCloseTo(6562.819, 3);
  for (const aa of [2001, 3933.7, 6562.8, 10_830, 29_000]) expect(vacToAir(airToVac(aa))).toBeCloseTo(aa, 9);
  expect(vacToAir(1215.67)).toBe(1215.67);
});

test("a line at rest is seen where the axis's medium puts it, and comes home again", () => {
  expect(seenAt(6564.632, 0, "air")).toBeCloseTo(6562.819, 3);
  expect(seenAt(1215.67, 2, "vacuum")).toBeCloseTo(3647.01, 6);
  for (const medium of ["air", "vacuum", "unknown"] as const)
    expect(fromRest(atRest(7000, 0.1, medium), 0.1, medium)).toBeCloseTo(7000, 8);
});
