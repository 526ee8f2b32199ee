import { describe, expect, it } from 'vitest'
import { headersFor, missing, refusal } from './upload'

describe('refusal', () => {
  it('says the limit before anything is sent', () => {
    const found = refusal({ name: 'big.fits', size: 100e6 }, 64e6)
    expect(found?.code).toBe('too_large')
    expect(found?.what).toContain('100 MB')
    expect(found?.what).toContain('64 MB')
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
