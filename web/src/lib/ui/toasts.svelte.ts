/** Short messages at the lower edge; those that can be undone say so. */
import { acts } from '../history.svelte'

export interface Toast {
  id: number
  text: string
  tone: 'plain' | 'good' | 'bad'
  /** Takes the place of an earlier one of the same name: of three undos only the last is shown. */
  slot?: string
  /** A button: its word and what it does. */
  action?: { label: string; run: () => void }
}

export type ToastOptions = Partial<Pick<Toast, 'tone' | 'action' | 'slot'>>

const SHOWN_MS = 6000
const SHOWN_BAD_MS = 15_000

class Toasts {
  list = $state.raw<Toast[]>([])
  #next = 1
  #timers = new Map<number, ReturnType<typeof setTimeout>>()

  add(text: string, options: ToastOptions = {}): void {
    const toast: Toast = { id: this.#next++, text, tone: options.tone ?? 'plain', action: options.action, slot: options.slot }
    const others = this.list.filter((one) => one.text !== text && (!toast.slot || one.slot !== toast.slot))
    this.list = [...others, toast].slice(-4)
    this.#run(toast)
  }

  dismiss(id: number): void {
    clearTimeout(this.#timers.get(id))
    this.list = this.list.filter((one) => one.id !== id)
  }

  /** While the pointer or the focus is on the toasts they stay. */
  hold(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }

  release(): void {
    for (const toast of this.list) this.#run(toast)
  }

  #run(toast: Toast): void {
    const time = toast.tone === 'bad' ? SHOWN_BAD_MS : SHOWN_MS
    this.#timers.set(toast.id, setTimeout(() => this.dismiss(toast.id), time))
  }
}

export const toasts = new Toasts()

/** Says something; `toast('Saved', {tone: 'good'})`. */
export function toast(text: string, options?: ToastOptions): void {
  toasts.add(text, options)
}

/** Says what was done, with a button that takes the last act back. */
export function toastUndo(text: string): void {
  toasts.add(text, { slot: 'undo', action: { label: 'Undo', run: () => void acts.undo() } })
}
