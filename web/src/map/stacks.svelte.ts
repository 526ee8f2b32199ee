/**
 * Median spectra of selections: at once from a random sample, then from all in the background.
 */
import { ApiError, asApiError, getArrow, getJSON, isAbort, postArrow, sendJSON } from "../lib/api";
import { overview } from "../lib/archive.svelte";
import type { Table } from "../lib/arrow";
import type { Members, Stack } from "../spectrum/BandPlot.svelte";

export interface About {
  members: number;
  used: number;
  sampled: number | null;
  exact: boolean;
  left_out: Record<string, number>;
  medium: string;
  frame: string;
  unit: string | null;
  notes: string[];
}

export type Frame = "delivered" | "rest";
type Bands = Omit<Stack, "name" | "colour">;

export interface Kept {
  key: number;
  name: string;
  rows: Int32Array;
  bands: Bands;
  about: About;
}

const WIDTH = 1500;
const WAIT_MS = 120;
const STILL_MS = 1500;
const POLL_MS = 700;

export class Stacks {
  bands = $state.raw<Bands | null>(null);
  about = $state.raw<About | null>(null);
  members = $state.raw<Members | null>(null);
  error = $state.raw<ApiError | null>(null);
  loading = $state(false);
  /** The exact answer on its way: done of total. */
  progress = $state.raw<{ done: number; total: number } | null>(null);
  pinned = $state.raw<Kept[]>([]);
  #rows: Int32Array = new Int32Array(0);
  #stop: AbortController | null = null;
  #next = 1;

  /**
   * Follows a set: its bands, and the members in `sample`. `thorough`: a sample is followed by all
   * of them. What was asked before is dropped.
   */
  follow(rows: Int32Array, frame: Frame, sample: Int32Array | null, thorough: boolean): void {
    this.#stop?.abort();
    this.#rows = rows;
    this.progress = null;
    if (!rows.length) {
      this.bands = this.about = this.members = this.error = null;
      this.loading = false;
      return;
    }
    const stop = (this.#stop = new AbortController());
    this.loading = true;
    void this.#go(rows, frame, sample, thorough, stop.signal);
  }

  /** Keeps what is shown, to be compared with the next selection. */
  pin(name: string): void {
    if (!this.bands || !this.about) return;
    const key = this.#next++;
    // a letter tells two sets of the same size apart
    const kept = { key, name: `${String.fromCharCode(65 + ((key - 1) % 26))}: ${name}`, rows: this.#rows, bands: this.bands, about: this.about };
    this.pinned = [...this.pinned, kept].slice(-6);
  }

  unpin(key: number): void {
    this.pinned = this.pinned.filter((one) => one.key !== key);
  }

  stop(): void {
    this.#stop?.abort();
    this.loading = false;
    this.progress = null;
  }

  async #go(
    rows: Int32Array, frame: Frame, sample: Int32Array | null, thorough: boolean, signal: AbortSignal,
  ): Promise<void> {
    try {
      await pause(WAIT_MS, signal);
      const body = { rows: Array.from(rows), width: WIDTH, frame };
      const drawn = sample?.length
        ? postArrow("/stack/members", { ...body, rows: Array.from(sample) }, signal)
        : Promise.resolve(null);
      drawn.catch(() => {}); // told below, when it is waited for
      this.#take(await postArrow("/stack", body, signal));
      const lines = await drawn;
      this.members = lines ? membersOf(lines) : null;
      this.loading = false;
      if (thorough && this.about!.sampled !== null && overview.may("save")) await this.#exactly(body, signal);
    } catch (thrown) {
      if (isAbort(thrown)) return;
      this.error = asApiError(thrown);
      if (this.error.code === "nothing_to_stack") this.bands = this.about = this.members = null;
    } finally {
      if (!signal.aborted) {
        this.loading = false;
        this.progress = null;
      }
    }
  }

  #take(table: Table): void {
    this.about = table.meta<About>("stack");
    this.bands = bandsOf(table, this.about!);
    this.error = null;
  }

  /** All members, by a job; begun once the set has stood still, given up when it changes. */
  async #exactly(body: object, signal: AbortSignal): Promise<void> {
    await pause(STILL_MS, signal);
    const { jid } = await sendJSON<{ jid: string }>("POST", "/jobs", { kind: "stack", params: { ...body, exact: true } }, { signal });
    try {
      for (;;) {
        await pause(POLL_MS, signal);
        const job = await getJSON<{ phase: string; progress: { done: number; total: number | null } | null; error?: { what: string } | null }>(`/jobs/${jid}`, {}, signal);
        if (job.phase === "COMPLETED") break;
        if (job.phase === "ERROR" || job.phase === "ABORTED") return;
        this.progress = { done: job.progress?.done ?? 0, total: job.progress?.total ?? 0 };
      }
      this.#take(await getArrow(`/jobs/${jid}/result`, {}, signal));
    } catch (thrown) {
      if (isAbort(thrown)) void sendJSON("POST", `/jobs/${jid}/cancel`, {}).catch(() => {});
      throw thrown;
    }
  }
}

function bandsOf(table: Table, about: About): Bands {
  const f = (name: string) => Float32Array.from(table.numbers(name));
  const wave_aa = Float64Array.from(table.numbers("wave_aa"));
  const error = about.exact ? undefined : f("error");
  return { wave_aa, p05: f("p05"), p16: f("p16"), p50: f("p50"), p84: f("p84"), p95: f("p95"), error };
}

function membersOf(table: Table): Members {
  const wave = Float64Array.from(table.meta<number[]>("wave") ?? []);
  return { wave_aa: wave, flux: table.lists("flux"), label: Array.from(table.numbers("row"), String) };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      signal.removeEventListener("abort", gone);
      resolve();
    }
    function gone(): void {
      clearTimeout(timer);
      reject(new DOMException("no longer wanted", "AbortError"));
    }
    if (signal.aborted) gone();
    else signal.addEventListener("abort", gone, { once: true });
  });
}
