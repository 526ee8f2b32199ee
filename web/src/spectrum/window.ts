/** Windows on an axis: zoom about a point, pan, and stay within the data. */

export interface Window {
  lo: number;
  hi: number;
}

/** A window no wider than `full`, no narrower than `least`, moved back inside `full`. */
export function within(window: Window, full: Window, least: number): Window {
  const most = full.hi - full.lo;
  const width = Math.min(most, Math.max(Math.min(least, most), window.hi - window.lo));
  const middle = (window.lo + window.hi) / 2;
  const lo = Math.min(Math.max(full.lo, middle - width / 2), full.hi - width);
  return { lo, hi: lo + width };
}

/** Zoomed by `factor` (< 1: closer) so that `at` stays where it is. */
export function zoomAbout(window: Window, at: number, factor: number): Window {
  return { lo: at - (at - window.lo) * factor, hi: at + (window.hi - at) * factor };
}

/** Moved by a fraction of its own width. */
export function panned(window: Window, fraction: number): Window {
  const by = (window.hi - window.lo) * fraction;
  return { lo: window.lo + by, hi: window.hi + by };
}

/** Whether two windows are the same picture to a ten-thousandth of their width. */
export function same(a: Window | null, b: Window | null): boolean {
  if (!a || !b) return a === b;
  const room = 1e-4 * Math.max(a.hi - a.lo, b.hi - b.lo);
  return Math.abs(a.lo - b.lo) <= room && Math.abs(a.hi - b.hi) <= room;
}

/** The factor of one wheel event, the same for mice (lines) and touch pads (pixels). */
export function wheelFactor(deltaY: number, deltaMode: number): number {
  const pixels = deltaMode === 1 ? deltaY * 32 : deltaMode === 2 ? deltaY * 400 : deltaY;
  return Math.exp(Math.max(-300, Math.min(300, pixels)) * 0.0018);
}
