/**
 * Keys of the page: registered by what is on screen, listed by `?`.
 *
 * They work wherever the focus is, except in text fields. A control that has its own use of a
 * key (Enter on a button, arrows in a slider or a menu) keeps it.
 */
import { untrack } from 'svelte'
import { pressed, sequence } from './chord'

export interface Binding {
  /** One chord, a sequence ("g m"), or several that do the same. Names as in KeyboardEvent.key. */
  keys: string | string[]
  /** What it does, as the help says it. */
  about: string
  run: (event: KeyboardEvent) => void
  /** Also while typing in a text field (for Escape, Mod+Enter). */
  typing?: boolean
  /** Not listed and not run now. */
  when?: () => boolean
}

interface Group {
  scope: string
  bindings: Binding[]
  floor: number
}

const SEQUENCE_MS = 1200

class Keys {
  #groups = $state.raw<Group[]>([])
  #floor = $state(0) // raised by an open dialog: what lies under it is out of reach
  #begun: string[] = []
  #timer: ReturnType<typeof setTimeout> | null = null

  start(): void {
    document.addEventListener('keydown', (event) => this.handle(event))
  }

  /** Adds keys under a heading; the returned function removes them. Made to be an effect's result. */
  add(scope: string, bindings: Binding[]): () => void {
    return untrack(() => {
      const group: Group = { scope, bindings, floor: this.#floor }
      if (import.meta.env?.DEV) this.#warn(group)
      this.#groups = [...this.#groups, group]
      return () => {
        this.#groups = this.#groups.filter((one) => one !== group)
      }
    })
  }

  /** Puts every key that is there now out of reach until the returned function is called. */
  block(): () => void {
    return untrack(() => {
      this.#floor += 1
      let open = true
      return () => {
        if (open) this.#floor -= 1
        open = false
      }
    })
  }

  /** What is active now, by heading, for the help. */
  get active(): { scope: string; bindings: Binding[] }[] {
    const merged = new Map<string, Binding[]>()
    for (const { scope, bindings } of this.#groups) {
      const usable = bindings.filter((one) => one.when?.() ?? true)
      if (usable.length) merged.set(scope, [...(merged.get(scope) ?? []), ...usable])
    }
    return [...merged].map(([scope, bindings]) => ({ scope, bindings }))
  }

  handle(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.isComposing || ['Shift', 'Control', 'Alt', 'Meta'].includes(event.key)) return
    const name = pressed(event)
    const typing = isText(event.target)
    if (!typing && ownUse(event.target, name)) return
    const tried = [...this.#begun, name]
    const found = this.#find(tried, typing) ?? (tried.length > 1 ? this.#find([name], typing) : null)
    this.#begin([])
    if (found) {
      event.preventDefault()
      found.run(event)
    } else if (!typing && this.#isBeginning(tried)) {
      event.preventDefault()
      this.#begin(tried)
    }
  }

  #begin(presses: string[]): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#begun = presses
    this.#timer = presses.length ? setTimeout(() => this.#begin([]), SEQUENCE_MS) : null
  }

  #reachable(typing: boolean): Binding[] {
    return this.#groups
      .filter((group) => group.floor >= this.#floor)
      .flatMap((group) => group.bindings)
      .filter((one) => (!typing || one.typing) && (one.when?.() ?? true))
      .reverse() // what came last (a dialog, a screen) goes before what was there
  }

  #find(presses: string[], typing: boolean): Binding | null {
    const wanted = presses.join(' ')
    return this.#reachable(typing).find((one) => names(one).includes(wanted)) ?? null
  }

  #isBeginning(presses: string[]): boolean {
    const begun = `${presses.join(' ')} `
    return this.#reachable(false).some((one) => names(one).some((text) => text.startsWith(begun)))
  }

  #warn(group: Group): void {
    const taken = new Map(this.#reachable(false).flatMap((one) => names(one).map((name) => [name, one.about])))
    for (const one of group.bindings) {
      for (const name of names(one)) {
        if (taken.has(name)) console.warn(`Key ${name}: "${one.about}" hides "${taken.get(name)}"`)
      }
    }
  }
}

function names(binding: Binding): string[] {
  const list = Array.isArray(binding.keys) ? binding.keys : [binding.keys]
  return list.map((text) => sequence(text).join(' '))
}

const NOT_TEXT = new Set(['button', 'checkbox', 'radio', 'range', 'color', 'file', 'submit', 'reset', 'image'])

function isText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return !NOT_TEXT.has(target.type)
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable
}

const MOVES = new Set(['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End', 'PageUp', 'PageDown'])

/** Keys that the focused control answers itself. */
function ownUse(target: EventTarget | null, name: string): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (name === 'Enter' || name === 'Space') {
    return target.matches('button, a[href], summary, input, [role=button], [role=tab], [role=menuitem], [role=switch], [role=checkbox]')
  }
  if (MOVES.has(name)) return target.matches('input[type=range], input[type=radio], [role=tab], [role=menuitem], [role=slider]')
  return false
}

export const keys = new Keys()
