/** Pointer and wheel on a view. A gesture ends with the pointer, whatever happens in between. */
import type { Combine } from "../lib/selection.svelte";
import type { Tool } from "./model.svelte";

export interface HandsTarget {
  tool(): Tool;
  mode(): Combine;
  pan(dx: number, dy: number): void;
  /** k > 1: closer; about a pixel */
  zoom(px: number, py: number, k: number): void;
  /** The shape so far in pixels (x, y, x, y …), while it is drawn; null when it is gone. */
  drawing(tool: Tool, path: readonly number[] | null): void;
  /** The shape is done. */
  done(tool: Tool, path: readonly number[], how: Combine): void;
  /** The pointer is at a pixel without a button down; null: it has left. */
  hover(at: readonly [number, number] | null): void;
  click(px: number, py: number, event: PointerEvent): void;
  double(px: number, py: number): void;
}

interface Drag {
  id: number;
  tool: Tool;
  how: Combine;
  path: number[];
  last: [number, number];
  moved: boolean;
}

/** Shift adds, Alt subtracts, both intersect; without them the mode that is set. */
export function modeOf(event: { shiftKey: boolean; altKey: boolean }, mode: Combine): Combine {
  if (event.shiftKey && event.altKey) return "intersect";
  return event.shiftKey ? "add" : event.altKey ? "subtract" : mode;
}

/** Listens on `area`; the function that comes back takes every listener away. */
export function hands(area: HTMLElement, target: HandsTarget): { stop(): void; cancel(): boolean } {
  let drag: Drag | null = null;
  let space = false;

  const place = (event: MouseEvent): [number, number] => {
    const r = area.getBoundingClientRect();
    return [event.clientX - r.left, event.clientY - r.top];
  };
  const end = (): void => {
    if (!drag) return;
    const { id } = drag;
    drag = null;
    area.classList.remove("dragging");
    if (area.hasPointerCapture(id)) area.releasePointerCapture(id);
    target.drawing("pan", null);
  };
  const down = (event: PointerEvent): void => {
    if (drag || event.button > 1) return;
    const tool = event.button === 1 || space ? "pan" : target.tool();
    const at = place(event);
    area.setPointerCapture(event.pointerId);
    drag = { id: event.pointerId, tool, how: modeOf(event, target.mode()), path: [...at], last: at, moved: false };
    if (event.button === 1) event.preventDefault(); // no scrolling wheel of the browser
    target.hover(null);
    if (tool === "brush") target.drawing(tool, drag.path);
  };
  const moved = (event: PointerEvent): void => {
    if (!drag) {
      if (event.pointerType !== "touch") target.hover(place(event));
      return;
    }
    if (event.pointerId !== drag.id) return;
    if (event.buttons === 0) return end(); // the release was lost: outside the window, in a dialog
    for (const one of event.getCoalescedEvents?.() ?? [event]) {
      const at = place(one);
      drag.path.push(...at);
    }
    const at = place(event);
    const [dx, dy] = [at[0] - drag.last[0], at[1] - drag.last[1]];
    drag.moved ||= Math.hypot(at[0] - drag.path[0]!, at[1] - drag.path[1]!) > 3;
    if (!drag.moved) return;
    drag.last = at;
    if (drag.tool === "pan") {
      area.classList.add("dragging");
      target.pan(dx, dy);
    } else {
      target.drawing(drag.tool, drag.path);
    }
  };
  const up = (event: PointerEvent): void => {
    if (!drag || event.pointerId !== drag.id) return;
    const { tool, path, how, moved: far } = drag;
    try {
      if (!far && tool !== "brush") target.click(path[0]!, path[1]!, event);
      else if (tool !== "pan") target.done(tool, path, how);
    } finally {
      end();
    }
  };
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 120 : 1;
    const by = Math.max(-240, Math.min(240, (event.deltaY || event.deltaX) * unit));
    target.zoom(...place(event), Math.exp(-by * 0.0022));
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key !== " ") return;
    space = event.type === "keydown" && event.target === area;
    if (space) event.preventDefault();
  };
  const blur = (): void => {
    space = false;
    end();
  };
  const listeners: [string, (event: never) => void][] = [
    ["pointerdown", down], ["pointermove", moved], ["pointerup", up], ["pointercancel", end],
    ["lostpointercapture", end], ["pointerleave", () => drag || target.hover(null)],
    ["dblclick", (event: MouseEvent) => target.double(...place(event))],
    ["keydown", key], ["keyup", key],
  ];
  for (const [name, run] of listeners) area.addEventListener(name, run as EventListener);
  area.addEventListener("wheel", wheel, { passive: false });
  window.addEventListener("blur", blur);
  return {
    stop() {
      end();
      for (const [name, run] of listeners) area.removeEventListener(name, run as EventListener);
      area.removeEventListener("wheel", wheel);
      window.removeEventListener("blur", blur);
    },
    /** Esc: drops what is being drawn; false when nothing was. */
    cancel() {
      const was = drag !== null;
      end();
      return was;
    },
  };
}
