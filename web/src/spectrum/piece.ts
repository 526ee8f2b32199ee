/** A stretch of a spectrum as the server sent it: samples, or extremes column by column. */
import type { Table } from "../lib/arrow";
import { lowerBound, robustRange, type Range } from "./decimate";
import type { Medium } from "./doppler";
import type { Window } from "./window";

export interface About {
  id: string;
  n: number;
  first_aa: number;
  last_aa: number;
  exact: boolean;
  bin: number;
  medium: Medium;
  delivered_medium: Medium;
  specsys: string;
  wave_unit: string;
  flux_unit: string | null;
  flux_calibration: string;
  normalisation: string;
  uncertainty_kind: string;
  resolution: number | null;
  flag_bits: Record<string, string>;
  orders: number;
  order_numbers?: number[];
  notes: string[];
  redshift: number | null;
  rv_kms: number | null;
  target_name?: string | null;
}

export interface Piece {
  wave: Float64Array;
  flux: Float32Array;
  /** Extremes of each column; null when these are the samples themselves. */
  lo: Float32Array | null;
  hi: Float32Array | null;
  sigma: Float32Array | null;
  masked: Uint8Array;
  flags: Int32Array | null;
  /** `flux` with the masked samples taken out: what is drawn in full colour. */
  good: Float32Array;
  about: About;
  /** Å between neighbours beyond which nothing was measured between them. */
  gap: number;
  /** Smallest distance of two samples that the eye may ask for. */
  least: number;
}

function floats(table: Table, name: string): Float32Array | null {
  if (!table.has(name)) return null;
  const values = Float32Array.from(table.numbers(name));
  return values.some(Number.isFinite) ? values : null;
}

/** The answer of GET /api/spectrum as a piece. */
export function pieceOf(table: Table): Piece {
  const wave = Float64Array.from(table.numbers("wave_aa"));
  const flux = floats(table, "flux") ?? new Float32Array(wave.length).fill(NaN);
  const masked = Uint8Array.from(table.numbers("masked"));
  const flagged = table.numbers("flags");
  const about = table.meta<About>("spectrum");
  if (!about) throw new Error("The spectrum came without its description.");
  return {
    wave, flux, masked, about,
    lo: floats(table, "lo"),
    hi: floats(table, "hi"),
    sigma: floats(table, "sigma"),
    flags: flagged.some((flag) => flag !== 0 && Number.isFinite(flag)) ? Int32Array.from(flagged) : null,
    // A column's mean already leaves its masked samples out.
    good: about.exact ? flux.map((value, i) => (masked[i] ? NaN : value)) : flux,
    gap: (about.exact ? 8 : 3.5) * typicalStep(wave),
    least: Math.max(1e-4, (about.last_aa - about.first_aa) / Math.max(8, about.n)) * 4,
  };
}

function typicalStep(wave: Float64Array): number {
  if (wave.length < 3) return Infinity;
  return Float64Array.from({ length: wave.length - 1 }, (_, i) => wave[i + 1] - wave[i]).sort()[wave.length >> 1];
}

/** Indices of the samples in a window, with one beyond on either side. */
export function inView(piece: Piece, window: Window): [number, number] {
  return [
    Math.max(0, lowerBound(piece.wave, window.lo) - 1),
    Math.min(piece.wave.length, lowerBound(piece.wave, window.hi) + 1),
  ];
}

/** Flux range of what is in view; `all` shows every spike, else a few do not count. */
export function fluxRange(piece: Piece, window: Window, all: boolean): Range | null {
  const [from, to] = inView(piece, window);
  const lows = (piece.lo ?? piece.good).subarray(from, to);
  const highs = (piece.hi ?? piece.good).subarray(from, to);
  const mean = piece.lo ? piece.flux.subarray(from, to) : undefined;
  const robust = robustRange(lows, highs, mean) ?? robustRange(piece.flux.subarray(from, to), piece.flux.subarray(from, to));
  if (!all || !robust) return robust;
  let lo = Infinity;
  let hi = -Infinity;
  for (let i = 0; i < lows.length; i++) {
    if (lows[i] < lo) lo = lows[i];
    if (highs[i] > hi) hi = highs[i];
  }
  return hi >= lo ? { lo, hi, beyond: 0 } : robust;
}

/** Names of the set bits of a flag; a bit without a name is told by its number. */
export function flagNames(flag: number, bits: Record<string, string>): string[] {
  const out: string[] = [];
  for (let bit = 0; bit < 32; bit++) if (flag & (1 << bit)) out.push(bits[bit] ?? `bit ${bit}`);
  return out;
}
