/** What the frame of the page knows: its screens, their keys, and the keys that work everywhere. */
import type { Binding } from '../lib/keys.svelte'
import { acts } from '../lib/history.svelte'
import { asApiError } from '../lib/api'
import { marked } from '../lib/marked.svelte'
import { go, route, SCREENS, type Screen } from '../lib/route.svelte'
import { selection } from '../lib/selection.svelte'
import { theme } from '../lib/theme.svelte'
import { toast } from '../lib/ui/toasts.svelte'

export const TITLES: Record<Screen, string> = {
  home: 'Search',
  map: 'Map',
  object: 'Object',
  outliers: 'Outliers',
  compare: 'Compare',
  jobs: 'Jobs',
}

const LETTERS: Record<Screen, string> = { home: 's', map: 'm', object: 'o', outliers: 'u', compare: 'c', jobs: 'j' }

/** The last address of each screen, so that coming back finds it as it was left. */
const lastPlace = new Map<Screen, string>()

export function remember(): void {
  lastPlace.set(route.screen, route.here)
}

export function placeOf(screen: Screen): string {
  const last = lastPlace.get(screen)
  if (last) return last
  if (screen === 'object' && marked.id) return `/object/${encodeURIComponent(marked.id)}`
  return screen === 'home' ? '/' : `/${screen}`
}

function visit(screen: Screen): void {
  if (screen !== route.screen) route.open(placeOf(screen))
}

export async function undo(): Promise<void> {
  await said('Undone', () => acts.undo(), 'Nothing to undo')
}

export async function redo(): Promise<void> {
  await said('Done again', () => acts.redo(), 'Nothing to redo')
}

async function said(word: string, step: () => Promise<string | null>, nothing: string): Promise<void> {
  try {
    const what = await step()
    toast(what ? `${word}: ${what}` : nothing, { slot: 'undo' })
  } catch (error) {
    toast(asApiError(error).what, { tone: 'bad' })
  }
}

/** Puts the cursor into the search box, on the search screen if the present one has none. */
export function focusSearch(): void {
  const box = () => document.getElementById('search') as HTMLInputElement | null
  if (!box()) go('home')
  const wait = (tries: number): void => {
    const found = box()
    if (found) {
      found.focus()
      found.select()
    } else if (tries) setTimeout(() => wait(tries - 1), 30) // the screen is still being loaded
  }
  wait(50)
}

export function shellKeys(help: () => void): Binding[] {
  const screens = SCREENS.map((screen, index) => ({
    keys: [String(index + 1), `g ${LETTERS[screen]}`],
    about: `Go to ${TITLES[screen]}`,
    run: () => visit(screen),
  }))
  return [
    { keys: '/', about: 'Search', run: focusSearch },
    { keys: '?', about: 'This list of keys', run: help },
    ...screens,
    { keys: 'Mod+z', about: 'Undo', run: () => void undo() },
    { keys: ['Mod+Shift+z', 'Mod+y'], about: 'Redo', run: () => void redo() },
    { keys: 'Shift+d', about: 'Dark, light or as the system', run: () => theme.next() },
    { keys: 'Shift+Escape', about: 'Clear the selection', run: () => selection.clear(), when: () => selection.count > 0 },
    { keys: 'Escape', about: 'Leave the text field', typing: true, when: () => document.activeElement instanceof HTMLInputElement, run: () => (document.activeElement as HTMLElement).blur() },
  ]
}
