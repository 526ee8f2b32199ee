import { describe, expect, it } from 'vitest'
import { BLANK, lacking, params, reasonAgainst } from './kinds'

const overview = { user: { name: 'x', rights: ['operate'], signed_in: true }, writable: true, embeddings: [{ name: 'pca', encoder: 'pca', count: 5 }] }

describe('who may start what', () => {
  it('lets everyone select and stack, and only operators write', () => {
    const guest = { ...overview, user: { ...overview.user, rights: [] } }
    expect(reasonAgainst('select', guest)).toBeNull()
    expect(reasonAgainst('stack', guest)).toBeNull()
    expect(reasonAgainst('score', guest)).toMatch(/operator/)
    expect(reasonAgainst('map', overview)).toBeNull()
    expect(reasonAgainst('map', { ...overview, writable: false })).toMatch(/read/)
    expect(reasonAgainst('score', { ...overview, embeddings: [] })).toMatch(/embed/)
    expect(reasonAgainst('score', null)).not.toBeNull()
  })
})

describe('forms', () => {
  it('say what is missing', () => {
    expect(lacking('stack', BLANK, 0, 2000)).toMatch(/Select/)
    expect(lacking('stack', BLANK, 3, 2000)).toMatch(/2,000/)
    expect(lacking('stack', BLANK, 2001, 2000)).toBeNull()
    expect(lacking('select', { ...BLANK, where: 'snr > 3' }, 0, 1)).toMatch(/name/)
    expect(lacking('select', { ...BLANK, name: 'x' }, 0, 1)).toMatch(/filter/)
    expect(lacking('select', { ...BLANK, name: 'x', where: 'snr > 3' }, 0, 1)).toBeNull()
    expect(lacking('select', { ...BLANK, name: 'x', from: 'similar', id: 'a:b', k: 0 }, 0, 1)).toMatch(/How many/)
    expect(lacking('score', { ...BLANK, score: 'label' }, 0, 1)).not.toBeNull()
    expect(lacking('map', { ...BLANK, seed: 'x' }, 0, 1)).not.toBeNull()
  })
  it('send only what was said', () => {
    const sent = (kind: Parameters<typeof params>[0], a: Partial<typeof BLANK>) => JSON.parse(JSON.stringify(params(kind, { ...BLANK, ...a }, [4, 9])))
    expect(sent('stack', {})).toEqual({ rows: [4, 9], exact: true })
    expect(sent('score', {})).toEqual({ score: 'combined' })
    expect(sent('map', { seed: '7' })).toEqual({ method: 'umap', seed: 7 })
    expect(sent('select', { name: ' kin ', from: 'similar', id: ' a:b ', k: 5 })).toEqual({ name: 'kin', similar: { id: 'a:b', k: 5 } })
  })
})
