/** Small spectra by row, asked for together and kept. */
import { asApiError, getJSON, isAbort, type ApiError } from "../lib/api";
import { overview } from "../lib/archive.svelte";

export interface Spark {
  row: number;
  id: string;
  lo_aa: number | null;
  hi_aa: number | null;
  y: (number | null)[];
}

const MOST = 64;
const KEPT = 2000;
const WAIT_MS = 50;
const WIDTH = 120;

class Sparks {
  #held = $state.raw<ReadonlyMap<number, Spark>>(new Map());
  error = $state.raw<ApiError | null>(null);
  #version = 0;
  #asked = new Set<number>();
  #waiting = new Set<number>();
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** The spectrum of a row if it is here. */
  get(row: number): Spark | null {
    return this.#version === overview.version ? (this.#held.get(row) ?? null) : null;
  }

  /** Asks for those that are not here; the last asked come first. */
  want(rows: Iterable<number>): void {
    this.#follow();
    for (const row of rows) if (row >= 0 && !this.#asked.has(row)) this.#waiting.add(row);
    if (this.#waiting.size) this.#timer ??= setTimeout(() => void this.#go(), WAIT_MS);
  }

  #follow(): void {
    if (this.#version === overview.version) return;
    this.#version = overview.version;
    this.#held = new Map();
    this.#asked.clear();
    this.#waiting.clear();
  }

  async #go(): Promise<void> {
    this.#timer = null;
    const rows = [...this.#waiting].slice(-MOST);
    this.#waiting.clear(); // what was scrolled or moved past is not waited for
    for (const row of rows) this.#asked.add(row);
    const version = this.#version;
    try {
      const { items } = await getJSON<{ items: Spark[] }>("/sparklines", { rows, width: WIDTH, version });
      if (version !== this.#version) return;
      const held = new Map(this.#held);
      for (const item of items) held.set(item.row, item);
      for (const row of held.keys()) {
        if (held.size <= KEPT) break;
        held.delete(row);
        this.#asked.delete(row);
      }
      this.#held = held;
      this.error = null;
    } catch (thrown) {
      for (const row of rows) this.#asked.delete(row);
      if (!isAbort(thrown)) this.error = asApiError(thrown);
    }
  }
}

export const sparks = new Sparks();
