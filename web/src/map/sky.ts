/**
 * The sphere on a plane, equal areas: Hammer's projection for the whole sky, Lambert's zenithal
 * one for a field. Longitude grows to the left, as seen from inside (the axis is reversed).
 *
 * Source: Calabretta & Greisen 2002 (A&A 395, 1077), equations 36 (ZEA) and the Hammer–Aitoff
 * form of section 5.3.3 without its factor 180/π.
 */
const RAD = Math.PI / 180;

export interface Sky {
  kind: "hammer" | "zenithal";
  /** degrees */
  lon0: number;
  lat0: number;
}

/** Whole sky about `middle`, or the field that holds all points if that is under 40° in radius. */
export function skyOf(lon: ArrayLike<number>, lat: ArrayLike<number>, middle: number): Sky {
  const step = Math.max(1, Math.floor(lon.length / 50_000));
  let [x, y, z, n] = [0, 0, 0, 0];
  for (let i = 0; i < lon.length; i += step) {
    if (!Number.isFinite(lon[i]) || !Number.isFinite(lat[i])) continue;
    const c = Math.cos(lat[i]! * RAD);
    x += c * Math.cos(lon[i]! * RAD);
    y += c * Math.sin(lon[i]! * RAD);
    z += Math.sin(lat[i]! * RAD);
    n++;
  }
  const r = Math.hypot(x, y, z);
  const whole: Sky = { kind: "hammer", lon0: middle, lat0: 0 };
  if (!n || r / n < 0.5) return whole;
  [x, y, z] = [x / r, y / r, z / r];
  const edge = Math.cos(40 * RAD);
  for (let i = 0; i < lon.length; i++) {
    const c = Math.cos(lat[i]! * RAD);
    const cosine = c * Math.cos(lon[i]! * RAD) * x + c * Math.sin(lon[i]! * RAD) * y + Math.sin(lat[i]! * RAD) * z;
    if (cosine < edge) return whole; // NaN is never below
  }
  return { kind: "zenithal", lon0: (Math.atan2(y, x) / RAD + 360) % 360, lat0: Math.asin(z) / RAD };
}

/** Degrees east of the middle, −180…180. */
function east(lon: number, lon0: number): number {
  return ((((lon - lon0 + 180) % 360) + 360) % 360) - 180;
}

/** Degrees → plane; a degree at the middle is π/180 long in both directions. */
export function project(sky: Sky, lon: number, lat: number): [number, number] {
  const l = east(lon, sky.lon0) * RAD;
  const b = lat * RAD;
  if (sky.kind === "hammer") {
    const w = Math.sqrt(2 / (1 + Math.cos(b) * Math.cos(l / 2)));
    return [2 * w * Math.cos(b) * Math.sin(l / 2), w * Math.sin(b)];
  }
  const b0 = sky.lat0 * RAD;
  const cosine = Math.sin(b0) * Math.sin(b) + Math.cos(b0) * Math.cos(b) * Math.cos(l);
  const w = Math.sqrt(2 / Math.max(1e-12, 1 + cosine));
  return [
    w * Math.cos(b) * Math.sin(l),
    w * (Math.cos(b0) * Math.sin(b) - Math.sin(b0) * Math.cos(b) * Math.cos(l)),
  ];
}

/** Plane → degrees; null beyond the edge of the sky. */
export function unproject(sky: Sky, x: number, y: number): [number, number] | null {
  if (sky.kind === "hammer") {
    const z2 = 1 - (x / 4) ** 2 - (y / 2) ** 2;
    if (z2 < 0.5) return null;
    const z = Math.sqrt(z2);
    const l = 2 * Math.atan2((z * x) / 2, 2 * z2 - 1);
    return [(sky.lon0 + l / RAD + 720) % 360, Math.asin(Math.max(-1, Math.min(1, z * y))) / RAD];
  }
  const r2 = x * x + y * y;
  if (r2 > 4) return null;
  const c = 2 * Math.asin(Math.sqrt(r2) / 2);
  const b0 = sky.lat0 * RAD;
  if (r2 === 0) return [sky.lon0, sky.lat0];
  const r = Math.sqrt(r2);
  const b = Math.asin(Math.cos(c) * Math.sin(b0) + (y * Math.sin(c) * Math.cos(b0)) / r);
  const l = Math.atan2(x * Math.sin(c), r * Math.cos(b0) * Math.cos(c) - y * Math.sin(b0) * Math.sin(c));
  return [(sky.lon0 + l / RAD + 720) % 360, b / RAD];
}

/** Both coordinates of all points. */
export function projected(
  sky: Sky, lon: ArrayLike<number>, lat: ArrayLike<number>,
): [Float64Array, Float64Array] {
  const x = new Float64Array(lon.length);
  const y = new Float64Array(lon.length);
  for (let i = 0; i < x.length; i++) [x[i], y[i]] = project(sky, lon[i]!, lat[i]!);
  return [x, y];
}

export interface GridLine {
  /** degrees: of longitude for a meridian, of latitude for a parallel */
  value: number;
  meridian: boolean;
  label: string;
  /** plane coordinates x, y, x, y … */
  path: Float64Array;
}

const STEPS = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/** The widest round step of degrees below `degrees`. */
export function gridStep(degrees: number): number {
  return STEPS.find((s) => s <= degrees) ?? 0.001;
}

/** What part of the sky a window of the plane shows. */
export function seen(
  sky: Sky, x0: number, y0: number, x1: number, y1: number,
): { east: [number, number]; lat: [number, number]; all: boolean } {
  let [e0, e1, b0, b1] = [Infinity, -Infinity, Infinity, -Infinity];
  let outside = false;
  for (let i = 0; i <= 12; i++) {
    for (let j = 0; j <= 12; j++) {
      const at = unproject(sky, x0 + ((x1 - x0) * i) / 12, y0 + ((y1 - y0) * j) / 12);
      if (!at) {
        outside = true;
        continue;
      }
      const e = east(at[0], sky.lon0);
      [e0, e1] = [Math.min(e0, e), Math.max(e1, e)];
      [b0, b1] = [Math.min(b0, at[1]), Math.max(b1, at[1])];
    }
  }
  const pad = (b1 - b0) / 12;
  [b0, b1] = [Math.max(-90, b0 - pad), Math.min(90, b1 + pad)];
  const pole = b0 <= -89 || b1 >= 89;
  if (outside || pole || !(e1 >= e0)) return { east: [-180, 180], lat: outside ? [-90, 90] : [b0, b1], all: true };
  const wide = (e1 - e0) / 12;
  return { east: [Math.max(-180, e0 - wide), Math.min(180, e1 + wide)], lat: [b0, b1], all: false };
}

/** Meridians and parallels through a window of the plane, `across` degrees apart or less. */
export function graticule(
  sky: Sky, x0: number, y0: number, x1: number, y1: number, across: number,
): GridLine[] {
  const part = seen(sky, x0, y0, x1, y1);
  const latStep = gridStep(across);
  const high = Math.min(88, Math.abs((part.lat[0] + part.lat[1]) / 2));
  const lonStep = part.all ? Math.max(gridStep(across), Math.min(30, latStep)) : gridStep(across / Math.cos(high * RAD));
  const out: GridLine[] = [];
  const path = (n: number, at: (t: number) => [number, number]) => {
    const xy = new Float64Array(2 * (n + 1));
    for (let k = 0; k <= n; k++) xy.set(at(k / n), 2 * k);
    return xy;
  };
  const first = sky.lon0 + part.east[0];
  const last = sky.lon0 + part.east[1];
  for (let k = Math.ceil(first / lonStep - 1e-9); k * lonStep <= last + 1e-9 && out.length < 200; k++) {
    const lon = k * lonStep;
    const e = Math.max(-180, Math.min(179.99999, lon - sky.lon0));
    const value = ((lon % 360) + 360) % 360;
    const [b0, b1] = part.lat;
    out.push({
      value, meridian: true, label: degreesText(value, lonStep),
      path: path(48, (t) => project(sky, sky.lon0 + e, b0 + t * (b1 - b0))),
    });
  }
  for (let k = Math.ceil(part.lat[0] / latStep - 1e-9); k * latStep <= part.lat[1] + 1e-9 && out.length < 400; k++) {
    const value = k * latStep;
    if (Math.abs(value) > 89.999) continue;
    const [e0, e1] = [Math.max(-179.99999, part.east[0]), Math.min(179.99999, part.east[1])];
    out.push({
      value, meridian: false, label: degreesText(value, latStep),
      path: path(96, (t) => project(sky, sky.lon0 + e0 + t * (e1 - e0), value)),
    });
  }
  return out;
}

/** The rim of the whole sky. */
export function rim(sky: Sky): Float64Array {
  const out = new Float64Array(2 * 182);
  for (let k = 0; k < 182; k++) {
    const a = (k / 181) * 2 * Math.PI;
    const r = sky.kind === "hammer" ? [2 * Math.SQRT2, Math.SQRT2] : [2, 2];
    out.set([r[0]! * Math.cos(a), r[1]! * Math.sin(a)], 2 * k);
  }
  return out;
}

function degreesText(value: number, step: number): string {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return `${value.toFixed(digits).replace("-", "−")}°`;
}
