/** Key names as written in bindings ("Shift+x", "Mod+z", "g m") and as pressed. Pure. */

export interface Press {
  key: string
  ctrlKey: boolean
  metaKey: boolean
  altKey: boolean
  shiftKey: boolean
}

/** The name of a pressed key: "x", "Shift+X" never ("Shift+x"), "?" (Shift is part of it), "Mod+z". */
export function pressed(press: Press): string {
  const letter = press.key.length === 1
  const key = press.key === ' ' ? 'Space' : letter ? press.key.toLowerCase() : press.key
  // For signs Shift only chooses the sign; for letters and named keys it is a key of its own.
  const shift = press.shiftKey && (!letter || /[a-z]/.test(key))
  return `${press.ctrlKey || press.metaKey ? 'Mod+' : ''}${press.altKey ? 'Alt+' : ''}${shift ? 'Shift+' : ''}${key}`
}

/** A binding's text as its list of presses: "g m" is two. */
export function sequence(keys: string): string[] {
  return keys.trim().split(/\s+/)
}

const SHOWN: Record<string, string> = {
  ArrowUp: '↑', ArrowDown: '↓', ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc', Delete: 'Del', PageUp: 'PgUp', PageDown: 'PgDn',
}
const MAC: Record<string, string> = { Mod: '⌘', Shift: '⇧', Alt: '⌥' }
const OTHER: Record<string, string> = { Mod: 'Ctrl' }

/** A binding's text for people: "Mod+z" → "Ctrl+Z" (or "⌘Z"), "g m" → "g m". */
export function shown(keys: string, mac = false): string {
  return sequence(keys)
    .map((chord) => {
      const parts = chord.split(/\+(?=.)/)
      const key = parts.pop()!
      const held = parts.map((part) => (mac ? MAC : OTHER)[part] ?? part)
      return [...held, SHOWN[key] ?? (held.length ? key.toUpperCase().slice(0, 1) + key.slice(1) : key)].join(mac ? '' : '+')
    })
    .join(' ')
}
