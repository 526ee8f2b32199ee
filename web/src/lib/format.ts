/** Numbers, places and times as text. Pure. */

const MINUS = '−'
const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** 12,345 */
export function count(n: number): string {
  return grouped.format(n)
}

/** "3 spectra", "1 spectrum" */
export function many(n: number, one: string, more = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : more}`
}

/** Four significant digits, no needless zeros, a real minus; "–" for no value. */
export function number(x: number | null | undefined, unit = '', digits = 4): string {
  if (x === null || x === undefined || Number.isNaN(x)) return '–'
  if (!Number.isFinite(x)) return `${x < 0 ? MINUS : ''}∞`
  const size = Math.abs(x)
  let text: string
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) text = x.toExponential(Math.max(0, digits - 2)).replace(/\.?0+e/, 'e').replace('e+', 'e')
  else if (size >= 10 ** digits) text = x.toFixed(0)
  else text = String(Number(x.toPrecision(digits)))
  return `${text.replace(/-/g, MINUS)}${unit ? ` ${unit}` : ''}`
}

/** Any catalogue value as text. */
export function value(x: unknown, unit = ''): string {
  if (x === null || x === undefined || x === '') return '–'
  if (typeof x === 'number') return number(x, unit, 6)
  if (typeof x === 'boolean') return x ? 'yes' : 'no'
  return String(x)
}

function sexagesimal(x: number, digits: number, turn = Infinity): string {
  const scale = 10 ** digits
  const ticks = Math.round(Math.abs(x) * 3600 * scale) % (turn * 3600 * scale) // once: 59.99 is never 60
  const seconds = (ticks % (60 * scale)) / scale
  const minutes = Math.floor(ticks / (60 * scale)) % 60
  const whole = Math.floor(ticks / (3600 * scale))
  const two = (n: number) => String(n).padStart(2, '0')
  return `${two(whole)} ${two(minutes)} ${seconds.toFixed(digits).padStart(digits ? 3 + digits : 2, '0')}`
}

/** Degrees → "10 41 02.1 −59 41 04" */
export function coordinates(ra: number | null | undefined, dec: number | null | undefined): string {
  if (ra === null || ra === undefined || dec === null || dec === undefined || !Number.isFinite(ra) || !Number.isFinite(dec)) return '–'
  return `${sexagesimal((((ra % 360) + 360) % 360) / 15, 1, 24)} ${dec < 0 ? MINUS : '+'}${sexagesimal(dec, 0)}`
}

export function degrees(x: number | null | undefined, digits = 4): string {
  return x === null || x === undefined || !Number.isFinite(x) ? '–' : `${x.toFixed(digits).replace('-', MINUS)}°`
}

/** MJD → "2003-05-14", with the time when asked. */
export function mjdDate(mjd: number | null | undefined, time = false): string {
  if (mjd === null || mjd === undefined || !Number.isFinite(mjd)) return '–'
  const when = new Date((mjd - 40587) * 86_400_000)
  if (Number.isNaN(when.getTime())) return '–'
  const text = when.toISOString()
  return time ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : text.slice(0, 10)
}

/** ISO time of the server → "today 14:05" or "2026-11-03 14:05", in local time. */
export function moment(iso: string | null | undefined): string {
  const when = new Date(iso ?? '')
  if (Number.isNaN(when.getTime())) return '–'
  const two = (n: number) => String(n).padStart(2, '0')
  const time = `${two(when.getHours())}:${two(when.getMinutes())}`
  if (when.toDateString() === new Date().toDateString()) return `today ${time}`
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} ${time}`
}

export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let size = n
  let unit = 0
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit += 1
  }
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** A fraction → "12 %"; small ones keep a digit. */
export function percent(fraction: number): string {
  const of100 = fraction * 100
  return `${of100 !== 0 && of100 < 10 ? of100.toFixed(1) : Math.round(of100)} %`
}

/** A wavelength in Å, with the digits that its size deserves. */
export function wavelength(aa: number, digits = 1): string {
  return `${aa >= 1e5 ? grouped.format(aa) : aa.toFixed(digits)} Å`
}

/** "s_ra" → "s_ra"; "sdss.target_class" → "target class (sdss)". */
export function columnTitle(name: string): string {
  const [source, ...rest] = name.split('.')
  return rest.length ? `${rest.join('.').replaceAll('_', ' ')} (${source})` : name.replaceAll('_', ' ')
}

const RAISED: Record<string, string> = { '-': '⁻', '.': '·', '0': '⁰', '1': '¹', '2': '²', '3': '³', '4': '⁴', '5': '⁵', '6': '⁶', '7': '⁷', '8': '⁸', '9': '⁹' }

/** A VO unit as one reads it: "log(cm.s**-2)" → "log(cm s⁻²)". */
export function unitText(unit: string | null | undefined): string {
  return (unit ?? '')
    .replace(/\*\*(?:\(([-+]?\d+(?:\.\d+)?)\)|([-+]?\d+(?:\.\d+)?))/g, (_, inner?: string, bare?: string) => [...(inner ?? bare ?? '').replace('+', '')].map((sign) => RAISED[sign]).join(''))
    .replace(/\.(?=[A-Za-z])/g, ' ')
    .replaceAll('Angstrom', 'Å')
}
