import { describe, expect, it } from 'vitest'
import { bytes, columnTitle, coordinates, degrees, duration, mjdDate, number, percent, unitText, value } from './format'

describe('text of', () => {
  it('numbers', () => {
    expect([0, 1, -2.5, 12345.678, 0.00012345, 1.5e9, -Infinity, NaN, null].map((x) => number(x))).toEqual(['0', '1', '−2.5', '12346', '1.23e−4', '1.5e9', '−∞', '–', '–'])
    expect(number(5800.4, 'K')).toBe('5800 K')
    expect(value(true)).toBe('yes')
    expect(value('<b>')).toBe('<b>')
  })

  it('places, where 59.99 never becomes 60', () => {
    expect(coordinates(160.25833, -59.68444)).toBe('10 41 02.0 −59 41 04')
    expect(coordinates(359.99999, 89.99999)).toBe('00 00 00.0 +90 00 00')
    expect(coordinates(null, 3)).toBe('–')
    expect(degrees(-1.5, 1)).toBe('−1.5°')
  })

  it('times', () => {
    expect(mjdDate(51544)).toBe('2000-01-01')
    expect(mjdDate(51544.75, true)).toBe('2000-01-01 18:00')
    expect(mjdDate(1e20)).toBe('–')
    expect(duration(75)).toBe('1 min 15 s')
  })

  it('sizes, shares, units and columns', () => {
    expect(bytes(1_500)).toBe('1.5 kB')
    expect(percent(0.034)).toBe('3.4 %')
    expect(unitText('log(cm.s**-2)')).toBe('log(cm s⁻²)')
    expect(unitText('W.m**-2.nm**-1')).toBe('W m⁻² nm⁻¹')
    expect(unitText('10**(-17)erg/s/cm**2/Angstrom')).toBe('10⁻¹⁷erg/s/cm²/Å')
    expect(columnTitle('sdss.sub_class')).toBe('sub class (sdss)')
  })
})
