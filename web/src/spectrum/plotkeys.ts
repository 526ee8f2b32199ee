/** What the arrow keys and + − 0 do on a focused plot. */
import { panned, zoomAbout, type Window } from "./window";

/** The window that a key asks for; "reset" for all of it; null for keys of others. */
export function keyed(event: KeyboardEvent, view: Window): Window | "reset" | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const far = event.shiftKey ? 0.5 : 0.1;
  const middle = (view.lo + view.hi) / 2;
  switch (event.key) {
    case "ArrowLeft":
      return panned(view, -far);
    case "ArrowRight":
      return panned(view, far);
    case "PageUp":
      return panned(view, -0.9);
    case "PageDown":
      return panned(view, 0.9);
    case "+":
    case "=":
    case "ArrowUp":
      return zoomAbout(view, middle, 0.7);
    case "-":
    case "_":
    case "ArrowDown":
      return zoomAbout(view, middle, 1 / 0.7);
    case "0":
    case "Home":
      return "reset";
    default:
      return null;
  }
}
