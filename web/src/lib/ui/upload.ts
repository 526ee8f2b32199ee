/** Sending a file of spectra to be looked at, and what to declare where it leaves things out. */
import { ApiError, version } from '../api'
import { bytes } from '../format'

export interface Uploaded {
  token: string
  name: string
  spectra: UploadedSpectrum[]
  problems: UploadProblem[]
  notes: string[]
}
export interface UploadedSpectrum {
  id: string
  title: string
  n: number
  lo_aa: number | null
  hi_aa: number | null
  snr: number | null
}
export interface UploadProblem {
  code: string
  what: string
  where?: string
  remedy?: string
}

export type Field = 'wave_unit' | 'flux_unit' | 'medium'
export type Declared = Partial<Record<Field, string>>

const HEADERS: Record<Field, string> = { wave_unit: 'X-Wave-Unit', flux_unit: 'X-Flux-Unit', medium: 'X-Medium' }
/** Problems that a declaration may mend. */
const MENDED: Record<string, Field[]> = {
  no_wave_unit: ['wave_unit'],
  bad_wave_unit: ['wave_unit'],
  unknown_sampling: ['wave_unit'],
  no_flux_unit: ['flux_unit'],
  bad_flux_unit: ['flux_unit'],
  no_medium: ['medium'],
  bad_medium: ['medium'],
}

/** Fields to ask for, after these problems. */
export function missing(problems: readonly Pick<UploadProblem, 'code'>[]): Field[] {
  const wanted = new Set(problems.flatMap((p) => MENDED[p.code] ?? []))
  return (['wave_unit', 'flux_unit', 'medium'] as const).filter((f) => wanted.has(f))
}

/** Why this file need not be sent; null where nothing speaks against it. */
export function refusal(file: { name: string; size: number }, limit: number): UploadProblem | null {
  if (file.size === 0) {
    return { code: 'empty_file', what: 'The file is empty.', where: file.name, remedy: 'Choose another file.' }
  }
  if (limit > 0 && file.size > limit) {
    return {
      code: 'too_large',
      what: `The file has ${bytes(file.size)}; files up to ${bytes(limit)} can be looked at here.`,
      where: file.name,
      remedy: 'Ingest it into the archive instead: spectrarium ingest FILE',
    }
  }
  return null
}

/** Header values are Latin-1: names and units (Å) travel percent-encoded. */
export function headersFor(file: { name: string }, declared: Declared): Record<string, string> {
  const out: Record<string, string> = {
    'Content-Type': 'application/octet-stream',
    'X-Spectrarium': '1',
    'X-Filename': encodeURIComponent(file.name),
  }
  for (const field of Object.keys(HEADERS) as Field[]) {
    const value = declared[field]?.trim()
    if (value) out[HEADERS[field]] = encodeURIComponent(value)
  }
  return out
}

/** One upload; `fetch` does not tell how much is sent, so this is an XMLHttpRequest. */
export function send(
  file: File,
  declared: Declared,
  progress: (share: number) => void,
  signal: AbortSignal,
): Promise<Uploaded> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', '/api/upload')
    for (const [name, value] of Object.entries(headersFor(file, declared))) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total)
    request.onload = () => {
      version.note(request.getResponseHeader('X-Spectrarium-Version'))
      settle(request.status, request.responseText, resolve, reject)
    }
    request.onerror = () =>
      reject(new ApiError(0, 'unreachable', 'The server does not answer.', location.host, 'Is "spectrarium serve" still running?'))
    request.onabort = () => reject(new DOMException('cancelled', 'AbortError'))
    signal.addEventListener('abort', () => request.abort(), { once: true })
    request.send(file)
  })
}

function settle(status: number, text: string, resolve: (v: Uploaded) => void, reject: (e: unknown) => void): void {
  try {
    const answer = JSON.parse(text)
    if (status < 300) return resolve(answer)
    const { code, what, where, remedy } = answer.error
    reject(new ApiError(status, code, what, where ?? '', remedy ?? ''))
  } catch {
    reject(new ApiError(status, `http_${status}`, `The server answered ${status}.`))
  }
}
