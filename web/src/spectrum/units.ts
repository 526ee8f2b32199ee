/** Wavelength units, readable unit names, round ticks and numbers for the axes of spectra. */

export type WaveUnit = "aa" | "nm" | "um";

export const WAVE_UNITS: { key: WaveUnit; label: string; perAa: number }[] = [
  { key: "aa", label: "Å", perAa: 1 },
  { key: "nm", label: "nm", perAa: 0.1 },
  { key: "um", label: "µm", perAa: 1e-4 },
];

export function waveUnit(key: string | undefined): (typeof WAVE_UNITS)[number] {
  return WAVE_UNITS.find((unit) => unit.key === key) ?? WAVE_UNITS[0]!;
}

/** Decimals that tell two ticks (or samples) `step` apart. */
export function decimals(step: number): number {
  if (!(step > 0)) return 0;
  return Math.min(8, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
}

/** The 1, 2 or 5 × 10ⁿ at or above `rough`. */
export function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const times = [1, 2, 5, 10].find((m) => m * power >= rough * (1 - 1e-9)) ?? 10;
  return times * power;
}

/** Round values within [lo, hi], at most about `most` of them. */
export function ticks(lo: number, hi: number, most: number): number[] {
  if (!(hi > lo) || most < 1) return [];
  const step = roundStep((hi - lo) / most);
  const out: number[] = [];
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi * (1 + 1e-12); k++) out.push(k * step);
  return out;
}

const RAISED: Record<string, string> = {
  "-": "⁻", "+": "", ".": "·", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵",
  "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
};

export function raised(power: number | string): string {
  return [...String(power)].map((c) => RAISED[c] ?? c).join("");
}

/** A number with a power of ten in print: 1.2 × 10⁻¹⁷. */
export function scientific(value: number, digits = 2): string {
  if (!Number.isFinite(value)) return "–";
  const [mantissa, power] = value.toExponential(digits).split("e");
  const n = Number(power);
  return n ? `${mantissa}\u2009×\u200910${raised(n)}` : mantissa!;
}

/** A flux with `digits` significant figures, in plain figures where that is short. */
export function flux(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return scientific(value, digits - 1);
  return Number(value.toPrecision(digits)).toString().replace("-", "−");
}

const WORDS: [RegExp, string][] = [
  [/angstroms?|\bang\b/gi, "Å"],
  [/\bmicrons?\b/gi, "µm"],
  [/\bergs\b/gi, "erg"],
  [/\b(ct|cts|counts?)\b/gi, "counts"],
  [/\b(adu|ADU)\b/g, "ADU"],
];

/**
 * A unit in print: "1e-17 erg/s/cm2/Angstrom" → "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹". What does not look
 * like a unit is given back as it is.
 */
export function unitText(unit: string | null | undefined): string {
  const bare = (unit ?? "").trim();
  if (!bare || /^(none|unknown|dimensionless|adimensional)$/i.test(bare)) return "";
  let text = bare.replace(/\*\*\s*\(?([-+]?\d+)\)?/g, "$1").replace(/\^\s*\(?([-+]?\d+)\)?/g, "$1");
  text = text.replace(/\(([^()]*)\)/g, "$1");
  for (const [word, sign] of WORDS) text = text.replace(word, sign);
  const scale = /^(?:1(?:\.0)?\s*[xX*]?\s*)?(?:10|1(?:\.0)?[eE])\s*([-+]?\d+)\s*[ *]?\s*(?=\D)/.exec(text);
  let out = "";
  if (scale) {
    out = `10${raised(Number(scale[1]))} `;
    text = text.slice(scale[0].length);
  }
  const parts = text.split("/").map((part) => part.trim());
  const over = (parts.shift() ?? "").split(/[\s.*·]+/).filter(Boolean).map((p) => powered(p, 1));
  // "/" divides by the one factor after it; factors behind a blank multiply again (FITS).
  const under = parts.flatMap((part) => {
    const factors = part.split(/[\s.*·]+/).filter(Boolean);
    return factors.map((factor, i) => powered(factor, i === 0 || parts.length === 1 ? -1 : 1));
  });
  return (out + [...over, ...under].join(" ")).trim();
}

function powered(factor: string, sign: number): string {
  const found = /^([^\d+-]+)([-+]?\d+)?$/.exec(factor);
  if (!found) return factor;
  const power = sign * Number(found[2] ?? 1);
  return power === 1 ? found[1]! : found[1]! + raised(power);
}
