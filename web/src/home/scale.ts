/** How values of a column are shown: dates instead of MJD, Å instead of ObsCore's metres. */
import { overview } from '../lib/archive.svelte'
import { mjdDate, number, unitText } from '../lib/format'

export interface Scale {
  unit: string
  text: (x: number) => string
}

export function scaleOf(column: string, unit: string | null | undefined): Scale {
  if (overview.column(column)?.kind === 'time') return { unit: '', text: mjdDate }
  if (unit === 'm' && /^em_(min|max)$/.test(column)) return { unit: 'Å', text: (x) => number(x * 1e10, '', 4) }
  return { unit: unitText(unit), text: (x) => number(x, '', 3) }
}
