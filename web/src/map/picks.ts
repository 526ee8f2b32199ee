/** A grid over the unit plane: the nearest point, and the points near a stroke, at once. */
import { distance2 } from "./lasso";
import { NOWHERE } from "./view";

/** Bit of a point's look that hides it from the eye and from picking. */
export const HIDDEN = 1 << 9;
/** Bit of a point's look that marks it as selected. */
export const SELECTED = 1 << 8;

const LOW = -0.25;
const WIDE = 1.5;

export class Picks {
  private readonly side: number;
  private readonly start: Uint32Array;
  private readonly order: Uint32Array;

  /** `at`: interleaved positions. About 1.5 points a cell if they were spread evenly. */
  constructor(private readonly at: Float32Array) {
    const n = at.length >> 1;
    this.side = Math.max(8, Math.min(640, Math.round(Math.sqrt(n / 1.5) * WIDE)));
    const cells = this.side * this.side;
    this.start = new Uint32Array(cells + 1);
    const cell = new Uint32Array(n);
    let placed = 0;
    for (let i = 0; i < n; i++) {
      if (at[2 * i]! > NOWHERE / 2) {
        cell[i] = cells;
        continue;
      }
      const c = this.bin(at[2 * i + 1]!) * this.side + this.bin(at[2 * i]!);
      cell[i] = c;
      this.start[c + 1]!++;
      placed++;
    }
    for (let c = 0; c < cells; c++) this.start[c + 1]! += this.start[c]!;
    const next = this.start.slice();
    this.order = new Uint32Array(placed);
    for (let i = 0; i < n; i++) {
      if (cell[i]! < cells) this.order[next[cell[i]!]!++] = i;
    }
  }

  private bin(t: number): number {
    const b = Math.floor(((t - LOW) / WIDE) * this.side);
    return b < 0 ? 0 : b >= this.side ? this.side - 1 : b;
  }

  /**
   * The visible point nearest to (u, v) within `radius` pixels, −1 when there is none.
   * `sx`, `sy`: pixels per unit (their signs do not matter).
   */
  nearest(
    u: number, v: number, sx: number, sy: number, radius: number, look: Uint32Array,
  ): number {
    let best = -1;
    let least = radius * radius;
    this.visit(u, v, u, v, radius / Math.abs(sx), radius / Math.abs(sy), (i) => {
      if (look[i]! & HIDDEN) return;
      const dx = (this.at[2 * i]! - u) * sx;
      const dy = (this.at[2 * i + 1]! - v) * sy;
      const d = dx * dx + dy * dy;
      if (d <= least) {
        least = d;
        best = i;
      }
    });
    return best;
  }

  /** Calls `hit` for each visible point within `radius` pixels of the stroke a–b. */
  along(
    ua: number, va: number, ub: number, vb: number, sx: number, sy: number, radius: number,
    look: Uint32Array, hit: (i: number) => void,
  ): void {
    const r2 = radius * radius;
    this.visit(ua, va, ub, vb, radius / Math.abs(sx), radius / Math.abs(sy), (i) => {
      if (look[i]! & HIDDEN) return;
      const d = distance2(
        this.at[2 * i]! * sx, this.at[2 * i + 1]! * sy, ua * sx, va * sy, ub * sx, vb * sy,
      );
      if (d <= r2) hit(i);
    });
  }

  private visit(
    ua: number, va: number, ub: number, vb: number, ru: number, rv: number,
    each: (i: number) => void,
  ): void {
    const c0 = this.bin(Math.min(ua, ub) - ru);
    const c1 = this.bin(Math.max(ua, ub) + ru);
    const r0 = this.bin(Math.min(va, vb) - rv);
    const r1 = this.bin(Math.max(va, vb) + rv);
    for (let r = r0; r <= r1; r++) {
      const end = this.start[r * this.side + c1 + 1]!;
      for (let k = this.start[r * this.side + c0]!; k < end; k++) each(this.order[k]!);
    }
  }
}
