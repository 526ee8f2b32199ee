import { describe, expect, it, vi } from 'vitest'
import { pressed, sequence, shown } from './chord'
import { keys } from './keys.svelte'

vi.stubGlobal('HTMLElement', class {})
vi.stubGlobal('HTMLInputElement', class {})
vi.stubGlobal('HTMLTextAreaElement', class {})
vi.stubGlobal('HTMLSelectElement', class {})

const press = (key: string, held: Partial<KeyboardEvent> = {}) =>
  ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, target: null, preventDefault: vi.fn(), ...held }) as unknown as KeyboardEvent

describe('key names', () => {
  it('say Shift for letters and named keys, not for signs', () => {
    expect(pressed(press('X', { shiftKey: true }))).toBe('Shift+x')
    expect(pressed(press('?', { shiftKey: true }))).toBe('?')
    expect(pressed(press('ArrowDown', { shiftKey: true }))).toBe('Shift+ArrowDown')
    expect(pressed(press('z', { metaKey: true }))).toBe('Mod+z')
    expect(pressed(press(' '))).toBe('Space')
  })

  it('are shown as people know them', () => {
    expect(shown('Mod+Shift+z')).toBe('Ctrl+Shift+Z')
    expect(shown('Mod+z', true)).toBe('⌘Z')
    expect(shown('g m')).toBe('g m')
    expect(shown('+')).toBe('+')
    expect(sequence(' g  m ')).toEqual(['g', 'm'])
  })
})

describe('keys', () => {
  it('run what was registered, until it is removed', () => {
    const run = vi.fn()
    const remove = keys.add('A', [{ keys: ['j', 'ArrowDown'], about: 'next', run }])
    keys.handle(press('j'))
    keys.handle(press('ArrowDown'))
    remove()
    keys.handle(press('j'))
    expect(run).toHaveBeenCalledTimes(2)
  })

  it('come in sequences; a wrong second key is a key of its own', () => {
    const [map, m, x] = [vi.fn(), vi.fn(), vi.fn()]
    const remove = keys.add('A', [
      { keys: 'g m', about: 'map', run: map },
      { keys: 'm', about: 'm', run: m },
      { keys: 'x', about: 'x', run: x },
    ])
    for (const key of ['g', 'm', 'm', 'g', 'x']) keys.handle(press(key))
    expect([map, m, x].map((f) => f.mock.calls.length)).toEqual([1, 1, 1])
    remove()
  })

  it('under a dialog are out of reach', () => {
    const [under, over] = [vi.fn(), vi.fn()]
    const remove = keys.add('Under', [{ keys: 'a', about: '', run: under }])
    const release = keys.block()
    const removeOver = keys.add('Over', [{ keys: 'b', about: '', run: over }])
    keys.handle(press('a'))
    keys.handle(press('b'))
    release()
    removeOver()
    keys.handle(press('a'))
    expect([under, over].map((f) => f.mock.calls.length)).toEqual([1, 1])
    remove()
  })

  it('listed for the help are those that can be used now', () => {
    let can = false
    const remove = keys.add('A', [{ keys: 'a', about: 'if', run: () => {}, when: () => can }])
    expect(keys.active.some((group) => group.scope === 'A')).toBe(false)
    can = true
    expect(keys.active.find((group) => group.scope === 'A')?.bindings.length).toBe(1)
    remove()
  })
})
