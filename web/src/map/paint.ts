/** What lies over the points: axes, the grid of the sky, the shape being drawn, the marked one. */
import type { Palette } from "../spectrum/paint";
import type { Plot } from "./kinds";
import { graticule, rim } from "./sky";
import { axisTicks, toPixel, toPlane, unitAt, valueAt, type Camera, type Size } from "./view";

export interface Gutters {
  left: number;
  bottom: number;
  top: number;
  right: number;
}

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export function guttersOf(plot: Plot | null): Gutters {
  return plot && !plot.bare ? { left: 50, bottom: 36, top: 4, right: 8 } : { left: 0, bottom: 0, top: 0, right: 0 };
}

/** Axes of two columns: ticks outside the picture, a faint grid would hide points and is left out. */
export function paintAxes(
  ctx: CanvasRenderingContext2D, plot: Plot, cam: Camera, size: Size, g: Gutters, p: Palette,
): void {
  ctx.save();
  ctx.font = FONT;
  ctx.strokeStyle = p.line;
  ctx.fillStyle = p.dim;
  ctx.lineWidth = 1;
  const [bottom, left] = [g.top + size.height, g.left];
  ctx.strokeRect(left + 0.5, g.top + 0.5, size.width - 1, size.height - 1);
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (const t of axisTicks(plot.plane.x, cam, size, "x", 74)) {
    const x = Math.round(left + t.pixel) + 0.5;
    line(ctx, x, bottom, x, bottom + 4);
    const half = ctx.measureText(t.label).width / 2;
    if (x - half > 2 && x + half < left + size.width + g.right) ctx.fillText(t.label, x, bottom + 6);
  }
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const t of axisTicks(plot.plane.y, cam, size, "y", 40)) {
    const y = Math.round(g.top + t.pixel) + 0.5;
    line(ctx, left - 4, y, left, y);
    if (y > 6 && y < bottom + 4) ctx.fillText(t.label, left - 7, y);
  }
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  ctx.fillStyle = p.fg;
  ctx.fillText(cut(ctx, plot.x, size.width), left + size.width / 2, bottom + g.bottom - 2);
  ctx.translate(1, g.top + size.height / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.textBaseline = "top";
  ctx.fillText(cut(ctx, plot.y, size.height), 0, 0);
  ctx.restore();
}

function cut(ctx: CanvasRenderingContext2D, text: string, width: number): string {
  if (ctx.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 1 && ctx.measureText(`${text.slice(0, n)}…`).width > width) n--;
  return `${text.slice(0, n)}…`;
}

function line(ctx: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

/** Meridians, parallels, their degrees and the rim of the sky. */
export function paintSky(
  ctx: CanvasRenderingContext2D, plot: Plot, cam: Camera, size: Size, p: Palette,
): void {
  const sky = plot.sky!;
  const { x: ax, y: ay } = plot.plane;
  const px = (x: number, y: number) => toPixel(cam, size, unitAt(ax, x), unitAt(ay, y));
  const at = (a: number, b: number) => {
    const [u, v] = toPlane(cam, size, a, b);
    return [valueAt(ax, u), valueAt(ay, v)] as const;
  };
  const [xa, ya] = at(0, 0);
  const [xb, yb] = at(size.width, size.height);
  const degrees = (90 * 180 * ax.span) / Math.PI / Math.abs(cam.sx);
  const lines = graticule(sky, Math.min(xa, xb), Math.min(ya, yb), Math.max(xa, xb), Math.max(ya, yb), degrees);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, 0, size.width, size.height);
  ctx.clip();
  ctx.font = FONT;
  ctx.lineWidth = 1;
  ctx.strokeStyle = p.line;
  const edge = rim(sky);
  trace(ctx, edge, px, size);
  const labels: [string, number, number, boolean][] = [];
  for (const l of lines) {
    const spot = trace(ctx, l.path, px, size, l.meridian);
    if (spot) labels.push([l.label, ...spot, l.meridian]);
  }
  const taken: [number, number][] = [];
  for (const [text, x, y, meridian] of labels) {
    if (taken.some(([a, b]) => Math.abs(a - x) < 34 && Math.abs(b - y) < 13)) continue;
    taken.push([x, y]);
    ctx.textAlign = meridian ? "center" : "left";
    ctx.textBaseline = "bottom";
    ctx.lineWidth = 3;
    ctx.strokeStyle = p.panel;
    ctx.fillStyle = p.fg;
    const [tx, ty] = meridian ? [x, y] : [x + 3, y - 1];
    ctx.strokeText(text, tx, ty);
    ctx.fillText(text, tx, ty);
  }
  ctx.restore();
}

/** Draws a path of plane coordinates; gives back where its label goes. */
function trace(
  ctx: CanvasRenderingContext2D, path: Float64Array, px: (x: number, y: number) => [number, number],
  size: Size, meridian = false,
): [number, number] | null {
  ctx.beginPath();
  let best: [number, number] | null = null;
  let least = Infinity;
  let before: [number, number] | null = null;
  for (let k = 0; k < path.length; k += 2) {
    const [x, y] = px(path[k]!, path[k + 1]!);
    const jump = before && Math.hypot(x - before[0], y - before[1]) > 2 * size.width;
    if (!before || jump) ctx.moveTo(x, y);
    else ctx.lineTo(x, y);
    before = [x, y];
    if (x < (meridian ? 16 : 1) || x > size.width - (meridian ? 16 : 28) || y < 14 || y > size.height - 1) continue;
    // meridians: near the middle of the height; parallels: at the left
    const worth = meridian ? Math.abs(y - Math.min(size.height - 2, size.height / 2)) : x;
    if (worth < least) [least, best] = [worth, [x, y]];
  }
  ctx.stroke();
  return best;
}

/** The shape under the pointer. `radius`: of the brush, in pixels. */
export function paintShape(
  ctx: CanvasRenderingContext2D, tool: string, path: readonly number[], radius: number, p: Palette,
): void {
  ctx.save();
  ctx.strokeStyle = p.accent;
  ctx.fillStyle = p.accent;
  ctx.lineJoin = ctx.lineCap = "round";
  ctx.beginPath();
  if (tool === "box") {
    const n = path.length;
    const [x0, y0, x1, y1] = [path[0]!, path[1]!, path[n - 2]!, path[n - 1]!];
    ctx.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  } else {
    ctx.moveTo(path[0]!, path[1]!);
    for (let k = 2; k < path.length; k += 2) ctx.lineTo(path[k]!, path[k + 1]!);
    if (path.length === 2) ctx.lineTo(path[0]! + 0.01, path[1]!);
  }
  if (tool === "brush") {
    ctx.globalAlpha = 0.3;
    ctx.lineWidth = 2 * radius;
    ctx.stroke();
  } else {
    ctx.globalAlpha = 0.14;
    ctx.fill("nonzero");
    ctx.globalAlpha = 1;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
  ctx.restore();
}

/** A ring about the marked point, or an arrow at the rim towards it. */
export function paintMark(
  ctx: CanvasRenderingContext2D, x: number, y: number, size: Size, p: Palette, focus: string,
): void {
  ctx.save();
  const inside = x >= 0 && y >= 0 && x <= size.width && y <= size.height;
  const ring = () => {
    ctx.beginPath();
    if (inside) {
      ctx.arc(x, y, 7.5, 0, 2 * Math.PI);
      return;
    }
    const [cx, cy] = [Math.max(10, Math.min(size.width - 10, x)), Math.max(10, Math.min(size.height - 10, y))];
    const a = Math.atan2(y - cy, x - cx);
    for (const [r, turn] of [[8, 0], [8, 2.4], [8, -2.4]] as const) {
      ctx.lineTo(cx + r * Math.cos(a + turn), cy + r * Math.sin(a + turn));
    }
    ctx.closePath();
  };
  for (const [colour, width] of [[p.panel, 5], [focus, 2.25]] as const) {
    ring();
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.stroke();
  }
  ctx.restore();
}
