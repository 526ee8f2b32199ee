/** Addresses of the page as values, both ways. Pure, so that a test can walk them. */
export type Screen = 'home' | 'map' | 'object' | 'outliers' | 'compare' | 'jobs'
export const SCREENS: Screen[] = ['home', 'map', 'object', 'outliers', 'compare', 'jobs']
export type Query = Record<string, string>

export interface Place {
  screen: Screen
  id: string | null
  params: Query
}

export function parse(pathname: string, search: string): Place {
  const [, first = '', ...rest] = pathname.split('/')
  const screen = first === '' ? 'home' : (first as Screen)
  const known = SCREENS.includes(screen) ? screen : 'home'
  const id = known === 'object' && rest.length ? decode(rest.join('/')) : null
  return { screen: known, id, params: Object.fromEntries(new URLSearchParams(search)) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a stray % typed by hand is part of the id
  }
}

export function format(place: { screen: Screen; id?: string | null; params?: Record<string, string | number | null | undefined> }): string {
  const path = place.screen === 'home' ? '/' : `/${place.screen}${place.id ? `/${encodeURIComponent(place.id)}` : ''}`
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(place.params ?? {})) {
    if (value !== null && value !== undefined && value !== '') query.set(name, String(value))
  }
  // Readable where the standard allows it: "1:map:pca" rather than "1%3Amap%3Apca".
  const text = query.toString().replace(/%3A/g, ':').replace(/%2C/g, ',')
  return text ? `${path}?${text}` : path
}
