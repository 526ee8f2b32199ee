/** Lines and bands on a uPlot canvas, and the theme's colours for it. */
import type uPlot from "uplot";
import { lowerBound } from "./decimate";

export interface Palette {
  fg: string;
  dim: string;
  line: string;
  /** Fainter than `line`: behind the data. */
  grid: string;
  panel: string;
  accent: string;
  warn: string;
  bad: string;
  select: string;
  dark: boolean;
}

/** The theme's colours where `element` stands. */
export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const of = (name: string, otherwise: string): string => style.getPropertyValue(name).trim() || otherwise;
  return {
    fg: of("--fg", "#ddd"),
    dim: of("--dim", "#999"),
    line: of("--line", "#333"),
    grid: of("--line", "#333333") + "80",
    panel: of("--panel", "#111"),
    accent: of("--accent", "#6af"),
    warn: of("--warn", "#fa0"),
    bad: of("--bad", "#f55"),
    select: of("--select", "#fd5"),
    dark: document.documentElement.dataset["theme"] !== "light",
  };
}

/** Colours of the kinds of lines, told apart in both themes. */
export function kindColour(kind: string, dark: boolean): string {
  if (kind === "stellar" || kind === "absorption") return dark ? "#c9a6ff" : "#7a3fc4";
  if (kind === "sky" || kind === "telluric") return dark ? "#9a9a92" : "#6d6d66";
  if (kind === "hydrogen") return dark ? "#ff9d8a" : "#b53a1e";
  return dark ? "#7fd1a8" : "#0d7a4b";
}

type Values = ArrayLike<number>;

/**
 * Samples a path. Without a GPU the time of one path grows with the square of its points: 1400
 * points in pieces of 48 fill and stroke in a tenth of the time (135 → 10 ms in Chromium).
 */
const CHUNK = 48;

function span(u: uPlot, x: Values): [number, number] {
  const { min, max } = u.scales["x"]!;
  return [Math.max(0, lowerBound(x, min!) - 1), Math.min(x.length, lowerBound(x, max!) + 1)];
}

/** Calls `draw` with the canvas clipped to the plotting area; the clip is always undone. */
export function clipped(u: uPlot, draw: (ctx: CanvasRenderingContext2D) => void): void {
  const { ctx, bbox } = u;
  ctx.save();
  try {
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    draw(ctx);
  } finally {
    ctx.restore();
  }
}

/** Device pixels of a data value on the y scale, kept near the canvas (log of ≤ 0 → far below). */
export function yPixel(u: uPlot, value: number): number {
  const log = u.scales["y"]!.distr === 3;
  const y = log && value <= 0 ? u.bbox.top + u.bbox.height * 2 : u.valToPos(value, "y", true);
  return Math.max(-1e5, Math.min(1e5, y));
}

export interface Stroke {
  colour: string;
  /** Å between neighbours beyond which the line is broken: nothing was measured between. */
  gap?: number;
  width?: number;
  alpha?: number;
  dash?: number[];
  /** Draw every sample as a step between the middles to its neighbours. */
  steps?: boolean;
}

/** A line through the values within the picture; NaN breaks it. */
export function drawLine(u: uPlot, x: Values, y: Values, how: Stroke): void {
  const [from, to] = span(u, x);
  clipped(u, (ctx) => {
    ctx.strokeStyle = how.colour;
    ctx.globalAlpha = how.alpha ?? 1;
    ctx.lineWidth = (how.width ?? 1) * devicePixelRatio;
    ctx.lineJoin = "round";
    if (how.dash) ctx.setLineDash(how.dash.map((d) => d * devicePixelRatio));
    // A dash starts anew with each path, so a dashed line is one path.
    const most = how.dash ? Infinity : CHUNK;
    for (let start = from; start < to; start += most) {
      ctx.beginPath();
      // One sample back, so that the pieces join.
      (how.steps ? stepPath : linePath)(u, ctx, x, y, Math.max(from, start - 1), Math.min(to, start + most), how.gap ?? Infinity);
      ctx.stroke();
      if (most === Infinity) break;
    }
  });
}

function linePath(
  u: uPlot, ctx: CanvasRenderingContext2D, x: Values, y: Values, from: number, to: number, gap: number,
): void {
  let drawing = false;
  for (let i = from; i < to; i++) {
    const value = y[i]!;
    if (!Number.isFinite(value)) {
      drawing = false;
      continue;
    }
    if (i > from && x[i]! - x[i - 1]! > gap) drawing = false;
    const px = u.valToPos(x[i]!, "x", true);
    const py = yPixel(u, value);
    if (drawing) ctx.lineTo(px, py);
    else ctx.moveTo(px, py);
    drawing = true;
  }
}

function stepPath(
  u: uPlot, ctx: CanvasRenderingContext2D, x: Values, y: Values, from: number, to: number, gap: number,
): void {
  let drawing = false;
  for (let i = from; i < to; i++) {
    const value = y[i]!;
    if (!Number.isFinite(value)) {
      drawing = false;
      continue;
    }
    const apart = (j: number): boolean => j < 1 || j >= x.length || x[j]! - x[j - 1]! > gap;
    const left = apart(i) ? x[i]! : (x[i - 1]! + x[i]!) / 2;
    const right = apart(i + 1) ? x[i]! : (x[i]! + x[i + 1]!) / 2;
    if (apart(i)) drawing = false;
    const py = yPixel(u, value);
    if (drawing) ctx.lineTo(u.valToPos(left, "x", true), py);
    else ctx.moveTo(u.valToPos(left, "x", true), py);
    ctx.lineTo(u.valToPos(right, "x", true), py);
    drawing = true;
  }
}

/** A filled band between two arrays; NaN on either side breaks it. */
export function drawBand(
  u: uPlot, x: Values, lo: Values, hi: Values, colour: string, alpha: number, gap = Infinity,
): void {
  const [from, to] = span(u, x);
  clipped(u, (ctx) => {
    ctx.fillStyle = colour;
    ctx.globalAlpha = alpha;
    let start = -1;
    const piece = (first: number, end: number): void => {
      for (let i = first; i < end - 1 || i === first; i += CHUNK) {
        ctx.beginPath();
        bandPath(u, ctx, x, lo, hi, i, Math.min(end, i + CHUNK + 1));
        ctx.fill();
      }
    };
    for (let i = from; i <= to; i++) {
      const on = i < to && Number.isFinite(lo[i]!) && Number.isFinite(hi[i]!);
      if (on && start >= 0 && x[i]! - x[i - 1]! > gap) {
        piece(start, i);
        start = i;
      }
      if (on && start < 0) start = i;
      if (!on && start >= 0) {
        piece(start, i);
        start = -1;
      }
    }
  });
}

function bandPath(
  u: uPlot, ctx: CanvasRenderingContext2D, x: Values, lo: Values, hi: Values, from: number, to: number,
): void {
  // Pieces meet on whole pixels: a seam between two half covered ones would show.
  const at = (i: number): number => {
    const px = u.valToPos(x[i]!, "x", true);
    return i === from || i === to - 1 ? Math.round(px) : px;
  };
  for (let i = from; i < to; i++) {
    if (i === from) ctx.moveTo(at(i), yPixel(u, hi[i]!));
    else ctx.lineTo(at(i), yPixel(u, hi[i]!));
  }
  for (let i = to - 1; i >= from; i--) ctx.lineTo(at(i), yPixel(u, lo[i]!));
  ctx.closePath();
}

/** A shaded range of wavelengths over the whole height. */
export function drawShade(u: uPlot, lo: number, hi: number, colour: string, alpha: number): void {
  clipped(u, (ctx) => {
    const left = u.valToPos(lo, "x", true);
    const right = u.valToPos(hi, "x", true);
    ctx.fillStyle = colour;
    ctx.globalAlpha = alpha;
    ctx.fillRect(left, u.bbox.top, Math.max(devicePixelRatio, right - left), u.bbox.height);
  });
}
