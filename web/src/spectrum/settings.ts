/** How a spectrum is looked at, as short words in the address. */
import type { Kind } from "./lines";
import type { WaveUnit } from "./units";

export type FluxScale = "linear" | "log" | "median";
export type MediumChoice = "asis" | "air" | "vacuum";

export interface SpectrumView {
  /** Å on the axis shown; null = to the end of the data. */
  lo: number | null;
  hi: number | null;
  /** Redshift of the line list and the rest axis; null = the catalogue's own. */
  z: number | null;
  /** σ of the smoothing, samples. */
  smooth: number;
  medium: MediumChoice;
  unit: WaveUnit;
  scale: FluxScale;
  /** null = those that suit the object's class. */
  kinds: Kind[] | null;
  error: boolean;
  mask: boolean;
  /** One echelle order; null = all, joined. */
  order: number | null;
}

type Words = Record<string, string | null>;
const LETTER: Record<Kind, string> = { emission: "e", absorption: "a", telluric: "t", sky: "s" };

function finite(text: string | undefined): number | null {
  const value = text === undefined || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

function one<T extends string>(text: string | undefined, known: readonly T[], otherwise: T): T {
  return known.includes(text as T) ? (text as T) : otherwise;
}

/** Parameters of the address → a view; what makes no sense is left at its default. */
export function viewOf(params: Record<string, string | undefined>): SpectrumView {
  const lo = finite(params["lo"]);
  const hi = finite(params["hi"]);
  const sane = lo === null || hi === null || hi > lo;
  const z = finite(params["z"]);
  const kinds = params["lines"];
  const order = finite(params["order"]);
  return {
    lo: sane ? lo : null,
    hi: sane ? hi : null,
    z: z !== null && z > -1 ? z : null,
    smooth: Math.min(200, Math.max(0, finite(params["smooth"]) ?? 0)),
    medium: one(params["medium"], ["asis", "air", "vacuum"], "asis"),
    unit: one(params["unit"], ["aa", "nm", "um"], "aa"),
    scale: one(params["flux"], ["linear", "log", "median"], "linear"),
    kinds: kinds === undefined ? null
      : (Object.keys(LETTER) as Kind[]).filter((kind) => kinds.includes(LETTER[kind])),
    error: params["error"] !== "0",
    mask: params["mask"] !== "0",
    order: order !== null && order >= 0 ? Math.floor(order) : null,
  };
}

/** The parameters of a part of a view; null takes one away (it is at its default). */
export function wordsOf(patch: Partial<SpectrumView>): Words {
  const out: Words = {};
  const wave = (value: number | null): string | null => (value === null ? null : String(Number(value.toFixed(4))));
  if ("lo" in patch) out["lo"] = wave(patch.lo ?? null);
  if ("hi" in patch) out["hi"] = wave(patch.hi ?? null);
  if ("z" in patch) out["z"] = patch.z === null || patch.z === undefined ? null : String(Number(patch.z.toPrecision(9)));
  if ("smooth" in patch) out["smooth"] = patch.smooth ? String(patch.smooth) : null;
  if ("medium" in patch) out["medium"] = patch.medium === "asis" ? null : patch.medium!;
  if ("unit" in patch) out["unit"] = patch.unit === "aa" ? null : patch.unit!;
  if ("scale" in patch) out["flux"] = patch.scale === "linear" ? null : patch.scale!;
  if ("kinds" in patch) out["lines"] = patch.kinds ? patch.kinds.map((kind) => LETTER[kind]).join("") || "0" : null;
  if ("error" in patch) out["error"] = patch.error ? null : "0";
  if ("mask" in patch) out["mask"] = patch.mask ? null : "0";
  if ("order" in patch) out["order"] = patch.order === null || patch.order === undefined ? null : String(patch.order);
  return out;
}

/** Lines worth showing at first for an object of this class. */
export function kindsFor(cls: string | null | undefined): Kind[] {
  const word = (cls ?? "").toLowerCase();
  if (/galax|qso|quasar|agn|nebula|cv|emission/.test(word)) return ["emission", "telluric"];
  return ["absorption", "telluric"];
}
