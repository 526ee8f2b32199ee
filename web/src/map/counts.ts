/** Histograms of the selected against the rest, and conditions on values. Pure. */
import { robustRange, wide } from "../lib/colour";
import type { Column } from "../lib/columns.svelte";
import { HIDDEN, SELECTED } from "./picks";

export interface Bins {
  kind: "bins";
  lo: number;
  hi: number;
  log: boolean;
  /** shares of their own totals, one for each bin */
  chosen: Float64Array;
  rest: Float64Array;
  chosenMedian: number;
  restMedian: number;
  /** with a value; those beyond the range are in no bin */
  chosenCount: number;
  restCount: number;
}

export interface Shares {
  kind: "shares";
  kinds: { label: string; chosen: number; rest: number; chosenCount: number; restCount: number }[];
  more: number;
  chosenCount: number;
  restCount: number;
}

/** How many values a median is taken of; points come shuffled, so the first are a fair sample. */
const MEDIAN_OF = 20_000;

/** A column of the selected points beside the others that are shown. */
export function contrast(column: Column, look: Uint32Array, bins = 40): Bins | Shares {
  return column.kind === "number"
    ? binned(column.values, look, bins)
    : shared(column.codes, column.values, look);
}

function binned(values: ArrayLike<number>, look: Uint32Array, count: number): Bins {
  const log = wide(values);
  const [low, high] = log
    ? robustRange(Float64Array.from(values).filter((v) => v > 0), 0.005, 0.995)
    : robustRange(values, 0.005, 0.995);
  const [a, b] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const scale = count / (b - a);
  const sides = [new Float64Array(count), new Float64Array(count)] as const;
  const totals = [0, 0];
  const samples = [new Float64Array(MEDIAN_OF), new Float64Array(MEDIAN_OF)] as const;
  for (let i = 0; i < look.length; i++) {
    const v = values[i]!;
    if (look[i]! & HIDDEN || v !== v) continue;
    const side = look[i]! & SELECTED ? 1 : 0;
    if (totals[side]! < MEDIAN_OF) samples[side]![totals[side]!] = v;
    totals[side]!++;
    const k = Math.floor(((log ? Math.log10(v) : v) - a) * scale);
    if (k >= 0 && k < count) sides[side]![k]!++;
    else if (k === count) sides[side]![count - 1]!++;
  }
  for (const side of [0, 1] as const) {
    for (let k = 0; k < count; k++) sides[side][k]! /= totals[side]! || 1;
  }
  return {
    kind: "bins", lo: low, hi: high, log, chosen: sides[1], rest: sides[0],
    chosenMedian: median(samples[1], totals[1]!), restMedian: median(samples[0], totals[0]!),
    chosenCount: totals[1]!, restCount: totals[0]!,
  };
}

function median(values: Float64Array, n: number): number {
  const some = values.subarray(0, Math.min(n, values.length)).sort();
  if (!some.length) return NaN;
  const m = some.length >> 1;
  return some.length % 2 ? some[m]! : (some[m - 1]! + some[m]!) / 2;
}

function shared(codes: Int32Array, words: readonly string[], look: Uint32Array, most = 7): Shares {
  const chosen = new Int32Array(words.length);
  const rest = new Int32Array(words.length);
  let [nc, nr] = [0, 0];
  for (let i = 0; i < look.length; i++) {
    const k = codes[i]!;
    if (k < 0 || look[i]! & HIDDEN || words[k] === "") continue;
    if (look[i]! & SELECTED) {
      chosen[k]!++;
      nc++;
    } else {
      rest[k]!++;
      nr++;
    }
  }
  const share = (k: number) => Math.max(chosen[k]! / (nc || 1), rest[k]! / (nr || 1));
  const order = words.map((_, k) => k).filter((k) => chosen[k]! + rest[k]! > 0).sort((x, y) => share(y) - share(x));
  return {
    kind: "shares", chosenCount: nc, restCount: nr, more: Math.max(0, order.length - most),
    kinds: order.slice(0, most).map((k) => ({
      label: words[k]!, chosen: chosen[k]! / (nc || 1), rest: rest[k]! / (nr || 1),
      chosenCount: chosen[k]!, restCount: rest[k]!,
    })),
  };
}

/** One condition of the panel "By values". */
export interface Condition {
  column: string | null;
  /** as typed; "" is open */
  from: string;
  to: string;
  kinds: string[];
}

/** A typed number, or null when it is empty or none. */
export function typedNumber(text: string): number | null {
  const plain = text.trim().replace("−", "-").replace(",", ".");
  const value = Number(plain);
  return plain === "" || !Number.isFinite(value) ? null : value;
}

/** Points that are shown and meet every condition that says something; null when none does. */
export function meeting(
  conditions: readonly Condition[], get: (name: string) => Column | null, look: Uint32Array,
): Int32Array | null {
  const tests: ((i: number) => boolean)[] = [];
  for (const c of conditions) {
    const column = c.column === null ? null : get(c.column);
    if (!column) continue;
    if (column.kind === "category") {
      if (!c.kinds.length) continue;
      const wanted = new Set(c.kinds.map((k) => column.values.indexOf(k)));
      tests.push((i) => wanted.has(column.codes[i]!));
    } else {
      const [lo, hi] = [typedNumber(c.from), typedNumber(c.to)];
      if (lo === null && hi === null) continue;
      const { values } = column;
      tests.push((i) => (lo === null || values[i]! >= lo) && (hi === null || values[i]! <= hi) && values[i]! === values[i]!);
    }
  }
  if (!tests.length) return null;
  const out = new Int32Array(look.length);
  let n = 0;
  for (let i = 0; i < look.length; i++) {
    if (!(look[i]! & HIDDEN) && tests.every((t) => t(i))) out[n++] = i;
  }
  return out.slice(0, n);
}

/** The conditions in words: "snr 10 to 50, class STAR or QSO". */
export function conditionsText(conditions: readonly Condition[]): string {
  return conditions.flatMap((c) => {
    if (c.column === null) return [];
    if (c.kinds.length) return [`${c.column} ${c.kinds.join(" or ")}`];
    const [lo, hi] = [typedNumber(c.from), typedNumber(c.to)];
    if (lo === null && hi === null) return [];
    return [lo === null ? `${c.column} up to ${hi}` : hi === null ? `${c.column} from ${lo}` : `${c.column} ${lo} to ${hi}`];
  }).join(", ");
}

/**
 * Places of points in the order of a column, those without a value last; `falling`: largest first.
 * Words are put in alphabetical order.
 */
export function ordered(points: Int32Array, column: Column, falling: boolean): Int32Array {
  const key = new Float64Array(points.length);
  if (column.kind === "number") {
    for (let k = 0; k < key.length; k++) key[k] = column.values[points[k]!]!;
  } else {
    const rank = new Float64Array(column.values.length);
    [...column.values.keys()].sort((a, b) => (column.values[a]! < column.values[b]! ? -1 : 1)).forEach((k, r) => (rank[k] = r));
    for (let k = 0; k < key.length; k++) {
      const code = column.codes[points[k]!]!;
      key[k] = code < 0 ? NaN : rank[code]!;
    }
  }
  const sign = falling ? -1 : 1;
  const order = Int32Array.from(points, (_, k) => k);
  order.sort((a, b) => {
    const [x, y] = [key[a]!, key[b]!];
    if (x !== x) return y !== y ? a - b : 1;
    if (y !== y) return -1;
    return sign * (x - y) || a - b;
  });
  return order.map((k) => points[k]!);
}
