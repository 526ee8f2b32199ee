/** What POST /api/compare answered, and what is made of it: ratios, offsets, image rows, CSV. */
import type { Table } from "../../lib/arrow";
import { percentile } from "../../spectrum/decimate";
import type { Medium } from "../../spectrum/doppler";

export interface CompareAbout {
  members: number;
  left_out: Record<string, number>;
  medium: Medium;
  frame: string;
  x_name: string;
  x_unit: string;
  notes: string[];
  flux_unit?: string | null;
  normalise?: string;
  epoch?: number;
  time?: string;
}

export interface Compared {
  wave: Float64Array;
  rows: Int32Array;
  ids: string[];
  labels: string[];
  /** What members are ordered by; NaN where unknown (those come last). */
  x: Float64Array;
  flux: Float32Array[];
  median: Float32Array;
  about: CompareAbout;
}

export function comparedOf(table: Table): Compared {
  const about = table.meta<CompareAbout>("compare");
  const wave = table.meta<(number | null)[]>("wave");
  if (!about || !wave) throw new Error("The comparison came without its description.");
  const texts = (name: string): string[] => table.texts(name).map((text) => text ?? "");
  return {
    about,
    wave: Float64Array.from(wave, (value) => value ?? NaN),
    median: Float32Array.from(table.meta<(number | null)[]>("median") ?? [], (value) => value ?? NaN),
    rows: Int32Array.from(table.numbers("row")),
    ids: texts("id"),
    labels: texts("label"),
    x: Float64Array.from(table.numbers("x")),
    flux: table.lists("flux"),
  };
}

/** Values over the median; where that is next to nothing (2 % of its usual size) there is no ratio. */
export function ratio(flux: Float32Array, median: Float32Array): Float32Array {
  const least = 0.02 * percentile(median.map(Math.abs), 0.5);
  return flux.map((value, i) => (Math.abs(median[i]!) > least ? value / median[i]! : NaN));
}

/** A distance that keeps most neighbours of a stack apart: the typical 2–98 % spread. */
export function spread(fluxes: readonly Float32Array[]): number {
  const each = fluxes.map((flux) => percentile(flux, 0.98) - percentile(flux, 0.02)).filter((s) => s > 0);
  return each.length ? percentile(each, 0.5) : 1;
}

export interface Strip {
  /** Index of the member. */
  member: number;
  /** Lower and upper edge on the vertical axis. */
  from: number;
  to: number;
}

/**
 * Where each member lies in a trailed image. `equal`: rows of one height in order. `scale`: about
 * its x, as far as half way to its neighbours but never more than twice the typical step, so that
 * a gap stays a gap. With two cycles of phase everything comes again one higher.
 */
export function strips(x: Float64Array, rows: "equal" | "scale", cycles: 1 | 2 = 1): Strip[] {
  const known = [...x.keys()].filter((i) => Number.isFinite(x[i]!));
  if (rows === "equal") {
    const all = known.map((member, i) => ({ member, from: i, to: i + 1 }));
    return cycles === 1 ? all : [...all, ...all.map((s) => ({ ...s, from: s.from + all.length, to: s.to + all.length }))];
  }
  const at = known.map((i) => x[i]!);
  const steps = at.slice(1).map((value, i) => value - at[i]!).filter((step) => step > 0);
  const typical = steps.length ? percentile(steps, 0.5) : 1;
  const half = (step: number | undefined): number => Math.min(step !== undefined && step > 0 ? step / 2 : typical / 2, typical);
  const once = known.map((member, i) => ({
    member,
    from: at[i]! - half(i > 0 ? at[i]! - at[i - 1]! : undefined),
    to: at[i]! + half(i + 1 < at.length ? at[i + 1]! - at[i]! : undefined),
  }));
  return cycles === 1 ? once : [...once, ...once.map((s) => ({ ...s, from: s.from + 1, to: s.to + 1 }))];
}

/** RGBA of one member's row: what is not finite stays see-through. */
export function colours(values: Float32Array, lo: number, hi: number, map: Uint8Array): Uint8ClampedArray {
  const out = new Uint8ClampedArray(values.length * 4);
  const scale = 255 / (hi - lo || 1);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    const at = Math.max(0, Math.min(255, Math.round((value - lo) * scale))) * 3;
    out[i * 4] = map[at]!;
    out[i * 4 + 1] = map[at + 1]!;
    out[i * 4 + 2] = map[at + 2]!;
    out[i * 4 + 3] = 255;
  }
  return out;
}

/** The members as comma-separated values, one column each; a leading = + − @ can start no formula. */
export function csv(compared: Compared, hidden: ReadonlySet<number> = new Set()): string {
  const shown = [...compared.ids.keys()].filter((i) => !hidden.has(compared.rows[i]!));
  const cell = (text: string): string => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replace(/"/g, '""')}"`;
  const head = ["wave_aa", "median", ...shown.map((i) => cell(compared.ids[i]!))].join(",");
  const order = [`"${compared.about.x_name.replace(/"/g, '""')}"`, "", ...shown.map((i) => (Number.isFinite(compared.x[i]!) ? compared.x[i] : ""))].join(",");
  const value = (v: number | undefined): string => (v !== undefined && Number.isFinite(v) ? String(Number(v.toPrecision(7))) : "");
  const lines = Array.from(compared.wave, (wave, k) =>
    [wave.toFixed(4), value(compared.median[k]), ...shown.map((i) => value(compared.flux[i]![k]))].join(","));
  return [head, order, ...lines].join("\n") + "\n";
}
