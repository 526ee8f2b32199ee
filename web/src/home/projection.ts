/** The whole sky on a 2:1 ellipse (Hammer), 12h in the middle, right ascension to the left. Pure. */

const RAD = Math.PI / 180

/** Degrees → place in [−1, 1] × [−1, 1]; y upwards. */
export function project(ra: number, dec: number): [number, number] {
  const half = ((((ra % 360) + 360) % 360) - 180) * RAD * 0.5
  const phi = dec * RAD
  const down = Math.sqrt(1 + Math.cos(phi) * Math.cos(half))
  return [(-Math.cos(phi) * Math.sin(half)) / down, Math.sin(phi) / down]
}

/** Place → degrees; null outside the ellipse. */
export function unproject(x: number, y: number): [number, number] | null {
  if (x * x + y * y > 1) return null
  // Hammer's own units are 2√2 by √2.
  const hx = -x * 2 * Math.SQRT2
  const hy = y * Math.SQRT2
  const z = Math.sqrt(1 - (hx / 4) ** 2 - (hy / 2) ** 2)
  const lambda = 2 * Math.atan2(z * hx, 2 * (2 * z * z - 1))
  return [(lambda / RAD + 180 + 360) % 360, Math.asin(Math.max(-1, Math.min(1, z * hy))) / RAD]
}

/** Angle between two directions, degrees. */
export function separation(ra1: number, dec1: number, ra2: number, dec2: number): number {
  const a = Math.sin(((dec2 - dec1) * RAD) / 2) ** 2
  const b = Math.cos(dec1 * RAD) * Math.cos(dec2 * RAD) * Math.sin(((ra2 - ra1) * RAD) / 2) ** 2
  return (2 * Math.asin(Math.min(1, Math.sqrt(a + b)))) / RAD
}

/** Points of a circle around a direction, degrees. */
export function circle(ra: number, dec: number, radius: number, n = 90): [number, number][] {
  const points: [number, number][] = []
  const [sd, cd, sr, cr] = [Math.sin(dec * RAD), Math.cos(dec * RAD), Math.sin(radius * RAD), Math.cos(radius * RAD)]
  for (let i = 0; i <= n; i++) {
    const angle = (2 * Math.PI * i) / n
    const sinDec = sd * cr + cd * sr * Math.cos(angle)
    const turn = Math.atan2(Math.sin(angle) * sr * cd, cr - sd * sinDec)
    points.push([(ra + turn / RAD + 360) % 360, Math.asin(Math.max(-1, Math.min(1, sinDec))) / RAD])
  }
  return points
}

/** Galactic longitude and latitude → ICRS, degrees (ESA 1997, Hipparcos vol. 1, eq. 1.5.11). */
export function fromGalactic(l: number, b: number): [number, number] {
  const [sl, cl, sb, cb] = [Math.sin(l * RAD), Math.cos(l * RAD), Math.sin(b * RAD), Math.cos(b * RAD)]
  const [gx, gy, gz] = [cb * cl, cb * sl, sb]
  const x = -0.0548755604 * gx + 0.4941094279 * gy - 0.867666149 * gz
  const y = -0.8734370902 * gx - 0.44482963 * gy - 0.1980763734 * gz
  const z = -0.4838350155 * gx + 0.7469822445 * gy + 0.4559837762 * gz
  return [((Math.atan2(y, x) / RAD) + 360) % 360, Math.asin(z) / RAD]
}

/** The corners of a HEALPix cell around its centre; exact between ±41.8°, near enough beyond. */
export function cellCorners(ra: number, dec: number, nside: number): [number, number][] {
  const z = Math.sin(dec * RAD)
  const polar = Math.abs(z) > 2 / 3
  const dz = polar ? (2 / (3 * nside)) * Math.sqrt(3 * (1 - Math.abs(z))) : 2 / (3 * nside)
  const dra = polar ? 45 / nside / Math.sqrt(3 * (1 - Math.abs(z))) : 45 / nside
  const at = (value: number) => Math.asin(Math.max(-1, Math.min(1, value))) / RAD
  return [[ra + dra, dec], [ra, at(z + dz)], [ra - dra, dec], [ra, at(z - dz)]]
}
