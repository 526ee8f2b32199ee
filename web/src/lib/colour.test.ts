import { describe, expect, it } from "vitest";
import {
  COLOUR_MAPS, categorical, contrast, isColourMap, legendTicks, levels, noValue, rgbOf,
  robustRange, symmetric, table, wide,
} from "./colour";

const linear = (c: number) => {
  const s = c / 255;
  return s <= 0.04045 ? s / 12.92 : Math.pow((s + 0.055) / 1.055, 2.4);
};
function lightness(map: Uint8Array, i: number): number {
  const [r, g, b] = [0, 1, 2].map((k) => linear(map[i * 3 + k]!));
  const y = 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  return y > 0.008856 ? 116 * Math.cbrt(y) - 16 : 903.3 * y;
}
/** Deuteranopia, Viénot, Brettel & Mollon 1999, as linear rgb → rgb. */
function deutan(hex: string): [number, number, number] {
  const [r, g, b] = rgbOf(hex).map(linear) as [number, number, number];
  const m = 0.29275 * r + 0.70725 * g;
  return [m, m, -0.02234 * r + 0.02234 * g + b];
}

describe("colour maps", () => {
  it("start and end where they are published to", () => {
    const viridis = table("viridis");
    expect([...viridis.subarray(0, 3)]).toEqual([68, 1, 84]);
    expect([...viridis.subarray(765)]).toEqual([253, 231, 37]);
    expect([...table("viridis_r").subarray(0, 3)]).toEqual([253, 231, 37]);
  });

  it("rise in lightness without a step back", () => {
    for (const name of ["viridis", "cividis", "batlow"] as const) {
      const map = table(name);
      for (let i = 4; i < 256; i++) {
        expect(lightness(map, i)).toBeGreaterThan(lightness(map, i - 4) - 0.3);
      }
    }
  });

  it("diverge evenly from their middle", () => {
    for (const { name } of COLOUR_MAPS.filter((m) => m.diverging)) {
      const map = table(name);
      const sign = name === "vik" ? 1 : -1;
      for (const end of [0, 255]) {
        expect(sign * (lightness(map, 127) - lightness(map, end))).toBeGreaterThan(30);
      }
    }
  });

  it("knows its names", () => {
    expect(isColourMap("batlow_r")).toBe(true);
    expect(isColourMap("jet")).toBe(false);
    expect(isColourMap("toString")).toBe(false);
  });
});

describe("palette of kinds", () => {
  it("has a contrast of 3 : 1 on both grounds", () => {
    for (const c of [...categorical(true), noValue(true)]) {
      expect(contrast(c, "#12161c")).toBeGreaterThan(3);
    }
    for (const c of [...categorical(false), noValue(false)]) {
      expect(contrast(c, "#ffffff")).toBeGreaterThan(3);
    }
  });

  it("keeps the first six apart without green cones", () => {
    for (const dark of [true, false]) {
      const seen = categorical(dark).slice(0, 6).map(deutan);
      for (let i = 0; i < 6; i++) {
        for (let j = 0; j < i; j++) {
          const d = Math.hypot(...[0, 1, 2].map((k) =>
            Math.cbrt(Math.max(0, seen[i]![k]!)) - Math.cbrt(Math.max(0, seen[j]![k]!))));
          expect(d, `${dark} ${i} ${j}`).toBeGreaterThan(0.05);
        }
      }
    }
  });
});

describe("ranges", () => {
  it("ignore wild values and nothing else", () => {
    const x = Float32Array.from({ length: 10_001 }, (_, i) => i / 100);
    x[5] = 1e9;
    x[6] = NaN;
    const [lo, hi] = robustRange(x);
    expect(lo).toBeCloseTo(2, 1);
    expect(hi).toBeCloseTo(98, 1);
  });
  it("are never empty", () => {
    expect(robustRange([])).toEqual([0, 1]);
    expect(robustRange([NaN])).toEqual([0, 1]);
    const [lo, hi] = robustRange([3, 3, 3]);
    expect(hi).toBeGreaterThan(lo);
    const rare = new Float32Array(1000);
    rare[3] = 7;
    expect(robustRange(rare)).toEqual([0, 7]);
  });
  it("are even about the middle when signed", () => {
    expect(symmetric([-1, 3])).toEqual([-3, 3]);
  });
  it("see what wants a log", () => {
    expect(wide(Float32Array.from({ length: 100 }, (_, i) => Math.pow(10, i / 20)))).toBe(true);
    expect(wide(Float32Array.from({ length: 100 }, (_, i) => i - 50))).toBe(false);
  });
});

describe("levels", () => {
  it("keep 0 for no value and clamp the rest", () => {
    expect([...levels([NaN, -5, 0, 0.5, 1, 9], 0, 1)]).toEqual([0, 1, 1, 128, 255, 255]);
  });
  it("take logs and leave what has none", () => {
    expect([...levels([0, -1, 1, 10, 100], 1, 100, true)]).toEqual([0, 0, 1, 128, 255]);
  });
});

it("legend ticks lie inside", () => {
  expect(legendTicks(0, 10).map((t) => t.label)).toEqual(["0", "2", "4", "6", "8", "10"]);
  expect(legendTicks(1, 1000, true).map((t) => t.value)).toContain(100);
  expect(legendTicks(-0.2, 0.2).map((t) => t.label)).toContain("−0.1");
});
