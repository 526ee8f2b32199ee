import { expect, test } from "vitest";
import { decimals, flux, roundStep, scientific, ticks, unitText } from "./units";

test.each([
  ["1e-17 erg/s/cm2/Angstrom", "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹"],
  ["10**(-16)erg.cm**(-2).s**(-1).angstrom**(-1)", "10⁻¹⁶ erg cm⁻² s⁻¹ Å⁻¹"],
  ["1e-17 erg / (Angstrom s cm2)", "10⁻¹⁷ erg Å⁻¹ s⁻¹ cm⁻²"],
  ["1E-17 erg/cm^2/s/Ang", "10⁻¹⁷ erg cm⁻² s⁻¹ Å⁻¹"],
  ["W m-2 nm-1", "W m⁻² nm⁻¹"],
  ["adu", "ADU"],
  ["count", "counts"],
  ["", ""],
  ["dimensionless", ""],
  [null, ""],
])("unit %s", (delivered, print) => {
  expect(unitText(delivered)).toBe(print);
});

test("round ticks", () => {
  expect(ticks(3782, 6915, 8)).toEqual([4000, 4500, 5000, 5500, 6000, 6500]);
  expect(ticks(1, 1, 5)).toEqual([]);
  expect(roundStep(0.03)).toBeCloseTo(0.05);
  expect(decimals(0.05)).toBe(2);
  expect(decimals(500)).toBe(0);
});

test("numbers in print", () => {
  expect(scientific(1.234e-17)).toBe("1.23\u2009×\u200910⁻¹⁷");
  expect(flux(12.3456)).toBe("12.35");
  expect(flux(-0.5)).toBe("−0.5");
  expect(flux(NaN)).toBe("–");
});
