/** Moves over a grid whose number of columns depends on the window. */

export type Move = 'left' | 'right' | 'up' | 'down' | 'home' | 'end' | 'pageup' | 'pagedown'

/** Where a move leads: never outside; from nowhere to the first. */
export function moved(at: number, move: Move, columns: number, count: number, rows = 3): number {
  if (count < 1) return -1
  if (at < 0) return 0
  const step: Record<Move, number> = {
    left: -1,
    right: 1,
    up: -columns,
    down: columns,
    home: -count,
    end: count,
    pageup: -columns * rows,
    pagedown: columns * rows,
  }
  const to = at + step[move]
  if (move === 'up' && to < 0) return at
  if (move === 'down' && to >= count) {
    // from the last full line into a shorter one: its last member
    const lastLine = Math.floor((count - 1) / columns)
    return Math.floor(at / columns) < lastLine ? count - 1 : at
  }
  return Math.min(count - 1, Math.max(0, to))
}

/** Columns of a grid of cells at least `least` px wide with `gap` px between. */
export function columnsIn(width: number, least: number, gap: number): number {
  return Math.max(1, Math.floor((width + gap) / (least + gap)))
}
