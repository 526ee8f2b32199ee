/** What /api/object answers, and words for it. */

export type Value = string | number | boolean | null;

export interface ObjectAnswer {
  id: string;
  row: number | null;
  uid: string | null;
  did: string | null;
  record: Record<string, Value>;
  units: Record<string, string | null>;
  about: Record<string, string | null>;
  provenance: Record<string, unknown> & { warnings?: string[]; embeddings?: { name: string; weights_hash?: string | null; version?: string | number | null }[] };
  files: { name: string; kind: string; href: string; bytes?: number | null }[];
  same_target: { id: string; row: number; t_min: number | null }[];
}

export interface Driver {
  lo_aa: number;
  hi_aa: number;
  contribution: number;
  sign: number;
  lines?: (string | { label: string; text?: string })[];
  /** What may lie there, in sentences. */
  texts?: string[];
}

/** Places a vacuum wavelength of a model's grid on the axis that the spectrum shows. */
export type Placing = (aa: number, frame: string | undefined) => number;

export interface Similar {
  model: string;
  metric: string;
  search: string;
  searched: number;
  frame: string;
  notes: string[];
  left_out: Record<string, number>;
  models: string[];
  wave_aa: number[];
  query: { flux: (number | null)[]; ivar?: (number | null)[] };
  answers: Answer[];
}

export interface Answer {
  row: number;
  id: string;
  uid: string;
  rank: number;
  value: number | null;
  pixel_distance: number | null;
  target_name: string | null;
  class: string | null;
  snr: number | null;
  redshift: number | null;
  reason: string;
  because: string[];
  drivers: Driver[];
  alike: (Driver | string)[];
  flux: (number | null)[];
  difference: (number | null)[];
  /** Share of the squared difference by wavelength; null where no model explains it. */
  why: (number | null)[] | null;
  /** The difference in σ of the two. */
  sigma: (number | null)[] | null;
}

export interface Tag {
  tag: string;
  kind: string;
  unit: string;
  value: number | string | null;
  reason: string;
  embedding: string;
  model: string;
  encoder: string;
  catalogue_column: string;
  catalogue_value: number | string | null;
  neighbours: { obs_id: string | null; id?: string | null; label: number | string | null; distance: number }[];
  head?: string;
  training?: string;
  test?: string;
  snr?: number | null;
  role?: string;
  intervals?: Record<string, [number, number]>;
  probability?: Record<string, number>;
  sets?: Record<string, string[]>;
}

export interface Score {
  name: string;
  model: string;
  value: number | null;
  significance: number | null;
  percentile: number | null;
  rank: number | null;
  of: number | null;
  drivers: Driver[];
  lines?: string[];
  reasons?: { text: string; kind: string; share: number; lo_aa: number | null; hi_aa: number | null }[];
  kind: string;
  /** Why it abstains. */
  reason: string;
  note?: string;
  frame?: string;
  expected_by?: string;
  noise_source: string;
}

export interface Note {
  nid: string;
  text: string;
  user: string;
  mine: boolean;
  /** Seconds since 1970. */
  created: number;
  changed: number | null;
}

/** The name of an object: its target's, else the survey's own id. */
export function nameOf(item: { target_name?: string | null; id: string }): string {
  if (item.target_name) return item.target_name;
  const cut = item.id.indexOf(":");
  return cut < 0 || item.id.startsWith("upload:") ? item.id : item.id.slice(cut + 1);
}

export function isUpload(id: string): boolean {
  return id.startsWith("upload:");
}

/** "6540–6580 Å" */
export function between(lo: number, hi: number): string {
  return `${Math.round(lo)}–${Math.round(hi)} Å`;
}

/** What lies in a region, in words; its wavelengths when nothing is known to. */
export function driverWords(driver: Driver): string {
  if (driver.texts?.length) return driver.texts[0]!;
  const lines = (driver.lines ?? []).map((line) => (typeof line === "string" ? line : line.label));
  return lines.length ? [...new Set(lines)].join(", ") : between(driver.lo_aa, driver.hi_aa);
}

/** Values that may be null as an array that a picture can take. */
export function floats(values: readonly (number | null)[] | null | undefined): Float32Array {
  return Float32Array.from(values ?? [], (value) => value ?? NaN);
}
