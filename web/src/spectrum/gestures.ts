/** Wheel, drag and box on a plot. A drag ends with the button, whatever happens in between. */
import { panned, wheelFactor, zoomAbout, type Window } from "./window";

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface GestureTarget {
  /** Wavelengths shown now. */
  view(): Window;
  /** Shows other wavelengths. */
  move(view: Window): void;
  /** What a drag without Shift does. */
  mode(): "pan" | "box";
  /** A box in fractions of the plot's width and height, from its upper left corner. */
  box(box: Box): void;
  /** The box being drawn, in CSS pixels; null when it is gone. */
  boxing(box: Box | null): void;
  /** Zooms the flux axis about a fraction of the height. */
  zoomY?(factor: number, at: number): void;
  reset(): void;
}

/** Listens on `over`; the function that comes back takes every listener away. */
export function gestures(over: HTMLElement, target: GestureTarget): () => void {
  let drag: { id: number; x: number; y: number; view: Window; box: boolean } | null = null;

  const rect = (): DOMRect => over.getBoundingClientRect();
  const end = (): void => {
    drag = null;
    target.boxing(null);
    over.classList.remove("dragging");
  };
  const boxOf = (event: PointerEvent): Box => {
    const r = rect();
    const inside = (v: number, most: number): number => Math.max(0, Math.min(most, v));
    const x = inside(event.clientX - r.left, r.width);
    const y = inside(event.clientY - r.top, r.height);
    const x0 = inside(drag!.x - r.left, r.width);
    const y0 = inside(drag!.y - r.top, r.height);
    return { left: Math.min(x, x0), top: Math.min(y, y0), width: Math.abs(x - x0), height: Math.abs(y - y0) };
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || drag) return;
    over.setPointerCapture(event.pointerId);
    const box = (target.mode() === "box") !== event.shiftKey;
    drag = { id: event.pointerId, x: event.clientX, y: event.clientY, view: target.view(), box };
  };
  const moved = (event: PointerEvent): void => {
    if (!drag || event.pointerId !== drag.id) return;
    if (event.buttons === 0) return end(); // the release was lost: outside the window, in a dialog
    if (drag.box) return target.boxing(boxOf(event));
    over.classList.add("dragging");
    target.move(panned(drag.view, (drag.x - event.clientX) / rect().width));
  };
  const up = (event: PointerEvent): void => {
    if (!drag || event.pointerId !== drag.id) return;
    try {
      if (!drag.box) return;
      const box = boxOf(event);
      const r = rect();
      if (box.width < 4 && box.height < 4) return;
      target.box({
        left: box.left / r.width, top: box.top / r.height,
        width: box.width / r.width, height: box.height / r.height,
      });
    } finally {
      end();
    }
  };
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const r = rect();
    const along = (event.clientX - r.left) / r.width;
    const view = target.view();
    if (event.shiftKey && target.zoomY) {
      target.zoomY(wheelFactor(event.deltaY || event.deltaX, event.deltaMode), (event.clientY - r.top) / r.height);
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      target.move(panned(view, event.deltaX / r.width));
    } else {
      const at = view.lo + along * (view.hi - view.lo);
      target.move(zoomAbout(view, at, wheelFactor(event.deltaY, event.deltaMode)));
    }
  };
  const listeners: [string, (event: never) => void][] = [
    ["pointerdown", down], ["pointermove", moved], ["pointerup", up],
    ["pointercancel", end], ["lostpointercapture", end], ["dblclick", () => target.reset()],
  ];
  for (const [name, run] of listeners) over.addEventListener(name, run as EventListener);
  over.addEventListener("wheel", wheel, { passive: false });
  window.addEventListener("blur", end);
  return () => {
    for (const [name, run] of listeners) over.removeEventListener(name, run as EventListener);
    over.removeEventListener("wheel", wheel);
    window.removeEventListener("blur", end);
  };
}
