/** A themed uPlot with round wavelength axes; what is in the picture is painted by its owner. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { logTicks } from "../lib/ticks";
import { atRest, fromRest, type Medium } from "./doppler";
import { paletteOf, type Palette } from "./paint";
import { decimals, flux, roundStep, ticks, waveUnit, type WaveUnit } from "./units";
import type { Window } from "./window";

export interface FrameOptions {
  paint(u: uPlot, palette: Palette): void;
  /** Wavelength under the cursor (Å) and its place in CSS pixels; null when it has left. */
  cursor?(at: { x: number; y: number; left: number; top: number } | null): void;
  /** A rest-wavelength axis above the picture. */
  restAxis?: boolean;
  /** Places and words of the vertical axis, where it is not a flux. */
  upright?: { splits(min: number, max: number, most: number): number[]; words(splits: number[]): string[] };
  /** Leave the wavelength axis without numbers (small multiples). */
  bare?: boolean;
}

export interface Look {
  unit: WaveUnit;
  medium: Medium;
  z: number;
  log: boolean;
  yLabel: string;
  /** What is written on the flux axis is the value times this. */
  yFactor: number;
  /** Whether the rest-wavelength axis has something to say. */
  rest: boolean;
  xLabel: string;
}

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** Room and words of the axes: the same frame serves spectra, percentiles and comparisons. */
export class Frame {
  readonly plot: uPlot;
  #palette: Palette;
  #watch: ResizeObserver;
  #themes: MutationObserver;
  #view: Window = { lo: 0, hi: 1 };
  #y: Window = { lo: 0, hi: 1 };
  look: Look = { unit: "aa", medium: "unknown", z: 0, log: false, yLabel: "", yFactor: 1, rest: false, xLabel: "" };

  constructor(
    readonly host: HTMLElement,
    readonly options: FrameOptions,
    log = false,
  ) {
    this.#palette = paletteOf(host);
    this.look.log = log;
    this.plot = new uPlot(this.#options(log), [[0, 1], [null, null]], host);
    this.#watch = new ResizeObserver(() => this.#fit());
    this.#watch.observe(host);
    this.#themes = new MutationObserver(() => this.repaint());
    this.#themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  /** CSS pixels of the plotting area. */
  get width(): number {
    return Math.max(1, this.plot.bbox.width / devicePixelRatio);
  }

  get height(): number {
    return Math.max(1, this.plot.bbox.height / devicePixelRatio);
  }

  get palette(): Palette {
    return this.#palette;
  }

  /** Shows this window; nothing is asked of the server here. */
  show(view: Window, y: Window, look: Partial<Look> = {}): void {
    Object.assign(this.look, look);
    this.#view = view;
    this.#y = y.hi > y.lo ? y : { lo: y.lo - 1, hi: y.hi + 1 };
    // uPlot gathers these in one drawing at the end of the task.
    this.plot.setScale("x", { min: this.#view.lo, max: this.#view.hi });
    this.plot.setScale("y", { min: this.#y.lo, max: this.#y.hi });
    this.plot.redraw(false, true);
  }

  /** The same window again: what is painted in it, or the theme, has changed. */
  repaint(): void {
    this.#palette = paletteOf(this.host);
    this.plot.redraw(false, true);
  }

  dispose(): void {
    this.#watch.disconnect();
    this.#themes.disconnect();
    this.plot.destroy();
  }

  #fit(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width > 20 && height > 20) this.plot.setSize({ width, height });
  }

  #options(log: boolean): uPlot.Options {
    const { paint, cursor, restAxis, bare } = this.options;
    const scale = (distr: 1 | 3): uPlot.Scale => ({ time: false, auto: false, distr, min: distr === 3 ? 1 : 0, max: 10 });
    return {
      width: Math.max(50, this.host.clientWidth),
      height: Math.max(40, this.host.clientHeight),
      legend: { show: false },
      padding: [restAxis ? 0 : 8, 14, 0, 0],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: false, y: false, setScale: false },
        bind: { dblclick: () => () => null },
      },
      scales: { x: scale(1), y: scale(log ? 3 : 1) },
      series: [{}, { show: false, scale: "y" }],
      axes: [this.#waveAxis(bare ?? false), this.#fluxAxis(), ...(restAxis ? [this.#restAxis()] : [])],
      hooks: {
        draw: [(u) => paint(u, this.#palette)],
        setCursor: [(u) => cursor?.(place(u))],
      },
    };
  }

  #waveAxis(bare: boolean): uPlot.Axis {
    return {
      ...this.#common(),
      scale: "x",
      size: bare ? 4 : 22,
      ...(bare ? {} : { label: () => this.look.xLabel || this.#waveLabel(), labelSize: 18, labelGap: 2 }),
      ticks: { ...this.#ticks(), show: !bare },
      splits: (u, _i, min, max) => this.#waveTicks(u, min, max),
      values: (_u, splits) => (bare ? splits.map(() => "") : this.#waveWords(splits)),
    };
  }

  #restAxis(): uPlot.Axis {
    return {
      ...this.#common(),
      scale: "x",
      side: 0,
      size: () => (this.look.rest ? 22 : 6),
      gap: 2,
      grid: { show: false },
      ticks: { ...this.#ticks(), show: true },
      splits: (u, _i, min, max) => this.#restTicks(u, min, max),
      values: (_u, splits) => {
        const { medium, z } = this.look;
        return this.#waveWords(splits.map((seen) => atRest(seen, z, medium)));
      },
    };
  }

  #fluxAxis(): uPlot.Axis {
    const { upright } = this.options;
    return {
      ...this.#common(),
      scale: "y",
      size: upright ? 84 : 50,
      ...(upright ? { grid: { show: false } } : {}),
      label: (_u) => this.look.yLabel,
      labelSize: 18,
      labelGap: 2,
      splits: (u, _i, min, max) =>
        upright ? upright.splits(min, max, Math.floor(u.bbox.height / devicePixelRatio / 26)) : this.#fluxTicks(u, min, max),
      values: (_u, splits) => (upright ? upright.words(splits) : this.#fluxWords(splits)),
    };
  }

  #common(): uPlot.Axis {
    return {
      font: FONT,
      labelFont: FONT,
      gap: 4,
      stroke: () => this.#palette.dim,
      grid: { stroke: () => this.#palette.grid, width: 1 },
      ticks: this.#ticks(),
    };
  }

  #ticks(): uPlot.Axis.Ticks {
    return { stroke: () => this.#palette.line, width: 1, size: 4 };
  }

  #most(u: uPlot): number {
    return Math.max(2, Math.floor(u.bbox.width / devicePixelRatio / 72));
  }

  #waveTicks(u: uPlot, min: number, max: number): number[] {
    const { perAa } = waveUnit(this.look.unit);
    return ticks(min * perAa, max * perAa, this.#most(u)).map((value) => value / perAa);
  }

  #restTicks(u: uPlot, min: number, max: number): number[] {
    const { medium, z, unit, rest } = this.look;
    if (!rest) return [];
    const { perAa } = waveUnit(unit);
    const low = atRest(min, z, medium) * perAa;
    const high = atRest(max, z, medium) * perAa;
    return ticks(low, high, this.#most(u)).map((value) => fromRest(value / perAa, z, medium));
  }

  #waveLabel(): string {
    const { unit, medium } = this.look;
    const where = medium === "unknown" ? "air or vacuum: not known" : medium;
    return `Wavelength (${waveUnit(unit).label}, ${where})`;
  }

  #fluxTicks(u: uPlot, min: number, max: number): number[] {
    const { yFactor, log } = this.look;
    const tall = u.bbox.height / devicePixelRatio;
    const most = Math.max(3, Math.floor(tall / (tall < 240 ? 30 : 52)));
    const [low, high] = [min * yFactor, max * yFactor];
    const values = log ? logTicks(low, high, most).map((tick) => tick.value) : ticks(low, high, most);
    return values.map((value) => value / yFactor);
  }

  #fluxWords(splits: number[]): string[] {
    const shown = splits.map((value) => value * this.look.yFactor);
    if (this.look.log) return shown.map((value) => flux(value, 3));
    const places = decimals(shown.length > 1 ? roundStep((shown[1]! - shown[0]!) / 1.001) : 1);
    return shown.map((value) => value.toFixed(places).replace(/^-(?=.*[1-9])/, "−").replace(/^-/, ""));
  }

  #waveWords(wavesAa: number[]): string[] {
    const { perAa } = waveUnit(this.look.unit);
    const step = wavesAa.length > 1 ? roundStep(((wavesAa[1]! - wavesAa[0]!) * perAa) / 1.001) : 1;
    return wavesAa.map((wave) => (wave * perAa).toFixed(decimals(step)));
  }
}

function place(u: uPlot): { x: number; y: number; left: number; top: number } | null {
  const { left, top } = u.cursor;
  if (left === undefined || top === undefined || left < 0) return null;
  return { x: u.posToVal(left, "x"), y: u.posToVal(top, "y"), left, top };
}
