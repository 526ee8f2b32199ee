/** The line list: which lines to show, where they are seen, and labels that do not overlap. */

import { lineVelocity, seenAt, airToVac, type Medium } from "./doppler";

export interface Line {
  name: string;
  /** Short text for the label, e.g. "Hα". */
  ion: string;
  wave_vac_aa: number;
  wave_air_aa: number | null;
  kind: string;
  weight?: number;
}

export type Kind = "emission" | "absorption" | "sky" | "telluric";
export const KINDS: { key: Kind; label: string; about: string }[] = [
  { key: "emission", label: "Emission", about: "Balmer, nebular and quasar lines" },
  { key: "absorption", label: "Absorption", about: "Balmer lines and the lines and bands of stars" },
  { key: "telluric", label: "Telluric", about: "absorption by our own air; does not move with z" },
  { key: "sky", label: "Sky", about: "night-sky emission; does not move with z" },
];

const HOMES: Record<string, Kind[]> = {
  hydrogen: ["emission", "absorption"],
  nebular: ["emission"],
  quasar: ["emission"],
  stellar: ["absorption"],
  sky: ["sky"],
  telluric: ["telluric"],
  emission: ["emission"],
  absorption: ["absorption"],
};

/** Whether a line of the server's kind belongs to one of the chosen kinds. */
export function chosen(line: Line, kinds: ReadonlySet<Kind>): boolean {
  return (HOMES[line.kind] ?? ["emission", "absorption"]).some((kind) => kinds.has(kind));
}

/** Sky and telluric features are at the observer and do not move with the source. */
export function moves(line: Line): boolean {
  return line.kind !== "sky" && line.kind !== "telluric";
}

export interface Seen {
  line: Line;
  /** Wavelength on the axis, Å, in the axis's medium. */
  at: number;
}

/** Chosen lines seen between lo and hi on an axis of this medium, ascending. */
export function seen(
  lines: readonly Line[], kinds: ReadonlySet<Kind>, z: number, medium: Medium, lo: number, hi: number,
): Seen[] {
  return lines
    .filter((line) => chosen(line, kinds))
    .map((line) => ({ line, at: seenAt(line.wave_vac_aa, moves(line) ? z : 0, medium) }))
    .filter(({ at }) => at >= lo && at <= hi)
    .sort((a, b) => a.at - b.at);
}

export interface Label {
  text: string;
  /** Pixels from the plot's left edge: where the text is centred. */
  x: number;
  /** 0 = the row nearest to the plot's edge. */
  row: number;
  /** Pixels of the lines that it names. */
  of: number[];
  kind: string;
}

/**
 * Labels for lines at pixels: neighbours of one name share a label; strong lines are placed
 * first, in the first of `rows` where they fit; what fits nowhere keeps its tick, unnamed.
 */
export function placeLabels(
  lines: readonly { text: string; x: number; weight: number; kind: string }[],
  widthOf: (text: string) => number,
  span: number,
  rows = 2,
  gap = 6,
): Label[] {
  const groups = together(lines, widthOf, gap);
  const order = [...groups].sort((a, b) => a.weight - b.weight || a.x - b.x);
  const taken: [number, number][][] = Array.from({ length: rows }, () => []);
  const out: Label[] = [];
  for (const group of order) {
    const half = widthOf(group.text) / 2;
    const x = Math.min(Math.max(group.x, half), Math.max(half, span - half));
    const row = taken.findIndex((spans) =>
      spans.every(([from, to]) => x + half + gap <= from || x - half - gap >= to));
    if (row < 0) continue;
    taken[row]!.push([x - half, x + half]);
    out.push({ text: group.text, x, row, of: group.of, kind: group.kind });
  }
  return out.sort((a, b) => a.x - b.x);
}

function together(
  lines: readonly { text: string; x: number; weight: number; kind: string }[],
  widthOf: (text: string) => number,
  gap: number,
): { text: string; x: number; weight: number; of: number[]; kind: string }[] {
  const out: { text: string; x: number; weight: number; of: number[]; kind: string }[] = [];
  for (const line of [...lines].sort((a, b) => a.x - b.x)) {
    const kin = out.findLast((group) => group.text === line.text);
    if (kin && line.x - kin.of[kin.of.length - 1]! < widthOf(line.text) + gap) {
      kin.of.push(line.x);
      kin.x = (kin.of[0]! + line.x) / 2;
      kin.weight = Math.min(kin.weight, line.weight);
    } else out.push({ ...line, of: [line.x] });
  }
  return out;
}

/** The weakest weight worth a mark in a window: the wider the window, the fewer lines. */
export function weightFor(lo: number, hi: number): number {
  const octaves = Math.log2(hi / lo);
  return octaves > 0.6 ? 2 : 3;
}

/** The shown line nearest to a wavelength in velocity, with that velocity in km/s (+ = redward). */
export function nearestLine(
  shown: readonly Seen[], atAa: number, medium: Medium,
): { line: Line; velocityKms: number } | null {
  const vac = (aa: number): number => (medium === "air" ? airToVac(aa) : aa);
  let best: { line: Line; velocityKms: number } | null = null;
  for (const { line, at } of shown) {
    const velocityKms = lineVelocity(vac(atAa), vac(at));
    if (!best || Math.abs(velocityKms) < Math.abs(best.velocityKms)) best = { line, velocityKms };
  }
  return best;
}
