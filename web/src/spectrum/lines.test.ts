import { expect, test } from "vitest";
import { chosen, nearestLine, placeLabels, seen, type Kind, type Line } from "./lines";

const line = (name: string, ion: string, wave: number, kind: string, weight = 1): Line =>
  ({ name, ion, wave_vac_aa: wave, wave_air_aa: null, kind, weight });
const list = [
  line("H_alpha", "Hα", 6564.632, "hydrogen"),
  line("NII_6585", "[N II]", 6585.269, "nebular"),
  line("CaII_K", "Ca K", 3934.777, "stellar"),
  line("OI_sky_5579", "[O I] sky", 5578.887, "sky"),
];
const all = new Set<Kind>(["emission", "absorption", "sky", "telluric"]);

test("hydrogen is at home among emission and absorption lines", () => {
  expect(chosen(list[0]!, new Set<Kind>(["emission"]))).toBe(true);
  expect(chosen(list[0]!, new Set<Kind>(["absorption"]))).toBe(true);
  expect(chosen(list[2]!, new Set<Kind>(["emission"]))).toBe(false);
});

test("lines of the source move with z, those of the sky stay", () => {
  const at = Object.fromEntries(seen(list, all, 0.1, "vacuum", 3000, 9000).map((s) => [s.line.name, s.at]));
  expect(at["H_alpha"]).toBeCloseTo(7221.095, 2);
  expect(at["OI_sky_5579"]).toBeCloseTo(5578.887, 3);
});

test("velocity from the nearest shown line", () => {
  const shown = seen(list, all, 0, "air", 3000, 9000);
  const found = nearestLine(shown, 6564.0, "air")!;
  expect(found.line.name).toBe("H_alpha");
  expect(found.velocityKms).toBeCloseTo(54, 0);
  expect(nearestLine([], 5000, "air")).toBeNull();
});

test("labels never overlap, strong ones first, kin share one", () => {
  const width = (text: string): number => text.length * 6;
  const at = [
    { text: "Mg b", x: 100, weight: 2, kind: "stellar" },
    { text: "Mg b", x: 104, weight: 1, kind: "stellar" },
    { text: "Fe II", x: 101, weight: 3, kind: "stellar" },
    { text: "Ti II", x: 103, weight: 3, kind: "stellar" },
    { text: "Hβ", x: 300, weight: 1, kind: "hydrogen" },
  ];
  const labels = placeLabels(at, width, 400, 2, 4);
  expect(labels.filter((l) => l.text === "Mg b")).toHaveLength(1);
  expect(labels.find((l) => l.text === "Mg b")).toMatchObject({ row: 0, of: [100, 104] });
  expect(labels.filter((l) => l.row === 1)).toHaveLength(1);
  for (const a of labels)
    for (const b of labels)
      if (a !== b && a.row === b.row) expect(Math.abs(a.x - b.x)).toBeGreaterThanOrEqual((width(a.text) + width(b.text)) / 2);
});

test("a label at the edge is moved in", () => {
  expect(placeLabels([{ text: "abcd", x: 1, weight: 1, kind: "sky" }], () => 40, 200)[0]!.x).toBe(20);
});
