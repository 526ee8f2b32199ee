/** Arrow answers as plain typed arrays: no objects per row, no copy where one batch came. */
import { tableFromIPC, type Column } from '@uwdata/flechette'

export type Numbers = Float32Array | Float64Array | Int32Array | Uint8Array
/** codes index `values`; -1 is "no value". */
export interface Category {
  codes: Int32Array
  values: string[]
}

interface DictionaryPart {
  length: number
  nullCount: number
  values: ArrayLike<number>
  validity?: Uint8Array
  dictionary: Column<unknown>
}

export class Table {
  #columns: Map<string, Column<unknown>>
  #fields: Map<string, Record<string, string>>
  #metadata: Map<string, string>
  readonly rows: number
  readonly names: string[]

  constructor(bytes: Uint8Array, readonly headers: Headers = new Headers()) {
    const table = tableFromIPC(bytes)
    this.rows = table.numRows
    this.names = table.schema.fields.map((field) => field.name)
    this.#metadata = table.schema.metadata ?? new Map()
    this.#columns = new Map(this.names.map((name, index) => [name, table.getChildAt(index) as Column<unknown>]))
    this.#fields = new Map(table.schema.fields.map((field) => [field.name, Object.fromEntries(field.metadata ?? [])]))
  }

  has(name: string): boolean {
    return this.#columns.has(name)
  }

  /** The schema metadata of that name, parsed as JSON; null when there is none. */
  meta<T = any>(name: string): T | null {
    const text = this.#metadata.get(name)
    return text === undefined ? null : (JSON.parse(text) as T)
  }

  /** Unit, description and UCD of a column, where the server says them. */
  field(name: string): { unit: string; about: string; ucd: string } {
    const { unit = '', about = '', ucd = '' } = this.#fields.get(name) ?? {}
    return { unit, about, ucd }
  }

  /** A number column; "no value" is NaN (an integer column with gaps comes as Float64Array). */
  numbers(name: string): Numbers {
    const column = this.#column(name)
    const values = column.length ? column.toArray() : new Float64Array(0)
    if (!Array.isArray(values)) return values as Numbers
    const out = new Float64Array(values.length)
    for (let i = 0; i < out.length; i++) out[i] = values[i] === null ? NaN : Number(values[i])
    return out
  }

  /** True for text, booleans and dictionaries: use `category`; false: use `numbers`. */
  isCategory(name: string): boolean {
    const part = this.#column(name).data[0] as Partial<DictionaryPart> | undefined
    if (!part) return false
    if (part.dictionary) return true
    const first = this.#firstValue(name)
    return typeof first === 'string' || typeof first === 'boolean'
  }

  /** A text or yes/no column as codes into its distinct values. */
  category(name: string): Category {
    const parts = this.#column(name).data as unknown as DictionaryPart[]
    if (parts.length === 1 && parts[0].dictionary) return codesOf(parts[0])
    const seen = new Map<string, number>()
    const codes = new Int32Array(this.rows)
    let index = 0
    for (const value of this.#column(name)) {
      codes[index++] = value === null || value === undefined ? -1 : codeFor(seen, String(value))
    }
    return { codes, values: [...seen.keys()] }
  }

  /** A list column: one Float32Array a row (null lists are empty). */
  lists(name: string): Float32Array[] {
    const out: Float32Array[] = []
    for (const value of this.#column(name)) out.push(floats(value))
    return out
  }

  /** A text column, one string a row; null stays null. */
  texts(name: string): (string | null)[] {
    return Array.from(this.#column(name), (value) => (value === null || value === undefined ? null : String(value)))
  }

  #firstValue(name: string): unknown {
    for (const value of this.#column(name)) if (value !== null && value !== undefined) return value
    return null
  }

  #column(name: string): Column<unknown> {
    const column = this.#columns.get(name)
    if (!column) throw new Error(`The answer has no column ${name}; it has ${this.names.join(', ')}.`)
    return column
  }
}

function codesOf(part: DictionaryPart): Category {
  const codes = Int32Array.from(part.values).subarray(0, part.length)
  if (part.nullCount && part.validity) {
    for (let i = 0; i < codes.length; i++) if (!(part.validity[i >> 3] & (1 << (i & 7)))) codes[i] = -1
  }
  return { codes, values: Array.from(part.dictionary, String) }
}

function codeFor(seen: Map<string, number>, value: string): number {
  let code = seen.get(value)
  if (code === undefined) seen.set(value, (code = seen.size))
  return code
}

function floats(value: unknown): Float32Array {
  if (value === null || value === undefined) return new Float32Array(0)
  if (value instanceof Float32Array) return value
  return Float32Array.from(value as ArrayLike<number>, (x) => (x === null ? NaN : x))
}

export function readTable(bytes: Uint8Array, headers?: Headers): Table {
  return new Table(bytes, headers)
}
