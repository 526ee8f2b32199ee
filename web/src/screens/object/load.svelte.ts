/** One question at a time: the newest wins, its answer stays until the next has come. */
import { asApiError, isAbort, type ApiError } from "../../lib/api";

export class Load<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  busy = $state(false);
  #stop: AbortController | null = null;

  async run(ask: (signal: AbortSignal) => Promise<T>, options: { keep?: boolean } = {}): Promise<void> {
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.busy = true;
    this.error = null;
    if (!options.keep) this.value = null;
    try {
      const value = await ask(stop.signal);
      if (this.#stop === stop) this.value = value;
    } catch (thrown) {
      if (this.#stop === stop && !isAbort(thrown)) {
        this.error = asApiError(thrown);
        this.value = null;
      }
    } finally {
      if (this.#stop === stop) this.busy = false;
    }
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.busy = false;
  }
}
