/** The keys of a spectrum, as the help lists them. */
import type { Binding } from "../lib/keys.svelte";
import type { SpectrumView } from "./settings";
import { WAVE_UNITS } from "./units";
import { panned, zoomAbout, type Window } from "./window";

export interface SpectrumDoing {
  shown(): Window;
  move(window: Window): void;
  reset(): void;
  toggle(what: "all" | "mode" | "table"): void;
  view(): SpectrumView;
  patch(patch: Partial<SpectrumView>): void;
  medium(): void;
}

/** σ in samples that the key steps through. */
const SMOOTH = [1, 2, 3, 5, 8, 12, 20];
const SCALES = ["linear", "log", "median"] as const;

export function spectrumKeys(it: SpectrumDoing): Binding[] {
  const zoom = (times: number) => (): void => {
    const { lo, hi } = it.shown();
    it.move(zoomAbout({ lo, hi }, (lo + hi) / 2, times));
  };
  const pan = (by: number) => (): void => it.move(panned(it.shown(), by));
  const unit = (): void => {
    const at = WAVE_UNITS.findIndex((one) => one.key === it.view().unit);
    it.patch({ unit: WAVE_UNITS[(at + 1) % WAVE_UNITS.length]!.key });
  };
  const scale = (): void => it.patch({ scale: SCALES[(SCALES.indexOf(it.view().scale) + 1) % SCALES.length]! });
  const smooth = (): void => {
    const now = it.view().smooth;
    it.patch({ smooth: SMOOTH.find((sigma) => sigma > now) ?? 0 });
  };
  return [
    { keys: ["+", "="], about: "Zoom in", run: zoom(0.7) },
    { keys: ["-", "_"], about: "Zoom out", run: zoom(1 / 0.7) },
    { keys: "0", about: "The whole spectrum", run: it.reset },
    { keys: "ArrowLeft", about: "Move to the blue", run: pan(-0.15) },
    { keys: "ArrowRight", about: "Move to the red", run: pan(0.15) },
    { keys: "b", about: "A drag zooms into a box, or moves", run: () => it.toggle("mode") },
    { keys: "y", about: "Every spike in the picture, or not", run: () => it.toggle("all") },
    { keys: "e", about: "Error band", run: () => it.patch({ error: !it.view().error }) },
    { keys: "m", about: "Masked samples", run: () => it.patch({ mask: !it.view().mask }) },
    { keys: "l", about: "Line list", run: () => it.patch({ kinds: it.view().kinds?.length === 0 ? null : [] }) },
    { keys: "s", about: "Smooth more, and after the most not at all", run: smooth },
    { keys: "u", about: "Wavelength in Å, nm, µm", run: unit },
    { keys: "f", about: "Flux linear, logarithmic, over its median", run: scale },
    { keys: "a", about: "Air or vacuum", run: it.medium },
    { keys: "z", about: "Type a redshift", run: () => document.querySelector<HTMLInputElement>("#spectrum-z")?.select() },
    { keys: "v", about: "Values as a table", run: () => it.toggle("table") },
  ];
}
