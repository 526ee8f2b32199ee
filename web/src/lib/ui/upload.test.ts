import { describe, expect, it } from 'vitest'
import { bytes, headersFor, missing, refusal } from './upload'

describe('refusal', () => {
  it('says the limit before anything is sent', () => {
    const found = refusal({ name: 'big.fits', size: 100 * 2 ** 20 }, 64 * 2 ** 20)
    expect(found?.code).toBe('too_large')
    expect(found?.what).toContain('100 MiB')
    expect(found?.what).toContain('64 MiB')
  })
  it('takes what fits, and refuses what is empty', () => {
    expect(refusal({ name: 'a', size: 5 }, 10)).toBeNull()
    expect(refusal({ name: 'a', size: 0 }, 10)?.code).toBe('empty_file')
  })
})

it('asks for what the reader lacks, once', () => {
  expect(missing([{ code: 'no_wave_unit' }, { code: 'bad_wave_unit' }])).toEqual(['wave_unit'])
  expect(missing([{ code: 'bomb' }])).toEqual([])
})

it('sends names that headers cannot hold', () => {
  const headers = headersFor({ name: 'Hα\r\n.fits' }, { wave_unit: ' nm ', medium: '' })
  expect(headers['X-Filename']).toBe('H%CE%B1%0D%0A.fits')
  expect(headers['X-Wave-Unit']).toBe('nm')
  expect('X-Medium' in headers).toBe(false)
})

it('writes sizes', () => {
  expect([bytes(12), bytes(2048), bytes(1.5 * 2 ** 20), bytes(2 ** 30)]).toEqual(['12 bytes', '2 KiB', '1.5 MiB', '1 GiB'])
})
