/** Questions that this archive can answer, made from what it holds. Pure. */
import { coordinates } from '../lib/format'
import type { CategoryFacet, Facet, FoundRow, HistogramFacet } from './answers'

export interface Example {
  q: string
  about: string
}

/** A round number that some, but not most, lie above. */
export function threshold(facet: HistogramFacet): number | null {
  const total = facet.of.reduce((a, b) => a + b, 0)
  let above = total
  for (let i = 0; i < facet.of.length; i++) {
    above -= facet.of[i]
    if (above <= total * 0.3) {
      const edge = facet.edges[i]
      const unit = 10 ** Math.floor(Math.log10(Math.abs(edge) || 1))
      return Math.floor(edge / unit) * unit
    }
  }
  return null
}

export function examples(facets: Facet[], rows: FoundRow[]): Example[] {
  const found: Example[] = []
  const kind = (column: string) => facets.find((facet) => facet.column === column)
  const snr = kind('snr')
  const classes = kind('class') ?? kind('obs_collection')
  const limit = snr?.kind === 'histogram' ? threshold(snr) : null
  const value = commonest(classes)
  const classed = classes && value ? `${classes.column} = '${value.replaceAll("'", "''")}'` : ''
  if (classed && limit !== null) found.push({ q: `${classed} AND snr > ${limit}`, about: 'a filter' })
  else if (classed || limit !== null) found.push({ q: classed || `snr > ${limit}`, about: 'a filter' })
  const named = rows.find((row) => row.target_name)
  if (named) found.push({ q: named.target_name!, about: 'a name' })
  const placed = rows.find((row) => row.s_ra !== null && row.s_dec !== null)
  if (placed) found.push({ q: `${coordinates(placed.s_ra, placed.s_dec).replace('−', '-')} r=60`, about: 'a position, radius in arcseconds' })
  if (rows.length) found.push({ q: rows[0].obs_id, about: 'an observation id' })
  return found
}

function commonest(facet: Facet | undefined): string | null {
  if (facet?.kind !== 'categories') return null
  const [first] = [...(facet as CategoryFacet).values].sort((a, b) => b.of - a.of)
  return first ? String(first.value) : null
}

/** "STAR 1,200, GALAXY 600 and QSO 236": the first few values in words. */
export function listed(facet: CategoryFacet, count: (n: number) => string, most = 4): string {
  const values = [...facet.values].sort((a, b) => b.of - a.of).filter((one) => one.of > 0)
  const words = values.slice(0, most).map((one) => `${count(one.of)} ${one.value}`)
  const rest = values.length - words.length + facet.others.values
  if (rest) words.push(`${count(rest)} more`)
  return words.length > 1 ? `${words.slice(0, -1).join(', ')} and ${words.at(-1)}` : (words[0] ?? '')
}
