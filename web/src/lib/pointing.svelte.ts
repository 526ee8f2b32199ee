/**
 * Pointing at one object, to and from other programs: as small as a bell, so that screens need not
 * load what speaks to those programs.
 */
import type { Mark } from './marked.svelte'

class Pointing {
  /** What another program points at; a new value each time. */
  heard = $state.raw<Mark | null>(null)
  #told: ((row: number) => void) | null = null

  /** Somebody chose this row in this page: clicked it, went to it with the keys, opened it. */
  chose(row: number): void {
    this.#told?.(row)
  }

  /** Who is told; null for nobody. */
  tell(told: ((row: number) => void) | null): void {
    this.#told = told
  }
}

export const pointing = new Pointing()
