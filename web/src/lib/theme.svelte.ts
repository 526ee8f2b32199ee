export type Choice = 'dark' | 'light' | 'system'
const KEPT = 'spectrarium.theme'
const CHOICES: Choice[] = ['system', 'dark', 'light']

/** Dark or light: the visitor's choice, kept in this browser; else what the system says. */
class Theme {
  choice = $state<Choice>('system')
  dark = $state(true)
  #media = typeof matchMedia === 'function' ? matchMedia('(prefers-color-scheme: dark)') : null

  start(): void {
    const kept = read()
    if (kept && CHOICES.includes(kept)) this.choice = kept
    this.#media?.addEventListener('change', () => this.#apply())
    this.#apply()
  }

  set(choice: Choice): void {
    this.choice = choice
    try {
      localStorage.setItem(KEPT, choice)
    } catch {
      // Storage is off: the choice holds for this page only.
    }
    this.#apply()
  }

  next(): void {
    this.set(CHOICES[(CHOICES.indexOf(this.choice) + 1) % CHOICES.length])
  }

  #apply(): void {
    this.dark = this.choice === 'system' ? (this.#media?.matches ?? true) : this.choice === 'dark'
    document.documentElement.dataset.theme = this.dark ? 'dark' : 'light'
  }
}

function read(): Choice | null {
  try {
    return localStorage.getItem(KEPT) as Choice | null
  } catch {
    return null
  }
}

export const theme = new Theme()
