/**
 * What the map shows. The address is the state: every setter changes the address, and what is
 * derived here is derived from it, so that a link, Back and a reload all give the same picture.
 */
import { SvelteMap, SvelteSet } from "svelte/reactivity";
import { asApiError, getArrow, isAbort, type ApiError } from "../lib/api";
import { overview } from "../lib/archive.svelte";
import { columns, type Column, type Columns } from "../lib/columns.svelte";
import { count } from "../lib/format";
import { route, set } from "../lib/route.svelte";
import { selection, type Combine } from "../lib/selection.svelte";
import { theme } from "../lib/theme.svelte";
import { colourParams, colouring, looks, parseColour, type ColourSpec, type Colouring } from "./colouring";
import { columnsOf, firstViews, parseViews, viewTitle, viewsText, type ViewSpec } from "./kinds";
import { HIDDEN } from "./picks";
import { webgl2 } from "./scatter";

export type Tool = "pan" | "lasso" | "box" | "brush";
export const TOOLS: readonly Tool[] = ["pan", "lasso", "box", "brush"];
export const MODES: readonly Combine[] = ["new", "add", "subtract", "intersect"];
export type Dock = "stack" | "histograms" | "none";

/** Parameters of the question that Home hands over: only what it matches is shown. */
const QUESTION = ["q", "where", "cone", "target"] as const;

function oneOf<T extends string>(text: string | undefined, all: readonly T[], usual: T): T {
  return all.find((one) => one === text) ?? usual;
}

export class MapModel {
  active = $state(0);
  radius = $state(18);
  data = $state.raw<Columns | null>(null);
  error = $state.raw<ApiError | null>(null);
  /** Rows that the question matches, as a mask over the points; null: no question. */
  inside = $state.raw<Uint8Array | null>(null);
  insideError = $state.raw<ApiError | null>(null);
  /** Told by the views: how fully means can be summed here. */
  canMean = $state(true);
  readonly gl = webgl2();
  // by name: a column that comes must not redraw what is made of others
  #loaded = new SvelteSet<string>();
  #failed = new SvelteMap<string, ApiError>();
  #before: Colouring | null = null;
  #first = $derived(overview.value ? firstViews(overview.value) : []);
  #usual = $derived(this.#usualColour());

  #v = $derived(route.params["v"] ?? "");
  views: ViewSpec[] = $derived(parseViews(this.#v, this.#first));
  layout = $derived(Number(oneOf(route.params["n"], ["1", "2", "4"], "4")));
  tool = $derived(oneOf(route.params["tool"], TOOLS, "lasso"));
  mode = $derived(oneOf(route.params["mode"], MODES, "new"));
  mean = $derived(route.params["draw"] === "mean");
  dock = $derived(oneOf<Dock>(route.params["dock"], ["stack", "histograms", "none"], "stack"));
  side = $derived(route.params["side"] !== "0");

  #colourText = $derived(["colour", "cmap", "range", "clog", "off"].map((k) => route.params[k] ?? "").join("\u0000"));
  colour: ColourSpec = $derived.by(() => {
    void this.#colourText;
    return parseColour(route.params, this.#usual);
  });
  #questionText = $derived(JSON.stringify(Object.fromEntries(this.#questionEntries())));
  question: Record<string, string> = $derived(JSON.parse(this.#questionText));

  shown: ViewSpec[] = $derived(this.#visible());
  colouring: Colouring | null = $derived.by(() => {
    const { column } = this.colour;
    if (!this.data) return null;
    const held = column === null ? null : this.get(column);
    // until the new column is here the old colours stay
    if (column !== null && !held && !this.#failed.has(column)) return this.#before;
    return (this.#before = colouring(held, this.colour, theme.dark, this.data.row.length));
  });
  look: Uint32Array | null = $derived(
    this.data && this.colouring ? looks(this.colouring, selection.rows, this.data.position, this.inside) : null,
  );
  any = $derived(selection.count > 0);
  /** Points (indices) that are not switched off or outside the question, whichever view. */
  #drawn: Int32Array = new Int32Array(0);
  points: Int32Array = $derived.by(() => {
    const { look } = this;
    const out = new Int32Array(look?.length ?? 0);
    let n = 0;
    for (let i = 0; i < out.length; i++) if (!(look![i]! & HIDDEN)) out[n++] = i;
    // the same array while the same points are shown: a new colour or selection asks nothing anew
    if (n !== this.#drawn.length || out.some((p, k) => k < n && p !== this.#drawn[k])) this.#drawn = out.slice(0, n);
    return this.#drawn;
  });
  drawn = $derived(this.points.length);

  /** The column, once it is here. */
  get(name: string): Column | null {
    return this.#loaded.has(name) ? columns.peek(name) : null;
  }

  /** Why a column cannot be had, or null. */
  problem(name: string): ApiError | null {
    return this.#failed.get(name) ?? null;
  }

  /** Columns that the picture needs, the colour and the active view's first. */
  get needed(): string[] {
    const views = [this.views[this.active], ...this.shown].filter((v) => !!v);
    const names = views.flatMap(columnsOf);
    const colour = this.colour.column;
    return [...new Set(colour === null ? names : [...names.slice(0, 2), colour, ...names.slice(2)])];
  }

  /** Loads columns: the first view with its colour first, then the rest. Failures are shown once. */
  async load(names: string[]): Promise<void> {
    const here = names.filter((n) => !this.#loaded.has(n) && !this.#failed.has(n));
    if (!here.length) return;
    const parts = this.data ? [here] : [here.slice(0, 3), here.slice(3)];
    for (const part of parts) if (part.length) await this.#take(part);
  }

  async #take(names: string[]): Promise<void> {
    try {
      const data = await columns.load(names);
      if (!this.data || !same(this.data.row, data.row)) {
        // another order of points: nothing made of the old one is of use
        this.#before = null;
        this.data = data;
      }
      for (const name of names) this.#loaded.add(name);
      this.error = null;
    } catch (thrown) {
      if (names.length > 1) {
        // one bad name (of an old link) must not take the others with it
        for (const name of names) await this.#take([name]);
        return;
      }
      const error = asApiError(thrown);
      if (error.passing) this.error = error;
      else this.#failed.set(names[0]!, error);
    }
  }

  /** Asks again for what could not be loaded. */
  retry(): void {
    this.#failed.clear();
    this.error = null;
    void this.load(this.needed);
  }

  /** Finds which points the question of the address matches. */
  async follow(signal: AbortSignal): Promise<void> {
    const data = this.data;
    if (!data || !Object.keys(this.question).length) {
      this.inside = null;
      this.insideError = null;
      return;
    }
    try {
      const table = await getArrow("/rows", this.question, signal);
      const mask = new Uint8Array(data.row.length);
      for (const row of table.numbers("row")) {
        const i = data.position(row);
        if (i >= 0) mask[i] = 1;
      }
      this.inside = mask;
      this.insideError = null;
    } catch (thrown) {
      if (!isAbort(thrown)) this.insideError = asApiError(thrown);
    }
  }

  setView(index: number, view: ViewSpec): void {
    const views = this.views.slice();
    views[index] = view;
    set({ v: viewsText(views) });
  }

  setColour(change: Partial<ColourSpec>): void {
    const other = "column" in change && change.column !== this.colour.column;
    const reset = other ? { range: null, log: null, off: [] } : {};
    const next = { ...this.colour, ...reset, ...change };
    set(colourParams(next, this.#usual), { replace: !other });
  }

  setLayout(n: number): void {
    set({ n: n === 4 ? null : n }, { replace: true });
    if (this.active >= n) this.active = 0;
  }

  setTool(tool: Tool): void {
    set({ tool: tool === "lasso" ? null : tool }, { replace: true });
  }

  setMode(mode: Combine): void {
    set({ mode: mode === "new" ? null : mode }, { replace: true });
  }

  setMean(mean: boolean): void {
    set({ draw: mean ? "mean" : null }, { replace: true });
  }

  setDock(dock: Dock): void {
    set({ dock: dock === "stack" ? null : dock }, { replace: true });
  }

  setSide(side: boolean): void {
    set({ side: side ? null : "0" }, { replace: true });
  }

  /** Shows everything again. */
  clearQuestion(): void {
    set(Object.fromEntries(QUESTION.map((k) => [k, null])));
  }

  /** Combines points (indices) with the selection, leaving out what is not shown. */
  select(points: Int32Array, how: Combine, kind: string, view: ViewSpec | null): void {
    const { data, look } = this;
    if (!data || !look) return;
    const rows = new Int32Array(points.length);
    let n = 0;
    for (const i of points) if (!(look[i]! & HIDDEN)) rows[n++] = data.row[i]!;
    const place = view ? ` in ${viewTitle(view)}` : "";
    selection.combine(rows.subarray(0, n), how, { kind, text: `${kind}${place}` });
  }

  /** Point of a row; −1 when it is not here. */
  point(row: number): number {
    return row < 0 || !this.data ? -1 : this.data.position(row);
  }

  /** What is shown, in a sentence. */
  get words(): string {
    if (!this.data) return "Loading the first columns";
    const by = this.colour.column === null ? "in one colour" : `coloured by ${this.colour.column}`;
    const chosen = selection.count ? `; ${count(selection.count)} selected` : "; nothing selected";
    return `${count(this.drawn)} of ${count(this.data.row.length)} spectra ${by}${chosen}`;
  }

  #visible(): ViewSpec[] {
    if (this.layout === 1) return this.views.slice(this.active, this.active + 1);
    return this.views.slice(0, this.layout);
  }

  #questionEntries(): [string, string][] {
    return QUESTION.filter((k) => route.params[k]).map((k) => [k, route.params[k]!]);
  }

  #usualColour(): string | null {
    const named = overview.value?.suggested.colour ?? null;
    if (named && overview.column(named)) return named;
    return overview.column("snr") ? "snr" : null;
  }
}

function same(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((row, i) => row === b[i]);
}
