/**
 * Colours of numbers and of kinds.
 *
 * The maps have monotone lightness (the diverging ones: on each side), so that order can be
 * read by a colour-blind eye and in print. The palette of kinds starts from Okabe & Ito (2008)
 * and is darkened or lightened until each colour has a contrast of 3 : 1 on the theme's ground.
 */
import { BATLOW, BERLIN, CIVIDIS, VIK, VIRIDIS } from "./colour-tables";
import { linearTicks, logTicks, type Tick } from "./ticks";

export type MapName = "viridis" | "cividis" | "batlow" | "vik" | "berlin";
/** A map's name, with `_r` where it runs the other way. */
export type ColourMap = MapName | `${MapName}_r`;

export const COLOUR_MAPS: readonly { name: MapName; title: string; diverging: boolean }[] = [
  { name: "viridis", title: "Viridis", diverging: false },
  { name: "cividis", title: "Cividis", diverging: false },
  { name: "batlow", title: "Batlow", diverging: false },
  { name: "vik", title: "Vik (diverging, light middle)", diverging: true },
  { name: "berlin", title: "Berlin (diverging, dark middle)", diverging: true },
];

const BASE64: Record<MapName, string> = {
  viridis: VIRIDIS,
  cividis: CIVIDIS,
  batlow: BATLOW,
  vik: VIK,
  berlin: BERLIN,
};
const decoded = new Map<string, Uint8Array>();

export function isColourMap(name: string): name is ColourMap {
  return Object.hasOwn(BASE64, name.replace(/_r$/, ""));
}

export function isDiverging(name: ColourMap): boolean {
  return COLOUR_MAPS.some((m) => m.diverging && m.name === name.replace(/_r$/, ""));
}

/** The map as 256 × 3 bytes (red, green, blue). Do not write into it. */
export function table(name: ColourMap): Uint8Array {
  const known = decoded.get(name);
  if (known) return known;
  const text = atob(BASE64[name.replace(/_r$/, "") as MapName]);
  const out = new Uint8Array(768);
  const back = name.endsWith("_r");
  for (let i = 0; i < 256; i++) {
    const from = (back ? 255 - i : i) * 3;
    for (let k = 0; k < 3; k++) out[i * 3 + k] = text.charCodeAt(from + k);
  }
  decoded.set(name, out);
  return out;
}

/** CSS colour at `t` in 0…1. */
export function cssAt(name: ColourMap, t: number): string {
  const i = Math.max(0, Math.min(255, Math.round(t * 255))) * 3;
  const map = table(name);
  return `rgb(${map[i]} ${map[i + 1]} ${map[i + 2]})`;
}

/** A CSS gradient of the map, for legends. */
export function cssGradient(name: ColourMap, to = "right"): string {
  const stops = Array.from({ length: 17 }, (_, i) => cssAt(name, i / 16));
  return `linear-gradient(to ${to}, ${stops.join(", ")})`;
}

const ON_DARK = [
  "#56b4e9", "#e69f00", "#2bb68a", "#f0e442", "#d98cba", "#e8622a",
  "#5b8def", "#c9b8ff", "#a7d46f", "#b58a5a", "#8fd8d2", "#ff9da7",
];
const ON_LIGHT = [
  "#1f83bd", "#b37400", "#00805d", "#7d7500", "#b24f8c", "#8f2400",
  "#2257b8", "#7a5fd0", "#557f1e", "#75502a", "#1b7f7a", "#c9485b",
];
/** How many kinds get a colour of their own; the rarer ones share that of "other". */
export const MOST_KINDS = ON_DARK.length;

/** Colours of kinds on the dark or light theme, `MOST_KINDS` of them. */
export function categorical(dark: boolean): readonly string[] {
  return dark ? ON_DARK : ON_LIGHT;
}

/** Colour of points without a value, and of the kinds beyond the palette. */
export function noValue(dark: boolean): string {
  return dark ? "#7d8590" : "#7a828c";
}
export function otherKinds(dark: boolean): string {
  return dark ? "#b0b7c0" : "#565d66";
}

export function rgbOf(hex: string): [number, number, number] {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

/** WCAG contrast of two #rrggbb colours, 1…21. */
export function contrast(a: string, b: string): number {
  const light = (hex: string) => {
    const [r, g, bl] = rgbOf(hex).map((c) => {
      const s = c / 255;
      return s <= 0.04045 ? s / 12.92 : Math.pow((s + 0.055) / 1.055, 2.4);
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * bl!;
  };
  const [x, y] = [light(a), light(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

type Numbers = ArrayLike<number>;

/** Values sampled for a robust range; columns come shuffled, so a prefix is a fair sample. */
const SAMPLE = 50_000;

/**
 * The 2nd and 98th percentile of the finite values (of the first 50,000 of them): a range that
 * a few wild values do not stretch. [0, 1] when there is none, widened when all are equal.
 */
export function robustRange(values: Numbers, low = 0.02, high = 0.98): [number, number] {
  const some = new Float64Array(Math.min(values.length, SAMPLE));
  let n = 0;
  for (let i = 0; i < values.length && n < some.length; i++) {
    const v = values[i]!;
    if (Number.isFinite(v)) some[n++] = v;
  }
  if (!n) return [0, 1];
  const sorted = some.subarray(0, n).sort();
  const at = (q: number) => {
    const x = q * (n - 1);
    const i = Math.floor(x);
    return sorted[i]! + (x - i) * (sorted[Math.min(n - 1, i + 1)]! - sorted[i]!);
  };
  const [lo, hi] = [at(low), at(high)];
  if (hi > lo) return [lo, hi];
  const pad = Math.abs(lo) * 0.05 || 0.5;
  return sorted[n - 1]! > sorted[0]! ? [sorted[0]!, sorted[n - 1]!] : [lo - pad, hi + pad];
}

/** A range for a diverging map: as wide on both sides of `middle`. */
export function symmetric([lo, hi]: [number, number], middle = 0): [number, number] {
  const half = Math.max(Math.abs(lo - middle), Math.abs(hi - middle)) || 1;
  return [middle - half, middle + half];
}

/** Whether positive values spread so wide (98th / 2nd percentile > 100) that a log reads better. */
export function wide(values: Numbers): boolean {
  const [lo, hi] = robustRange(values, 0, 0.98);
  const [p2] = robustRange(values);
  return lo > 0 && p2 > 0 && hi / p2 > 100;
}

/**
 * Levels of a colour map: 0 = no value, 1…255 from `lo` to `hi` (beyond: the end colours).
 * `log` takes log10 of all three and leaves values ≤ 0 without a colour.
 */
export function levels(
  values: Numbers, lo: number, hi: number, log = false, out?: Uint8Array,
): Uint8Array {
  const n = values.length;
  const to = out && out.length === n ? out : new Uint8Array(n);
  const a = log ? Math.log10(lo) : lo;
  const scale = 254 / ((log ? Math.log10(hi) : hi) - a || 1);
  for (let i = 0; i < n; i++) {
    const v = values[i]!;
    const t = ((log ? Math.log10(v) : v) - a) * scale;
    to[i] = t !== t || (log && !(v > 0)) ? 0 : t < 0 ? 1 : t > 254 ? 255 : 1.5 + t;
  }
  return to;
}

export function legendTicks(lo: number, hi: number, log = false, count = 5): Tick[] {
  return log ? logTicks(lo, hi, count) : linearTicks(lo, hi, count);
}
