/** A spectrum on the server, opened for looking at: the newest question wins, the old picture stays. */
import { ApiError, asApiError, getArrow, getJSON, isAbort } from "../lib/api";
import type { Line } from "./lines";
import { pieceOf, type Piece } from "./piece";
import type { MediumChoice } from "./settings";
import type { Window } from "./window";

/** Questions of one spectrum are so far apart: the first of a gesture is asked at once. */
const REST_MS = 70;
/** How much of the window's width is fetched beyond either side, so that a pan has something to show. */
const MARGIN = 0.5;

export interface Question {
  id: string;
  medium: MediumChoice;
  smooth: number;
  order: number | null;
}

interface Loaded extends Question {
  /** null: the whole spectrum. */
  window: Window | null;
}

function alike(a: Question, b: Question): boolean {
  return a.id === b.id && a.medium === b.medium && a.smooth === b.smooth && a.order === b.order;
}

export class Opened {
  /** The whole spectrum in few columns, for the strip and for a first picture. */
  overview = $state.raw<Piece | null>(null);
  /** What the picture is drawn from. */
  piece = $state.raw<Piece | null>(null);
  busy = $state(false);
  error = $state.raw<ApiError | null>(null);
  #whole: Loaded | null = null;
  #loaded: Loaded | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #asked = -Infinity;
  #stop: AbortController | null = null;
  #next: { question: Question; window: Window | null; columns: number } | null = null;

  /**
   * Shows what is asked: from what is here, or from the server. During a drag it asks at most
   * every 70 ms, always for the newest window.
   */
  want(question: Question, window: Window | null, columns: number): void {
    const fresh = !this.#whole || !alike(this.#whole, question);
    if (fresh && this.#whole?.id !== question.id) this.#forget();
    if (!fresh && this.#enough(question, window, columns)) {
      this.#cancel();
      return;
    }
    this.busy = true;
    this.#next = { question, window, columns };
    const rest = this.#whole ? this.#asked + REST_MS - performance.now() : 0;
    if (this.#timer) return;
    if (rest > 0) this.#timer = setTimeout(() => void this.#load(), rest);
    else void this.#load(); // before the frame is drawn empty, which takes longer than to ask
  }

  /** Asks again after a failure. */
  retry(question: Question, window: Window | null, columns: number): void {
    this.error = null;
    this.#whole = this.#loaded = null;
    this.want(question, window, columns);
  }

  dispose(): void {
    this.#cancel();
  }

  #cancel(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = this.#next = null;
    this.#stop?.abort();
    this.busy = false;
  }

  #forget(): void {
    this.overview = this.piece = null;
    this.#whole = this.#loaded = null;
    this.error = null;
  }

  /** Whether the piece at hand shows this window as sharply as the server would. */
  #enough(question: Question, window: Window | null, columns: number): boolean {
    const { overview } = this;
    if (!window || overview?.about.exact) {
      this.piece = overview;
      this.#loaded = this.#whole;
      return true;
    }
    const [piece, loaded] = [this.piece, this.#loaded];
    if (!piece || !loaded || !alike(loaded, question)) return false;
    const have = loaded.window ?? { lo: piece.about.first_aa, hi: piece.about.last_aa };
    const span = window.hi - window.lo;
    const covers = have.lo <= window.lo + 1e-9 * span && have.hi >= window.hi - 1e-9 * span;
    const wanted = (span / (have.hi - have.lo)) * piece.wave.length;
    return covers && (piece.about.exact || wanted >= columns * 0.85);
  }

  async #load(): Promise<void> {
    const next = this.#next;
    this.#timer = this.#next = null;
    if (!next) return;
    this.#asked = performance.now();
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    try {
      await this.#fill(next.question, next.window, next.columns, stop.signal);
      this.error = null;
    } catch (thrown) {
      if (!isAbort(thrown)) this.error = asApiError(thrown);
    } finally {
      if (this.#stop === stop && !this.#timer) this.busy = false;
    }
  }

  async #fill(question: Question, window: Window | null, columns: number, signal: AbortSignal): Promise<void> {
    if (!this.#whole || !alike(this.#whole, question)) {
      const whole = await ask(question, null, columns, signal);
      this.overview = whole;
      this.#whole = { ...question, window: null };
      if (!window || !this.piece) {
        this.piece = whole;
        this.#loaded = this.#whole;
      }
    }
    if (!window || this.#enough(question, window, columns)) return;
    const wide = withMargin(window, this.overview);
    const times = (wide.hi - wide.lo) / (window.hi - window.lo);
    this.piece = await ask(question, wide, Math.round(columns * times), signal);
    this.#loaded = { ...question, window: wide };
  }
}

function withMargin(window: Window, overview: Piece | null): Window {
  const by = (window.hi - window.lo) * MARGIN;
  const { first_aa: first, last_aa: last } = overview?.about ?? { first_aa: 0, last_aa: Infinity };
  return { lo: Math.max(first, window.lo - by), hi: Math.min(last, window.hi + by) };
}

async function ask(question: Question, window: Window | null, width: number, signal: AbortSignal): Promise<Piece> {
  const { id, smooth, medium, order } = question;
  const table = await getArrow(`/spectrum/${encodeURIComponent(id)}`, {
    lo: window?.lo, hi: window?.hi, width: Math.min(20_000, Math.max(50, width)),
    smooth: smooth || null, medium: medium === "asis" ? null : medium, order,
  }, signal);
  return pieceOf(table);
}

let lines: Promise<Line[]> | null = null;

/** The line list, asked for once a page. */
export function lineList(): Promise<Line[]> {
  lines ??= getJSON<{ lines: Line[] }>("/lines").then((answer) => answer.lines);
  lines.catch(() => (lines = null));
  return lines;
}
