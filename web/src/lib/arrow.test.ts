import { columnFromArray, dictionary, float32, float64, int32, list, tableFromColumns, tableToIPC, utf8, type DataType } from '@uwdata/flechette'
import { describe, expect, it } from 'vitest'
import { readTable } from './arrow'

function table(columns: Record<string, [unknown[], DataType]>) {
  const made = Object.entries(columns).map(([name, [values, type]]) => [name, columnFromArray(values, type)] as [string, any])
  return readTable(tableToIPC(tableFromColumns(made), { format: 'stream' })!)
}

describe('Arrow answers', () => {
  it('give numbers as typed arrays, no value as NaN', () => {
    const answer = table({ row: [[1, 2, 3], int32()], snr: [[1.5, null, 2], float32()], t: [[1, 2, 3], float64()], n: [[1, null, 3], int32()] })
    expect(answer.rows).toBe(3)
    expect(answer.numbers('row')).toEqual(Int32Array.of(1, 2, 3))
    expect([...answer.numbers('snr')]).toEqual([1.5, NaN, 2])
    expect(answer.numbers('t')).toBeInstanceOf(Float64Array)
    expect([...answer.numbers('n')]).toEqual([1, NaN, 3])
    expect(answer.isCategory('snr')).toBe(false)
  })

  it('give text as codes, no value as −1', () => {
    for (const type of [utf8(), dictionary(utf8(), int32())]) {
      const { codes, values } = table({ class: [['STAR', null, 'QSO', 'STAR'], type] }).category('class')
      expect([...codes].map((code) => (code < 0 ? null : values[code]))).toEqual(['STAR', null, 'QSO', 'STAR'])
    }
    expect(table({ class: [['a', 'b'], dictionary(utf8(), int32())] }).isCategory('class')).toBe(true)
    expect(table({ class: [['a', 'b'], utf8()] }).isCategory('class')).toBe(true)
  })

  it('give lists, empty ones and none', () => {
    const lists = table({ flux: [[[1, 2], [], null], list(float32())] }).lists('flux')
    expect(lists.map((one) => [...one])).toEqual([[1, 2], [], []])
  })

  it('have nothing to say about columns that are not there', () => {
    const answer = table({ row: [[1], int32()] })
    expect(() => answer.numbers('x')).toThrow('it has row')
    expect(answer.meta('stack')).toBeNull()
    expect(answer.field('row')).toEqual({ unit: '', about: '', ucd: '' })
  })

  it('may be empty', () => {
    const answer = table({ row: [[], int32()], class: [[], utf8()] })
    expect(answer.rows).toBe(0)
    expect(answer.numbers('row').length).toBe(0)
    expect(answer.category('class').codes.length).toBe(0)
  })
})
