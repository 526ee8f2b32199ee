/** Everything that goes to the server and comes back. Reads only; writes go through `writes`. */
import { readTable, type Table } from './arrow'
import { version } from './version.svelte'

export { version }

type Value = string | number | boolean | null | undefined
export type Params = Record<string, Value | readonly (string | number)[]>

/** What went wrong, where and what to do: the server's own words, or ours when it is not there. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly what: string,
    readonly where = '',
    readonly remedy = '',
  ) {
    super(what)
    this.name = 'ApiError'
  }

  /** The same request may succeed later: no answer at all, or the server said "try again". */
  get passing(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504
  }
}

/** True for a request that we ourselves stopped because its answer is no longer wanted. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

/** Whatever was thrown, as an ApiError that can be shown. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new ApiError(-1, 'page_error', text, 'in this page', 'Reload the page; if it comes back, report it.')
}

/** The address of an API call: `/api` + path + query; empty values are left out, lists joined by commas. */
export function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined || value === '' || value === false) continue
    query.set(name, Array.isArray(value) ? value.join(',') : String(value === true ? 1 : value))
  }
  const text = query.toString()
  return `/api${path}${text ? `?${text}` : ''}`
}

async function failure(response: Response): Promise<ApiError> {
  try {
    const { error } = await response.json()
    return new ApiError(response.status, error.code, error.what, error.where ?? '', error.remedy ?? '')
  } catch {
    return new ApiError(response.status, `http_${response.status}`, `The server answered ${response.status} ${response.statusText}.`)
  }
}

/** The raw answer; throws ApiError for any answer that is not a success. */
export async function ask(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, { credentials: 'same-origin', ...init })
  } catch (error) {
    if (isAbort(error)) throw error
    throw new ApiError(0, 'unreachable', 'The server does not answer.', location.host, 'Is "spectrarium serve" still running?')
  }
  version.note(response.headers.get('X-Spectrarium-Version'))
  if (response.ok) return response
  const error = await failure(response)
  if (error.code === 'stale_version') version.stale = true
  if (error.code === 'sign_in') version.signedOut = true
  throw error
}

/** Rows mean other objects in another version: whoever names rows also says of which version. */
function dated(params: Params = {}, rows: unknown = params.rows): Params {
  return rows === undefined || rows === null || 'version' in params ? params : { ...params, version: version.open }
}

export async function getJSON<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  return (await ask(address(path, dated(params)), { signal })).json()
}

export async function getArrow(path: string, params?: Params, signal?: AbortSignal): Promise<Table> {
  return table(await ask(address(path, dated(params)), { signal }))
}

/** POST that only reads (a stack, a comparison): the question is too long for an address. */
export async function postArrow(path: string, body: unknown, signal?: AbortSignal): Promise<Table> {
  return table(await post(path, body, signal))
}

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const headers = { 'Content-Type': 'application/json', 'X-Spectrarium': '1' }
  const { rows, version: own } = (body ?? {}) as { rows?: unknown; version?: unknown }
  return ask(address(path, own === undefined ? dated({}, rows) : {}), { method: 'POST', headers, body: JSON.stringify(body), signal })
}

async function table(response: Response): Promise<Table> {
  return readTable(new Uint8Array(await response.arrayBuffer()), response.headers)
}

/** One write, once. `key` makes a repeat harmless: the server does it once and answers the same. */
export async function sendJSON<T>(method: string, path: string, body?: unknown, options: { key?: string; signal?: AbortSignal } = {}): Promise<T> {
  const headers: Record<string, string> = { 'X-Spectrarium': '1' }
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (options.key) headers['Idempotency-Key'] = options.key
  const response = await ask(address(path), {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: options.signal,
  })
  const text = await response.text()
  return (text ? JSON.parse(text) : null) as T
}

/** Saves what a POST answers (an export) as a file of this name. */
export async function download(path: string, body: unknown, fallbackName: string): Promise<void> {
  const response = await post(path, body)
  const named = /filename="?([^";]+)"?/.exec(response.headers.get('Content-Disposition') ?? '')
  const url = URL.createObjectURL(await response.blob())
  const anchor = document.createElement('a')
  anchor.href = url
  anchor.download = named?.[1] ?? fallbackName
  anchor.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000) // the browser reads it after the click returns
}
