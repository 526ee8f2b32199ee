/** One view's points, camera and overlay, drawn once a frame at most. No Svelte in here. */
import { paletteOf, type Palette } from "../spectrum/paint";
import type { Plot } from "./kinds";
import { inBox, inPolygon, thinned } from "./lasso";
import type { Tool } from "./model.svelte";
import { guttersOf, paintAxes, paintMark, paintShape, paintSky, type Gutters } from "./paint";
import { Picks } from "./picks";
import { Scatter, type Drawing, type Ground } from "./scatter";
import {
  NOWHERE, everything, fit, panned, resized, toPixel, toPlane, zoomed, type Camera, type Size,
} from "./view";

const REST_MS = 150;
const PICK_PX = 12;
/** Points that are drawn while the camera moves: at first, and at least on a slow machine. */
const WHILE_MOVING = 50_000;
const LEAST = 10_000;

export class Stage {
  readonly scatter: Scatter | null = null;
  size: Size = { width: 0, height: 0 };
  gutters: Gutters = { left: 0, bottom: 0, top: 0, right: 0 };
  cam: Camera = { u: 0.5, v: 0.5, sx: 1, sy: 1 };
  #home: Camera = this.cam;
  #plot: Plot | null = null;
  #look: Uint32Array = new Uint32Array(0);
  #how: Drawing = { mode: "points", kinds: false, any: false };
  #mark = -1;
  #shape: { tool: Tool; path: readonly number[]; radius: number } | null = null;
  #picks: Picks | null = null;
  #palette: Palette;
  #focus = "#ffd166";
  #frame = 0;
  /** looks wait for the next frame, so that what changes together is sent once */
  #unsent = false;
  #points = false;
  #over = false;
  #moving = false;
  #most = WHILE_MOVING;
  #drawnAt = 0;
  #rest: ReturnType<typeof setTimeout> | null = null;
  #watch: ResizeObserver;
  #density: MediaQueryList | null = null;
  #onDensity = () => this.#measure();

  constructor(
    readonly host: HTMLElement, canvas: HTMLCanvasElement | null, readonly over: HTMLCanvasElement,
    readonly resizing: (gutters: Gutters) => void = () => {},
  ) {
    this.#palette = paletteOf(host);
    if (canvas) this.scatter = new Scatter(canvas, () => this.#ask(true));
    this.retheme();
    this.#watch = new ResizeObserver(() => this.#measure());
    this.#watch.observe(host);
    this.#lay();
  }

  get plot(): Plot | null {
    return this.#plot;
  }

  /** Shows other points; the camera goes to all of them. */
  setPlot(plot: Plot | null): void {
    this.#plot = plot;
    this.#picks = null;
    this.gutters = guttersOf(plot);
    this.resizing(this.gutters);
    this.#lay();
    this.scatter?.setPoints(plot?.at ?? new Float32Array(0));
    this.#unsent = true;
    this.fit();
  }

  setLook(look: Uint32Array | null, how: Drawing): void {
    this.#look = look ?? new Uint32Array(0);
    this.#how = how;
    this.#unsent = true;
    this.#ask(true);
  }

  setColours(lut: Uint8Array): void {
    this.scatter?.setColours(lut);
    this.#ask(true);
  }

  /** Index of the marked point; −1: none. */
  setMark(point: number): void {
    if (point === this.#mark) return;
    this.#mark = point;
    this.#ask(false);
  }

  setShape(tool: Tool, path: readonly number[] | null, radius: number): void {
    this.#shape = path && tool !== "pan" ? { tool, path, radius } : null;
    this.#ask(false);
  }

  /** The theme has changed: colours are read again from the page. */
  retheme(): void {
    this.#palette = paletteOf(this.host);
    this.#focus = getComputedStyle(this.host).getPropertyValue("--focus").trim() || this.#focus;
    this.scatter?.setGround(groundOf(this.#palette));
    this.#ask(true);
  }

  fit(all = false): void {
    if (!this.#plot) return this.#ask(true);
    const whole = this.#plot.sky?.kind === "hammer";
    const pad = this.#plot.sky ? 0.03 : 0.06;
    this.#home = this.cam = fit(this.#plot.plane, this.size, undefined, pad);
    if (all && !whole) this.cam = fit(this.#plot.plane, this.size, everything(this.#plot.plane), pad);
    this.#ask(true);
  }

  pan(dx: number, dy: number): void {
    this.cam = panned(this.cam, dx, dy);
    this.#move();
  }

  zoom(px: number, py: number, k: number): void {
    this.cam = zoomed(this.cam, this.size, px, py, k, Math.abs(this.#home.sx));
    this.#move();
  }

  zoomMiddle(k: number): void {
    this.zoom(this.size.width / 2, this.size.height / 2, k);
  }

  /** The visible point under a pixel; −1: none near. */
  pick(px: number, py: number): number {
    if (!this.#plot || this.#look.length * 2 !== this.#plot.at.length) return -1;
    const [u, v] = toPlane(this.cam, this.size, px, py);
    return this.#index().nearest(u, v, this.cam.sx, this.cam.sy, PICK_PX, this.#look);
  }

  /** Pixel of a point in this view, or null when it has no place here. */
  pixel(point: number): [number, number] | null {
    const at = this.#plot?.at;
    if (!at || point < 0 || 2 * point >= at.length || at[2 * point]! > NOWHERE / 2) return null;
    return toPixel(this.cam, this.size, at[2 * point]!, at[2 * point + 1]!);
  }

  /** Points in a drawn shape (pixels), hidden ones included except by the brush. */
  inside(tool: Tool, path: readonly number[], radius: number): Int32Array {
    if (!this.#plot) return new Int32Array(0);
    if (tool === "brush") return this.#brushed(path, radius);
    const plane = (k: number) => toPlane(this.cam, this.size, path[k]!, path[k + 1]!);
    if (tool === "box") return inBox(this.#plot.at, ...plane(0), ...plane(path.length - 2));
    const few = thinned(path, 1.5);
    const polygon = new Float64Array(few.length);
    for (let k = 0; k < few.length; k += 2) polygon.set(toPlane(this.cam, this.size, few[k]!, few[k + 1]!), k);
    return inPolygon(this.#plot.at, polygon);
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    if (this.#rest) clearTimeout(this.#rest);
    this.#watch.disconnect();
    this.#density?.removeEventListener("change", this.#onDensity);
    this.scatter?.dispose();
    this.#plot = null;
    this.#picks = null;
  }

  get #count(): number {
    return (this.#plot?.at.length ?? 0) / 2;
  }

  #index(): Picks {
    this.#picks ??= new Picks(this.#plot!.at);
    return this.#picks;
  }

  #brushed(path: readonly number[], radius: number): Int32Array {
    const got = new Set<number>();
    const few = thinned(path, 2);
    for (let k = 0; k < few.length; k += 2) {
      const j = Math.max(0, k - 2);
      const a = toPlane(this.cam, this.size, few[j]!, few[j + 1]!);
      const b = toPlane(this.cam, this.size, few[k]!, few[k + 1]!);
      this.#index().along(...a, ...b, this.cam.sx, this.cam.sy, radius, this.#look, (i) => got.add(i));
    }
    return Int32Array.from(got).sort();
  }

  /** Looks come after points at times: never one of another length. */
  #fitting(look: Uint32Array): Uint32Array {
    return look.length === this.#count ? look : new Uint32Array(this.#count);
  }

  /** The window has another size or density: drawn at once, for a resized canvas is blank. */
  #measure(): void {
    if (this.#lay()) this.#ask(true, true);
  }

  /** Fits the canvases to the window; whether that changed anything. */
  #lay(): boolean {
    const g = this.gutters;
    const size = {
      width: Math.max(1, this.host.clientWidth - g.left - g.right),
      height: Math.max(1, this.host.clientHeight - g.top - g.bottom),
    };
    const dpr = window.devicePixelRatio || 1;
    const first = this.size.width <= 1 || this.size.height <= 1;
    const whole = this.cam === this.#home;
    if (this.#plot && !first) {
      this.cam = resized(this.cam, this.size, size, this.#plot.plane.locked);
      this.#home = resized(this.#home, this.size, size, this.#plot.plane.locked);
    }
    const [w, h] = [Math.round(this.host.clientWidth * dpr), Math.round(this.host.clientHeight * dpr)];
    const same = size.width === this.size.width && size.height === this.size.height && this.over.width === w && this.over.height === h;
    if (same) return false;
    this.size = size;
    this.scatter?.resize(size, dpr);
    this.over.width = w;
    this.over.height = h;
    if (this.#plot && (first || whole)) this.fit();
    this.#density?.removeEventListener("change", this.#onDensity);
    this.#density = matchMedia(`(resolution: ${dpr}dppx)`);
    this.#density.addEventListener("change", this.#onDensity);
    return true;
  }

  #move(): void {
    this.#moving = true;
    if (this.#rest) clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#moving = false;
      this.#rest = null;
      this.#ask(true);
    }, REST_MS);
    this.#ask(true);
  }

  #ask(points: boolean, now = false): void {
    this.#points ||= points;
    this.#over = true;
    if (now) {
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.#draw();
    } else {
      this.#frame ||= requestAnimationFrame(() => {
        this.#frame = 0;
        this.#draw();
      });
    }
  }

  #draw(): void {
    if (this.#points) {
      if (this.#unsent) this.scatter?.setLook(this.#fitting(this.#look));
      this.#unsent = false;
      this.#pace();
      const closer = Math.abs(this.cam.sx / (this.#home.sx || 1));
      this.scatter?.draw(this.cam, this.#how, this.#moving ? this.#most : Infinity, closer);
      this.#points = false;
      // what is on the canvas, for tests and timings: points, or "moving" while only some are drawn
      this.host.dataset["drawn"] = this.#moving ? "moving" : String(this.#look.length === this.#count ? this.#count : 0);
    }
    if (this.#over) this.#paint();
    this.#over = false;
  }

  /** While moving, as many points as this machine draws in time. */
  #pace(): void {
    const now = performance.now();
    const took = now - this.#drawnAt;
    this.#drawnAt = now;
    if (!this.#moving || took > 400) return;
    if (took > 45) this.#most = Math.max(LEAST, this.#most * 0.7);
    else if (took < 22) this.#most = Math.min(this.#count || WHILE_MOVING, this.#most * 1.25);
  }

  #paint(): void {
    const ctx = this.over.getContext("2d");
    if (!ctx) return;
    const dpr = window.devicePixelRatio || 1;
    const { gutters: g, size, cam } = this;
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.clearRect(0, 0, this.over.width, this.over.height);
    const plot = this.#plot;
    if (!plot) return;
    if (plot.sky) paintSky(ctx, plot, cam, size, this.#palette);
    if (!plot.bare) paintAxes(ctx, plot, cam, size, g, this.#palette);
    ctx.translate(g.left, g.top);
    if (this.#shape) paintShape(ctx, this.#shape.tool, this.#shape.path, this.#shape.radius, this.#palette);
    const at = this.pixel(this.#mark);
    if (at) paintMark(ctx, at[0], at[1], size, this.#palette, this.#focus);
  }
}

function groundOf(p: Palette): Ground {
  const back = rgb(p.panel);
  return { back, dim: p.dark ? [62, 70, 82, 0.6] : [196, 203, 212, 0.6] };
}

/** Bytes of a CSS colour, in whatever way the style sheet writes it. */
function rgb(text: string): [number, number, number] {
  const ctx = document.createElement("canvas").getContext("2d");
  if (!ctx) return [128, 128, 128];
  ctx.fillStyle = text;
  ctx.fillRect(0, 0, 1, 1);
  const [r, g, b] = ctx.getImageData(0, 0, 1, 1).data;
  return [r!, g!, b!];
}
