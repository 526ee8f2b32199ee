/** From a column to colours: the level of each point, the table of colours, and the legend. */
import type { Column } from "../lib/columns.svelte";
import {
  MOST_KINDS, categorical, isColourMap, levels, noValue, otherKinds, rgbOf, robustRange, symmetric,
  isDiverging, table, wide, type ColourMap,
} from "../lib/colour";
import { HIDDEN, SELECTED } from "./picks";

export interface ColourSpec {
  /** null: one colour for all */
  column: string | null;
  map: ColourMap;
  /** null: the robust range */
  range: [number, number] | null;
  /** null: where the values spread wide */
  log: boolean | null;
  /** kinds that are switched off: values, or OTHER or NONE */
  off: readonly string[];
}

export const OTHER = "\u0001other";
export const NONE = "\u0001none";

export interface Kind {
  id: string;
  label: string;
  count: number;
  level: number;
  colour: string;
  shown: boolean;
}

export type Legend =
  | { kind: "none" }
  | { kind: "kinds"; entries: Kind[]; others: string[] }
  | { kind: "range"; lo: number; hi: number; log: boolean; map: ColourMap; missing: number; unit: string };

export interface Colouring {
  levels: Uint8Array;
  /** 256 × RGBA */
  lut: Uint8Array;
  legend: Legend;
  /** levels whose points are switched off */
  off: ReadonlySet<number>;
  /** means are means of colours */
  kinds: boolean;
}

/** How a column is coloured. `n`: number of points, for when there is no column. */
export function colouring(column: Column | null, spec: ColourSpec, dark: boolean, n: number): Colouring {
  if (!column) return plain(dark, n);
  return column.kind === "category"
    ? ofKinds(column.codes, column.values, spec, dark)
    : ofNumbers(column.values, column.unit, spec, dark);
}

function plain(dark: boolean, n: number): Colouring {
  const lut = ground(dark);
  put(lut, 1, categorical(dark)[0]!);
  return { levels: new Uint8Array(n).fill(1), lut, legend: { kind: "none" }, off: new Set(), kinds: true };
}

function ground(dark: boolean): Uint8Array {
  const lut = new Uint8Array(1024).fill(255);
  put(lut, 0, noValue(dark));
  return lut;
}

function put(lut: Uint8Array, level: number, hex: string): void {
  lut.set(rgbOf(hex), 4 * level);
}

function ofNumbers(values: ArrayLike<number>, unit: string, spec: ColourSpec, dark: boolean): Colouring {
  const log = spec.log ?? (wide(values) && !isDiverging(spec.map));
  const [lo, hi] = spec.range ?? automatic(values, spec.map, log);
  const usable = !log || (lo > 0 && hi > 0);
  const level = levels(values, lo, hi, log && usable);
  const lut = ground(dark);
  const map = table(spec.map);
  // level 1…255 over the 256 entries of the map
  for (let k = 1; k < 256; k++) {
    const from = 3 * Math.round(((k - 1) / 254) * 255);
    lut.set([map[from]!, map[from + 1]!, map[from + 2]!], 4 * k);
  }
  let missing = 0;
  for (let i = 0; i < level.length; i++) if (level[i] === 0) missing++;
  const off = new Set(spec.off.includes(NONE) ? [0] : []);
  const legend: Legend = { kind: "range", lo, hi, log: log && usable, map: spec.map, missing, unit };
  return { levels: level, lut, legend, off, kinds: false };
}

function automatic(values: ArrayLike<number>, map: ColourMap, log: boolean): [number, number] {
  if (!log) {
    const range = robustRange(values);
    return isDiverging(map) && range[0] < 0 && range[1] > 0 ? symmetric(range) : range;
  }
  const above = Float64Array.from(values).filter((v) => v > 0);
  return robustRange(above);
}

function ofKinds(codes: Int32Array, words: readonly string[], spec: ColourSpec, dark: boolean): Colouring {
  const counts = new Int32Array(words.length + 1);
  for (let i = 0; i < codes.length; i++) counts[codes[i]! < 0 ? words.length : codes[i]!]!++;
  const blank = words.map((w) => w.trim() === "");
  const order = words.map((_, k) => k).filter((k) => counts[k]! > 0 && !blank[k]);
  order.sort((a, b) => counts[b]! - counts[a]! || (words[a]! < words[b]! ? -1 : 1));
  const own = order.length > MOST_KINDS ? order.slice(0, MOST_KINDS - 1) : order;
  const rest = order.slice(own.length);
  const colours = categorical(dark);
  const lut = ground(dark);
  const levelOf = new Uint8Array(words.length);
  const entries: Kind[] = own.map((k, i) => {
    levelOf[k] = i + 1;
    put(lut, i + 1, colours[i]!);
    const id = words[k]!;
    return { id, label: id, count: counts[k]!, level: i + 1, colour: colours[i]!, shown: !spec.off.includes(id) };
  });
  if (rest.length) {
    const level = own.length + 1;
    const colour = otherKinds(dark);
    put(lut, level, colour);
    let count = 0;
    for (const k of rest) {
      levelOf[k] = level;
      count += counts[k]!;
    }
    entries.push({ id: OTHER, label: `${rest.length} others`, count, level, colour, shown: !spec.off.includes(OTHER) });
  }
  const level = new Uint8Array(codes.length);
  let none = 0;
  for (let i = 0; i < codes.length; i++) {
    level[i] = codes[i]! < 0 ? 0 : levelOf[codes[i]!]!;
    if (level[i] === 0) none++;
  }
  if (none) entries.push({ id: NONE, label: "no value", count: none, level: 0, colour: noValue(dark), shown: !spec.off.includes(NONE) });
  const off = new Set(entries.filter((e) => !e.shown).map((e) => e.level));
  return { levels: level, lut, legend: { kind: "kinds", entries, others: rest.map((k) => words[k]!) }, off, kinds: true };
}

/** Level, selection and visibility of every point in 32 bits each, as the scatter takes them. */
export function looks(
  from: Colouring, selected: ArrayLike<number>, position: (row: number) => number,
  inside: Uint8Array | null,
): Uint32Array {
  const { levels: level, off } = from;
  const hidden = new Uint32Array(256);
  for (const k of off) hidden[k] = HIDDEN;
  const out = new Uint32Array(level.length);
  for (let i = 0; i < out.length; i++) {
    const k = level[i]!;
    out[i] = k | hidden[k]! | (inside && !inside[i] ? HIDDEN : 0);
  }
  for (let k = 0; k < selected.length; k++) {
    const i = position(selected[k]!);
    if (i >= 0 && i < out.length) out[i]! |= SELECTED;
  }
  return out;
}

/** The colour as the address holds it. */
export function colourParams(spec: ColourSpec, usual: string | null): Record<string, string | null> {
  return {
    colour: spec.column === usual ? null : (spec.column ?? "none"),
    cmap: spec.map === "viridis" ? null : spec.map,
    range: spec.range ? spec.range.map((v) => String(Number(v.toPrecision(7)))).join(",") : null,
    clog: spec.log === null ? null : spec.log ? "1" : "0",
    off: spec.off.length ? spec.off.map((o) => encodeURIComponent(o.replace("\u0001", "*"))).join(",") : null,
  };
}

export function parseColour(params: Readonly<Record<string, string>>, usual: string | null): ColourSpec {
  const { colour, cmap, range, clog, off } = params;
  const numbers = (range ?? "").split(",").map(Number);
  const good = range !== undefined && numbers.length === 2 && numbers.every(Number.isFinite) && numbers[0] !== numbers[1];
  return {
    column: colour === "none" ? null : colour || usual,
    map: cmap && isColourMap(cmap) ? cmap : "viridis",
    range: good ? (numbers as [number, number]) : null,
    log: clog === "1" ? true : clog === "0" ? false : null,
    off: off ? off.split(",").map((o) => plainly(o).replace(/^\*/, "\u0001")) : [],
  };
}

function plainly(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
