import { describe, expect, it } from 'vitest'
import { format, parse } from './address'

const round = (href: string) => {
  const url = new URL(href, 'http://x')
  return parse(url.pathname, url.search)
}

describe('addresses', () => {
  it('come back as they went, whatever is in an id', () => {
    for (const id of ['SDSS:0618-52049-0372', 'ODD:a/b c:d%2F?e#f', 'upload:abc:0', 'X:Δ&=+']) {
      const place = { screen: 'object' as const, id, params: { tab: 'similar', q: "a & b = 'c' + 1" } }
      expect(round(format(place))).toEqual(place)
    }
  })

  it('leave out what is not said', () => {
    expect(format({ screen: 'home', params: { q: '', where: null, page: undefined } })).toBe('/')
    expect(format({ screen: 'map', params: { v: '1:map:pca,2:s_ra:s_dec' } })).toBe('/map?v=1:map:pca,2:s_ra:s_dec')
  })

  it('that nobody knows lead home', () => {
    expect(round('/nowhere/x?q=1')).toEqual({ screen: 'home', id: null, params: { q: '1' } })
    expect(parse('/object/%E0%A4%A', '').id).toBe('%E0%A4%A')
  })
})
