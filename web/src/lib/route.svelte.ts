/** Where the page is: screen, object and parameters, always equal to the address bar. */
import { format, parse, type Place, type Query, type Screen } from './address'

export { SCREENS, type Screen } from './address'
type Patch = Record<string, string | number | null | undefined>

const REST_MS = 200 // browsers refuse more than a few address changes a second

class Route {
  #place = $state.raw<Place>({ screen: 'home', id: null, params: {} })
  #timer: ReturnType<typeof setTimeout> | null = null

  get screen(): Screen {
    return this.#place.screen
  }

  get id(): string | null {
    return this.#place.id
  }

  get params(): Query {
    return this.#place.params
  }

  /** The address of the current place. */
  get here(): string {
    return format(this.#place)
  }

  start(): void {
    this.#read()
    addEventListener('popstate', () => {
      this.#cancel()
      this.#read()
    })
    addEventListener('pagehide', () => this.#flush())
    document.addEventListener('click', follow)
  }

  /** Goes to a screen as a new step of the browser's history. */
  go(screen: Screen, to: { id?: string | null; params?: Patch } = {}): void {
    this.open(format({ screen, ...to }))
  }

  open(href: string): void {
    this.#flush()
    if (href !== location.pathname + location.search) history.pushState(null, '', href)
    this.#read()
  }

  /** Changes parameters of this screen; null or '' removes one. `replace` makes no step for Back. */
  set(patch: Patch, options: { replace?: boolean } = {}): void {
    const params: Query = { ...this.#place.params }
    for (const [name, value] of Object.entries(patch)) {
      if (value === null || value === undefined || value === '') delete params[name]
      else params[name] = String(value)
    }
    if (!options.replace) {
      this.open(format({ ...this.#place, params }))
      return
    }
    this.#place = { ...this.#place, params }
    this.#timer ??= setTimeout(() => this.#flush(), REST_MS)
  }

  #read(): void {
    this.#place = parse(location.pathname, location.search)
  }

  #cancel(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
  }

  #flush(): void {
    if (!this.#timer) return
    this.#cancel()
    history.replaceState(null, '', format(this.#place))
  }
}

/** Any plain click on a link into the page stays in the page; the server's own files do not. */
function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const anchor = (event.target as Element | null)?.closest?.('a[href]') as HTMLAnchorElement | null
  if (!anchor || anchor.target || anchor.hasAttribute('download') || anchor.origin !== location.origin) return
  if (anchor.pathname.startsWith('/api/') || anchor.pathname.startsWith('/assets/') || anchor.hash) return
  event.preventDefault()
  route.open(anchor.pathname + anchor.search)
}

export const route = new Route()

export function go(screen: Screen, to?: { id?: string | null; params?: Patch }): void {
  route.go(screen, to)
}

export function set(patch: Patch, options?: { replace?: boolean }): void {
  route.set(patch, options)
}

/** The address of a place, for `<a href>`. */
export function href(screen: Screen, to: { id?: string | null; params?: Patch } = {}): string {
  return format({ screen, ...to })
}
