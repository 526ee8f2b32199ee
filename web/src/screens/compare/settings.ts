/** How spectra are compared, as short words in the address. */
import type { WaveUnit } from "../../spectrum/units";

export type Mode = "overlay" | "stack" | "ratio" | "trailed";
export const MODES: { key: Mode; label: string; about: string }[] = [
  { key: "overlay", label: "Overlay", about: "all on one axis" },
  { key: "stack", label: "Offset", about: "one above the other, in order" },
  { key: "ratio", label: "Median & ratio", about: "the median above, each over it below" },
  { key: "trailed", label: "Trailed", about: "an image: wavelength across, time or phase up" },
];

/** How many spectra the server puts beside each other at once. */
export const MOST: Record<Mode, number> = { overlay: 60, stack: 60, ratio: 60, trailed: 200 };

export interface CompareView {
  mode: Mode;
  normalise: "level" | "none";
  frame: "delivered" | "rest";
  /** "time", "phase" or a column of numbers. */
  order: string;
  period: number | null;
  epoch: number | null;
  lo: number | null;
  hi: number | null;
  unit: WaveUnit;
  /** Trailed image: the flux, or each over the median. */
  show: "flux" | "ratio";
  /** Trailed image: rows of one height, or where their time or phase is. */
  rows: "equal" | "scale";
  /** Phase once or twice round. */
  cycles: 1 | 2;
  cmap: string;
  /** Offset between neighbours in the stack, in units of their spread. */
  offset: number;
}

function finite(text: string | undefined): number | null {
  const value = text === undefined || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

function one<T extends string>(text: string | undefined, known: readonly T[], otherwise: T): T {
  return known.includes(text as T) ? (text as T) : otherwise;
}

export function viewOf(p: Record<string, string | undefined>): CompareView {
  const [lo, hi, period] = [finite(p["lo"]), finite(p["hi"]), finite(p["period"])];
  const sane = lo === null || hi === null || hi > lo;
  return {
    mode: one(p["mode"], ["overlay", "stack", "ratio", "trailed"], "overlay"),
    normalise: one(p["norm"], ["level", "none"], "level"),
    frame: one(p["frame"], ["delivered", "rest"], "delivered"),
    order: p["order"] || "time",
    period: period !== null && period > 0 ? period : null,
    epoch: finite(p["epoch"]),
    lo: sane ? lo : null,
    hi: sane ? hi : null,
    unit: one(p["unit"], ["aa", "nm", "um"], "aa"),
    show: one(p["show"], ["flux", "ratio"], "flux"),
    rows: one(p["rowsat"], ["equal", "scale"], "equal"),
    cycles: p["cycles"] === "1" ? 1 : 2,
    cmap: p["cmap"] ?? "",
    offset: Math.min(5, Math.max(0.1, finite(p["offset"]) ?? 1)),
  };
}

export function wordsOf(patch: Partial<CompareView>): Record<string, string | null> {
  const out: Record<string, string | null> = {};
  const put = (key: keyof CompareView, name: string, plain: unknown): void => {
    if (!(key in patch)) return;
    const value = patch[key];
    out[name] = value === plain || value === null || value === undefined ? null
      : typeof value === "number" ? String(Number(value.toPrecision(12))) : String(value);
  };
  put("mode", "mode", "overlay");
  put("normalise", "norm", "level");
  put("frame", "frame", "delivered");
  put("order", "order", "time");
  put("period", "period", null);
  put("epoch", "epoch", null);
  put("lo", "lo", null);
  put("hi", "hi", null);
  put("unit", "unit", "aa");
  put("show", "show", "flux");
  put("rows", "rowsat", "equal");
  put("cycles", "cycles", 2);
  put("cmap", "cmap", "");
  put("offset", "offset", 1);
  return out;
}

/** Rows named in the address ("12,15,98"); null when there are none or one is no row. */
export function rowsOf(text: string | undefined): number[] | null {
  if (!text) return null;
  const rows = text.split(",").map(Number);
  return rows.every((row) => Number.isInteger(row) && row >= 0) ? rows : null;
}

/** At most `most` of the rows, the same ones for the same seed, spread over all of them by chance. */
export function sample(rows: ArrayLike<number>, most: number, seed = 1): number[] {
  const all = Array.from(rows);
  if (all.length <= most) return all;
  let s = seed >>> 0;
  const random = (): number => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0; // Numerical Recipes' linear congruence
    return s / 2 ** 32;
  };
  for (let i = 0; i < most; i++) {
    const j = i + Math.floor(random() * (all.length - i));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all.slice(0, most).sort((a, b) => a - b);
}
