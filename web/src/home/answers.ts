/** The shapes of the answers that the search screen shows. */
export interface Understood {
  kind: 'all' | 'filter' | 'id' | 'target' | 'position' | 'nothing'
  text: string
  where?: string
  cone?: [number, number, number]
  target?: string
  note?: string
}

export interface FoundRow {
  row: number
  id: string
  uid: string
  obs_id: string
  obs_collection: string
  target_name: string | null
  class: string | null
  s_ra: number | null
  s_dec: number | null
  t_min: number | null
  instrument_name: string | null
  em_min: number | null
  em_max: number | null
  snr: number | null
  redshift: number | null
}

export interface FoundAnswer {
  count: number
  offset: number
  asked: Understood
  rows: FoundRow[]
}

interface AnyFacet {
  column: string
  title: string
  unit: string | null
  about: string
  total: number
  missing: number
}

export interface CategoryFacet extends AnyFacet {
  kind: 'categories'
  /** `of`: how many in everything, whatever is asked. */
  values: { value: string | number; count: number; of: number }[]
  others: { values: number; count: number }
}

export interface HistogramFacet extends AnyFacet {
  kind: 'histogram'
  edges: number[]
  counts: number[]
  of: number[]
  log: boolean
  below: number
  above: number
}

export type Facet = CategoryFacet | HistogramFacet

export interface FacetsAnswer {
  count: number
  facets: Facet[]
}

export interface SkyAnswer {
  nside: number
  /** [pixel, RA°, Dec°, count] */
  cells: [number, number, number, number][]
  placed: number
  unplaced: number
}

export interface Spark {
  row: number
  id: string
  lo_aa: number
  hi_aa: number
  y: (number | null)[]
  lo: number
  hi: number
}
