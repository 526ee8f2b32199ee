/** The newest archive version that any answer of the server has named. */
class Version {
  seen = $state(0)

  note(header: string | null): void {
    const version = Number(header)
    if (version > this.seen) this.seen = version
  }
}

export const version = new Version()
