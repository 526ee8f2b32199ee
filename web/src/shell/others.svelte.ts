/** Whether "Send to …" is open: asked for by a menu, a key or a button of any screen. */
class Others {
  shown = $state(false)
  /** It was asked for once: what speaks to other programs is loaded then, and stays. */
  wanted = $state(false)

  open(): void {
    this.wanted = this.shown = true
  }

  close(): void {
    this.shown = false
  }
}

export const others = new Others()
