/** What is painted of a spectrum: shades, errors, extremes, the line itself, masked samples, lines. */
import type uPlot from "uplot";
import { runs } from "./decimate";
import { placeLabels, type Label, type Seen } from "./lines";
import { clipped, drawBand, drawLine, drawShade, kindColour, type Palette } from "./paint";
import type { Piece } from "./piece";

export interface Shade {
  lo_aa: number;
  hi_aa: number;
  /** > 0: stronger here than in the other or than expected; < 0: weaker; 0: neither. */
  sign?: number;
  label?: string;
}

export interface Scene {
  piece: Piece | null;
  error: boolean;
  mask: boolean;
  lines: readonly Seen[];
  shades: readonly Shade[];
}

export const LABEL_ROWS = 2;
const ROW_PX = 15;
/** Height in CSS pixels that the labels take from the top of the picture. */
export const LABEL_PX = LABEL_ROWS * ROW_PX + 4;
const LABEL_FONT = "11px system-ui, -apple-system, 'Segoe UI', sans-serif";

export function paintScene(u: uPlot, palette: Palette, scene: Scene): void {
  const { piece } = scene;
  for (const shade of scene.shades) {
    const colour = (shade.sign ?? 0) < 0 ? palette.accent : palette.warn;
    drawShade(u, shade.lo_aa, shade.hi_aa, colour, 0.16);
  }
  if (piece) paintSpectrum(u, palette, piece, scene);
  if (scene.lines.length) paintLines(u, palette, scene.lines);
}

function paintSpectrum(u: uPlot, palette: Palette, piece: Piece, scene: Scene): void {
  const { wave, flux, good, lo, hi, sigma, gap } = piece;
  if (scene.error && sigma) {
    drawBand(u, wave, flux.map((f, i) => f - sigma[i]), flux.map((f, i) => f + sigma[i]), palette.accent, 0.28, gap);
  }
  if (lo && hi) drawBand(u, wave, lo, hi, palette.fg, 0.28, gap);
  const pixels = u.bbox.width / devicePixelRatio;
  const { min, max } = u.scales["x"]!;
  const samples = (wave.length * (max! - min!)) / (wave[wave.length - 1]! - wave[0]!);
  const steps = piece.about.exact && samples < pixels / 4;
  if (scene.mask) {
    drawLine(u, wave, flux, { colour: palette.dim, alpha: 0.65, width: 1, steps, gap });
    paintMask(u, palette, piece);
    drawLine(u, wave, good, { colour: palette.fg, width: 1, steps, gap });
  } else drawLine(u, wave, flux, { colour: palette.fg, width: 1, steps, gap });
}

/** A strip along the lower edge where samples are masked, and a faint veil over them. */
function paintMask(u: uPlot, palette: Palette, piece: Piece): void {
  const spans = runs(piece.masked);
  const { wave } = piece;
  const edge = (i: number): number =>
    i <= 0 ? wave[0]! : i >= wave.length ? wave[wave.length - 1]! : (wave[i - 1]! + wave[i]!) / 2;
  clipped(u, (ctx) => {
    const bottom = u.bbox.top + u.bbox.height;
    const strip = 4 * devicePixelRatio;
    ctx.fillStyle = palette.bad;
    for (const [first, last] of spans) {
      const left = u.valToPos(edge(first), "x", true);
      const right = Math.max(left + devicePixelRatio, u.valToPos(edge(last + 1), "x", true));
      if (right < u.bbox.left || left > u.bbox.left + u.bbox.width) continue;
      ctx.globalAlpha = 0.9;
      ctx.fillRect(left, bottom - strip, right - left, strip);
      ctx.globalAlpha = 0.07;
      ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    }
  });
}

function paintLines(u: uPlot, palette: Palette, lines: readonly Seen[]): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = LABEL_FONT.replace("11px", `${11 * ratio}px`);
  const labels = placeLabels(
    lines.map(({ line, at }) => ({
      text: line.ion, x: (u.valToPos(at, "x", true) - bbox.left) / ratio,
      weight: line.weight ?? 1, kind: line.kind,
    })),
    (text) => ctx.measureText(text).width / ratio,
    bbox.width / ratio,
    LABEL_ROWS,
  );
  const named = new Map(labels.flatMap((label) => label.of.map((x) => [x, label] as const)));
  for (const { line, at } of lines) {
    const x = (u.valToPos(at, "x", true) - bbox.left) / ratio;
    paintTick(u, x, kindColour(line.kind, palette.dark), named.get(x));
  }
  for (const label of labels) paintLabel(u, palette, label);
  ctx.restore();
}

function paintTick(u: uPlot, x: number, colour: string, label: Label | undefined): void {
  clipped(u, (ctx) => {
    const ratio = devicePixelRatio;
    const px = Math.round(u.bbox.left + x * ratio) + 0.5;
    const top = label ? (label.row + 1) * ROW_PX : LABEL_PX + 2;
    ctx.strokeStyle = colour;
    ctx.lineWidth = ratio;
    ctx.globalAlpha = label ? 0.5 : 0.3;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(px, u.bbox.top + top * ratio);
    ctx.lineTo(px, u.bbox.top + u.bbox.height);
    ctx.stroke();
  });
}

function paintLabel(u: uPlot, palette: Palette, label: Label): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const x = bbox.left + label.x * ratio;
  const y = bbox.top + (label.row * ROW_PX + 2) * ratio;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.lineJoin = "round";
  ctx.lineWidth = 3 * ratio;
  ctx.strokeStyle = palette.panel; // a rim in the ground's colour keeps the word readable on the line
  ctx.strokeText(label.text, x, y);
  ctx.fillStyle = kindColour(label.kind, palette.dark);
  ctx.fillText(label.text, x, y);
}
