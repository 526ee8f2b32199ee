/** Which version of the archive answers come from, and what a refusal says of it. */
class Version {
  /** The newest that any answer of the server has named. */
  seen = $state(0)
  /** The one that rows on this page belong to. */
  open = $state(0)
  /** The server refused rows of ours: they belong to an older version. */
  stale = $state(false)
  /** The server no longer knows who we are. */
  signedOut = $state(false)

  note(header: string | null): void {
    const version = Number(header)
    if (version > this.seen) this.seen = version
  }
}

export const version = new Version()
