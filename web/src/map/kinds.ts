/** What a view can show, how the address says it, and the points of it. */
import type { ArchiveColumn, Overview } from "../lib/archive.svelte";
import type { Column } from "../lib/columns.svelte";
import { wide } from "../lib/colour";
import { columnTitle } from "../lib/format";
import { unitText } from "../spectrum/units";
import { projected, skyOf, type Sky } from "./sky";
import { NOWHERE, axisOf, positions, type Plane } from "./view";

export type ViewSpec =
  | { kind: "map"; name: string }
  | { kind: "sky"; frame: "icrs" | "galactic" }
  | XY;

/** Two columns; what is undefined follows the columns (see `defaults`). */
export interface XY {
  kind: "xy";
  x: string;
  y: string;
  logX?: boolean;
  logY?: boolean;
  flipX?: boolean;
  flipY?: boolean;
  lock?: boolean;
}

/** A view's points in its plane, and its words. */
export interface Plot {
  plane: Plane;
  at: Float32Array;
  x: string;
  y: string;
  sky: Sky | null;
  /** points that have both values */
  placed: number;
  /** axes mean nothing by themselves: no numbers on them */
  bare: boolean;
}

/** The two columns that a view needs. */
export function columnsOf(view: ViewSpec): [string, string] {
  if (view.kind === "map") return [`map:${view.name}:x`, `map:${view.name}:y`];
  if (view.kind === "sky") return view.frame === "icrs" ? ["s_ra", "s_dec"] : ["gal_l", "gal_b"];
  return [view.x, view.y];
}

const bare = (name: string) => name.split(/[.:]/).at(-1)!.toLowerCase();

/** Axes that astronomers draw the other way: Teff, log g, magnitudes; and longitudes. */
export function runsBackwards(name: string, axis: "x" | "y"): boolean {
  const b = bare(name);
  if (/^(t_?eff(_k)?|log_?g)$/.test(b)) return true;
  if (/^(m_?g|m_?v|abs_(g|v|mag)|.*_?mag|phot_.*_mag)$/.test(b)) return axis === "y";
  return axis === "x" && /^(s_ra|ra|gal_l|l)$/.test(b);
}

/** Whether two axes share a unit, so that a pixel should be as long on both. */
export function shareUnit(x: Column, y: Column): boolean {
  return x.unit !== "" && x.unit === y.unit;
}

function values(column: Column): ArrayLike<number> {
  return column.kind === "number" ? column.values : column.codes;
}

/** A unit as it is printed; "log(cm.s**-2)" → "log cm s⁻²". */
export function unitWords(unit: string): string {
  const log = /^log(?:10)?\((.*)\)$/.exec(unit.trim());
  return log ? `log ${unitText(log[1])}` : unitText(unit);
}

/** A column's name for people: those of maps and scores by what they are of. */
export function nameWords(name: string): string {
  const map = /^map:(.+):([xy])$/.exec(name);
  if (map) return `${map[2]} of ${mapTitle(map[1]!)}`;
  if (name.startsWith("score:")) return `score ${name.slice(6)}`;
  return columnTitle(name);
}

function titled(column: Column): string {
  const unit = unitWords(column.unit);
  return unit ? `${nameWords(column.name)}, ${unit}` : nameWords(column.name);
}

/** Points of a view; `get` gives a loaded column. */
export function plotOf(view: ViewSpec, get: (name: string) => Column): Plot {
  const [a, b] = columnsOf(view).map(get) as [Column, Column];
  if (view.kind === "sky") return skyPlot(view.frame, values(a), values(b));
  if (view.kind === "map") {
    const plane = { x: axisOf(values(a)), y: axisOf(values(b)), locked: true };
    return made(plane, positions(values(a), values(b), plane), "", "", null, true);
  }
  const set = defaults(view, a, b);
  const plane: Plane = {
    x: axisOf(values(a), set.logX, set.flipX), y: axisOf(values(b), set.logY, set.flipY),
    locked: set.lock,
  };
  return made(plane, positions(values(a), values(b), plane), titled(a), titled(b), null, false);
}

/** The settings of a view of two columns, with what the user left open filled in. */
export function defaults(view: XY, x: Column, y: Column): Required<XY> {
  const logX = view.logX ?? wide(values(x));
  const logY = view.logY ?? wide(values(y));
  return {
    ...view, logX, logY,
    flipX: view.flipX ?? runsBackwards(view.x, "x"),
    flipY: view.flipY ?? runsBackwards(view.y, "y"),
    lock: view.lock ?? (shareUnit(x, y) && !logX && !logY && alike(values(x), values(y))),
  };
}

/** Spans within a factor 12: locked, neither axis becomes a thread. */
function alike(x: ArrayLike<number>, y: ArrayLike<number>): boolean {
  const ratio = axisOf(x).span / axisOf(y).span;
  return ratio < 12 && ratio > 1 / 12;
}

function skyPlot(frame: "icrs" | "galactic", lon: ArrayLike<number>, lat: ArrayLike<number>): Plot {
  const sky = skyOf(lon, lat, frame === "icrs" ? 180 : 0);
  const [x, y] = projected(sky, lon, lat);
  let plane: Plane = { x: axisOf(x, false, true), y: axisOf(y), locked: true };
  if (sky.kind === "hammer") {
    // the whole sky in the unit square, wherever the points are
    const [w, h] = [2 * Math.SQRT2, Math.SQRT2];
    plane = {
      x: { origin: -w, span: 2 * w, log: false, reversed: true, min: -w, max: w },
      y: { origin: -h, span: 2 * h, log: false, reversed: false, min: -h, max: h },
      locked: true,
    };
  }
  const names = frame === "icrs" ? ["RA", "Dec"] : ["l", "b"];
  return made(plane, positions(x, y, plane), names[0]!, names[1]!, sky, true);
}

function made(
  plane: Plane, at: Float32Array, x: string, y: string, sky: Sky | null, noNumbers: boolean,
): Plot {
  let placed = 0;
  for (let i = 0; i < at.length; i += 2) if (at[i]! < NOWHERE / 2) placed++;
  return { plane, at, x, y, sky, placed, bare: noNumbers };
}

/** A view's name, short. */
export function viewTitle(view: ViewSpec): string {
  if (view.kind === "map") return mapTitle(view.name);
  if (view.kind === "sky") return view.frame === "icrs" ? "Sky (RA, Dec)" : "Galactic sky (l, b)";
  const names = `${bare(view.x)} ${bare(view.y)}`;
  if (/^t_?eff(_k)? log_?g$/.test(names)) return view.x.includes(".") ? `Kiel diagram (${view.x.split(".")[0]})` : "Kiel diagram";
  if (names === "gal_x_kpc gal_y_kpc") return "Galactic plane";
  if (names === "gal_x_kpc gal_z_kpc") return "Galactic plane from the side";
  return `${nameWords(view.y)} against ${nameWords(view.x)}`;
}

/** "umap.pca.low-observed-3700-9089" → "UMAP of pca, 3700–9089 Å"; other names stay. */
export function mapTitle(name: string): string {
  const found = /^(\w+)\.(\w+)\.\w+-(\w+?)(-counts)?-(\d+)-(\d+)$/.exec(name);
  if (!found) return name;
  const [, method, encoder, frame, counts, lo, hi] = found;
  const more = `${counts ? ", counts" : ""}${frame === "rest" ? ", at rest" : ""}`;
  return `${method!.toUpperCase()} of ${encoder}, ${lo}–${hi} Å${more}`;
}

export interface Offer {
  group: string;
  title: string;
  about: string;
  /** more of it, for a pointer that rests */
  note?: string;
  view: ViewSpec;
}

function kept(share: number | null | undefined): string {
  return share === null || share === undefined ? "" : `, ${Math.round(100 * share)} % of the nearest kept`;
}

/** Views that this archive can fill, the likely ones first. */
export function offers(archive: Overview): Offer[] {
  const out: Offer[] = archive.maps.map((m) => ({
    group: "Maps of embeddings", title: mapTitle(m.name), view: { kind: "map", name: m.name },
    about: `${m.count.toLocaleString("en")} spectra${kept(m.quality?.["kept_10"])}`,
    note: `${m.name}: ${m.note ?? ""}`,
  }));
  const pairs: [keyof Overview["suggested"] | string, string][] = [
    ["kiel", "Kiel diagram"], ["hr", "HR diagram"], ["metallicity", "Metallicity and α elements"],
    ["plane", "Galactic plane"], ["side", "Galactic plane from the side"],
  ];
  const suggested = archive.suggested as Record<string, unknown>;
  for (const [key, title] of pairs) {
    const pair = suggested[key];
    if (!Array.isArray(pair)) continue;
    const [x, y] = pair as [string, string];
    out.push({ group: "Diagrams", title, about: `${columnTitle(y)} against ${columnTitle(x)}`, view: { kind: "xy", x, y } });
  }
  if (suggested["sky"]) out.push({ group: "Sky", title: "Sky (RA, Dec)", about: "", view: { kind: "sky", frame: "icrs" } });
  if (suggested["galactic"]) {
    out.push({ group: "Sky", title: "Galactic sky (l, b)", about: "", view: { kind: "sky", frame: "galactic" } });
  }
  return out;
}

/** Columns that can be an axis, those with values first. */
export function axisColumns(archive: Overview): ArchiveColumn[] {
  return archive.columns.filter((c) => c.kind === "number" || c.kind === "time");
}

/** Four views for a first look. */
export function firstViews(archive: Overview): ViewSpec[] {
  const all = offers(archive);
  const of = (group: string) => all.filter((o) => o.group === group).map((o) => o.view);
  const [maps, diagrams, sky] = [of("Maps of embeddings"), of("Diagrams"), of("Sky")];
  const wanted = [maps[0], diagrams[0], sky[0], diagrams[1] ?? sky[1], maps[1], sky[1]];
  const out = wanted.filter((v, i): v is ViewSpec => !!v && wanted.indexOf(v) === i);
  if (out.length < 4) out.push({ kind: "xy", x: "em_min", y: "snr" });
  while (out.length < 4) out.push(out[out.length - 1]!);
  return out.slice(0, 4);
}

const escape = (name: string) => name.replace(/[%,~]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
const unescape = (text: string) => text.replace(/%([0-9a-f]{2})/gi, (_, h) => String.fromCharCode(parseInt(h, 16)));

const FLAGS = { logX: "lx", logY: "ly", flipX: "rx", flipY: "ry", lock: "k" } as const;
type Flag = keyof typeof FLAGS;

/** "map:NAME", "sky", "galactic" or "X~Y", with "~lx!rx…" for settings switched on or off. */
export function viewText(view: ViewSpec): string {
  if (view.kind === "map") return `map:${escape(view.name)}`;
  if (view.kind === "sky") return view.frame === "icrs" ? "sky" : "galactic";
  const flags = (Object.keys(FLAGS) as Flag[])
    .filter((f) => view[f] !== undefined)
    .map((f) => `${view[f] ? "" : "!"}${FLAGS[f]}`);
  return [escape(view.x), escape(view.y), ...flags].join("~");
}

export function parseView(text: string): ViewSpec | null {
  if (text === "sky") return { kind: "sky", frame: "icrs" };
  if (text === "galactic") return { kind: "sky", frame: "galactic" };
  if (/^map:[^~]+$/.test(text)) return { kind: "map", name: unescape(text.slice(4)) };
  const parts = text.split("~");
  if (parts.length < 2) {
    const [x, y, more] = text.split(":");
    return x && y && !more ? { kind: "xy", x: unescape(x), y: unescape(y) } : null;
  }
  const view: XY = { kind: "xy", x: unescape(parts[0]!), y: unescape(parts[1]!) };
  for (const part of parts.slice(2)) {
    const flag = (Object.keys(FLAGS) as Flag[]).find((f) => FLAGS[f] === part.replace("!", ""));
    if (flag) view[flag] = !part.startsWith("!");
  }
  return view.x && view.y ? view : null;
}

/** Views as the address holds them: "1:map:NAME,2:sky,…". */
export function viewsText(views: readonly ViewSpec[]): string {
  return views.map((v, i) => `${i + 1}:${viewText(v)}`).join(",");
}

/** The views of an address; `fill` takes the place of what cannot be read. */
export function parseViews(text: string | undefined, fill: readonly ViewSpec[]): ViewSpec[] {
  const out = [...fill];
  for (const item of (text ?? "").split(",")) {
    const found = /^([1-4]):(.+)$/.exec(item);
    const view = found && parseView(found[2]!);
    if (found && view) out[Number(found[1]) - 1] = view;
  }
  return out;
}
