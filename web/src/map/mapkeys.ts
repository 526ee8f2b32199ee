/** Keys of the map. */
import { flushSync } from "svelte";
import type { Binding } from "../lib/keys.svelte";
import { selection } from "../lib/selection.svelte";
import type { MapModel } from "./model.svelte";
import type { Stage } from "./stage";

export function mapKeys(
  model: MapModel, stages: (Stage | null)[], root: () => HTMLElement, range: () => void,
): Binding[] {
  const stage = () => stages[model.active] ?? null;
  const turn = (by: number) => {
    const n = model.layout === 1 ? model.views.length : model.layout;
    model.active = (model.active + by + n) % n;
    root().querySelectorAll<HTMLElement>(".area")[model.layout === 1 ? 0 : model.active]?.focus();
  };
  const focus = (selector: string) => root().querySelector<HTMLElement>(selector)?.focus();
  // At once: the next key that is typed has to find the focus there.
  const side = (selector: string) => {
    flushSync(() => model.setSide(true));
    focus(selector);
  };
  return [
    { keys: "v", about: "Pan", run: () => model.setTool("pan") },
    { keys: "l", about: "Lasso", run: () => model.setTool("lasso") },
    { keys: "b", about: "Box", run: () => model.setTool("box") },
    { keys: "p", about: "Brush", run: () => model.setTool("brush") },
    { keys: "[", about: "Smaller brush", run: () => (model.radius = Math.max(4, model.radius - 4)), when: () => model.tool === "brush" },
    { keys: "]", about: "Larger brush", run: () => (model.radius = Math.min(80, model.radius + 4)), when: () => model.tool === "brush" },
    { keys: "n", about: "A shape makes a new selection", run: () => model.setMode("new") },
    { keys: "a", about: "A shape adds", run: () => model.setMode("add") },
    { keys: "s", about: "A shape subtracts", run: () => model.setMode("subtract") },
    { keys: "i", about: "A shape intersects", run: () => model.setMode("intersect") },
    { keys: "e", about: "Select by values", run: range },
    { keys: "Delete", about: "Clear the selection", run: () => selection.clear(), when: () => selection.count > 0 },
    { keys: "f", about: "Show all points of the active view", run: () => stage()?.fit() },
    { keys: "Shift+f", about: "Show all points of every view, wild ones too", run: () => stages.forEach((s) => s?.fit(true)) },
    { keys: ["+", "="], about: "Zoom in", run: () => stage()?.zoomMiddle(1.5) },
    { keys: "-", about: "Zoom out", run: () => stage()?.zoomMiddle(1 / 1.5) },
    { keys: ".", about: "Next view", run: () => turn(1) },
    { keys: ",", about: "Previous view", run: () => turn(-1) },
    { keys: "x", about: "Choose what the active view shows", run: () => focusMenu(root(), model.active) },
    { keys: "w", about: "One, two or four views", run: () => model.setLayout(model.layout === 1 ? 2 : model.layout === 2 ? 4 : 1) },
    { keys: "m", about: "Points or means", run: () => model.setMean(!model.mean), when: () => model.canMean && model.gl },
    { keys: "c", about: "Choose the colour", run: () => side(".colour input") },
    { keys: "k", about: "Show or hide colour and selection", run: () => model.setSide(!model.side) },
    { keys: "d", about: "Spectra, histograms or nothing below", run: () => model.setDock(model.dock === "stack" ? "histograms" : model.dock === "histograms" ? "none" : "stack") },
    { keys: "t", about: "Go to the list of members", run: () => side(".members .lines") },
  ];
}

function focusMenu(root: HTMLElement, index: number): void {
  root.querySelector<HTMLElement>(`[data-view-menu="${index}"]`)?.click();
}
