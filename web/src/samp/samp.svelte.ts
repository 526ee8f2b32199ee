/** This page among the other programs of a desktop: connected only when somebody asked for it. */
import { fromParams, toParams } from '../home/query'
import { ApiError, asApiError, getJSON, sendJSON } from '../lib/api'
import { overview } from '../lib/archive.svelte'
import { coordinates, many } from '../lib/format'
import { marked } from '../lib/marked.svelte'
import { pointing } from '../lib/pointing.svelte'
import { go, route } from '../lib/route.svelte'
import { hasRow } from '../lib/rows'
import { selection } from '../lib/selection.svelte'
import { toast } from '../lib/ui/toasts.svelte'
import { HubError, toHub, WebHub, type Program, type Transport } from './hub'
import { asciiText, COMINGS, ENDS, POINT, pointMessage, pointOf, refusal, ROW, rowMessage, ROWS, rowsMessage, spectrumMessage, tableMessage, takes, type Message } from './messages'
import { Tables } from './tables'
import type { Value } from './xmlrpc'

/** One program's part of what was sent. */
export interface Delivery {
  program: string
  what: string
  state: 'waiting' | 'done' | 'refused'
  text: string
}

interface Handed {
  href: string
  title: string
}

interface HandedSpectrum extends Handed {
  meta: Record<string, string>
}

const TAKES = ['samp.app.ping', ROW, ROWS, POINT, ...COMINGS, ...ENDS]
const SETTLE_MS = 250
/** Of longer lists of rows the messages would be megabytes. */
const LONGEST = 100_000
/** As near as that, an observation is what another program points at: degrees. */
const NEAR_DEG = 10 / 3600
/** The search around it that is offered: degrees. */
const AROUND_DEG = 1 / 60

const START = 'Start TOPCAT, Aladin or another program with a SAMP hub on this computer, then try again.'

/** What a failure means, in words. */
export function problemOf(error: unknown): ApiError {
  if (!(error instanceof HubError)) return asApiError(error)
  if (error.kind === 'absent') return new ApiError(0, 'no_samp_hub', 'No SAMP hub answers on this computer.', '', `${START} If one runs, see whether the browser keeps this page from programs on this computer.`)
  if (error.kind === 'refused') return new ApiError(0, 'samp_refused', 'The SAMP hub did not let this page in.', '', 'It asks in a window of its own, in TOPCAT or Aladin: answer yes there.')
  return new ApiError(0, 'samp_gone', 'The SAMP hub has gone.', '', START)
}

export class Samp {
  phase = $state<'off' | 'connecting' | 'on'>('off')
  problem = $state.raw<ApiError | null>(null)
  programs = $state.raw<Program[]>([])
  deliveries = $state.raw<Delivery[]>([])
  #hub: WebHub | null = null
  #tables = new Tables()
  #asking: AbortController | null = null
  #sent = 0
  #settle: ReturnType<typeof setTimeout> | null = null
  #latest = 0

  constructor(private readonly transport: Transport = toHub) {}

  /** Programs that take a message. */
  able(mtype: string): Program[] {
    return this.programs.filter((one) => takes(one.subscriptions, mtype))
  }

  async connect(): Promise<void> {
    if (this.phase !== 'off') return
    this.phase = 'connecting'
    this.problem = null
    const hub = new WebHub(this.transport)
    this.#asking = new AbortController()
    try {
      await hub.register(metadata(), TAKES, this.#asking.signal)
      this.programs = await hub.programs()
      this.#asking.signal.throwIfAborted() // it was given up while the last answer came
    } catch (error) {
      void hub.close()
      this.phase = 'off'
      if (!this.#asking.signal.aborted) this.problem = problemOf(error)
      return
    }
    this.#hub = hub
    this.phase = 'on'
    pointing.tell((row) => this.#chose(row))
    addEventListener('pagehide', this.#leave)
    void hub.listen({
      message: (sender, message) => this.#heard(sender, message),
      response: (responder, tag, response) => this.#answered(responder, tag, response),
      gone: () => this.#gone(),
    })
  }

  /** Stops waiting for the visitor's answer to the hub. */
  cancel(): void {
    this.#asking?.abort()
  }

  async disconnect(): Promise<void> {
    const hub = this.#hub
    this.#off()
    await hub?.close()
  }

  #leave = (): void => {
    void this.#hub?.close(true)
    this.#off()
  }

  #off(): void {
    this.#hub = null
    this.phase = 'off'
    this.programs = []
    this.deliveries = this.deliveries.filter((one) => one.state !== 'waiting')
    pointing.tell(null)
    removeEventListener('pagehide', this.#leave)
  }

  #gone(): void {
    if (!this.#hub) return
    this.#off()
    this.problem = problemOf(new HubError('gone'))
    toast(`${this.problem.what} Nothing is sent to other programs any more.`, { tone: 'bad', slot: 'samp' })
  }

  // sending --------------------------------------------------------------------------------------

  /** Catalogue rows as a table; `rows` rise. `to`: a program, or null for all that can. */
  async sendTable(rows: Int32Array, name: string, to: string | null): Promise<void> {
    const version = overview.version
    const handed = await sendJSON<Handed>('POST', `/handed?version=${version}`, { rows: Array.from(rows), name })
    const url = here(handed.href)
    const id = `spectrarium:${handed.href.split('/').at(-2)}`
    this.#tables.add({ id, url, rows, version }, selection.rows)
    await this.#send(tableMessage(url, id, name), `${name}: ${many(rows.length, 'observation')}`, to)
  }

  async sendSpectrum(id: string, as: 'spectrum' | 'table', to: string | null): Promise<void> {
    const handed = await sendJSON<HandedSpectrum>('POST', `/object/${encodeURIComponent(id)}/handed`, { form: 'votable' })
    const url = here(handed.href)
    const message = as === 'spectrum' ? spectrumMessage(url, handed.meta, handed.title) : tableMessage(url, url, handed.title)
    await this.#send(message, handed.title, to)
  }

  sendPosition(ra: number, dec: number, to: string | null): Promise<void> {
    return this.#send(pointMessage(ra, dec), coordinates(ra, dec), to)
  }

  async #send(message: Message, what: string, to: string | null): Promise<void> {
    const hub = this.#hub
    if (!hub) throw problemOf(new HubError('gone'))
    const able = this.able(message.mtype).filter((one) => to === null || one.id === to)
    const tags = able.map((one) => ({ tag: `${++this.#sent}`, program: one }))
    this.deliveries = tags.map(({ program }) => ({ program: program.name, what, state: 'waiting', text: '' }))
    this.#waiting = new Map(tags.map(({ tag }, at) => [tag, at]))
    await Promise.all(
      tags.map(async ({ tag, program }) => {
        try {
          await hub.ask(program.id, tag, message)
        } catch (error) {
          if (error instanceof HubError) this.#gone()
          this.#deliver(tag, error instanceof Error ? error.message || 'it could not' : String(error))
        }
      }),
    )
  }
  #waiting = new Map<string, number>()

  #answered(_responder: string, tag: string, response: Value): void {
    this.#deliver(tag, refusal(response))
  }

  #deliver(tag: string, refused: string | null): void {
    const at = this.#waiting.get(tag)
    if (at === undefined) return
    this.#waiting.delete(tag)
    this.deliveries = this.deliveries.map((one, index) => (index === at ? { ...one, state: refused === null ? 'done' : 'refused', text: refused ?? '' } : one))
  }

  #tell(message: Message): void {
    this.#hub?.notifyAll(message).catch(() => undefined) // a hub that has gone is noticed by `listen`
  }

  // rows, both ways ------------------------------------------------------------------------------

  #chose(row: number): void {
    for (const { table, place } of this.#tables.mark(row, overview.version)) this.#tell(rowMessage(table, place))
  }

  /** The selection has changed; told when it has come to rest. */
  follow(): void {
    if (this.phase !== 'on' || !this.#tables.count) return
    if (this.#settle) clearTimeout(this.#settle)
    this.#settle = setTimeout(() => {
      if (this.phase !== 'on') return
      for (const { table, places } of this.#tables.choose(selection.rows, overview.version)) {
        if (places.length <= LONGEST) this.#tell(rowsMessage(table, places))
        else toast(`Other programs are not told of a selection of more than ${many(LONGEST, 'row')}.`, { slot: 'samp' })
      }
    }, SETTLE_MS)
  }

  #heard(sender: string, { mtype, params }: Message): void {
    const name = this.programs.find((one) => one.id === sender)?.name ?? 'Another program'
    if (ENDS.includes(mtype)) this.#gone()
    else if (COMINGS.includes(mtype)) void this.#look()
    else if ((mtype === ROW || mtype === ROWS) && this.#tables.past(params, overview.version)) {
      toast(`The archive has changed since ${name} got that table: send it again.`, { slot: 'samp' })
    } else if (mtype === ROW) this.#show(this.#tables.marked(params, overview.version))
    else if (mtype === ROWS) this.#select(params, name)
    else if (mtype === POINT) void this.#point(params, name)
  }

  async #look(): Promise<void> {
    try {
      if (this.#hub) this.programs = await this.#hub.programs()
    } catch {
      // A hub that has gone is noticed by `listen`.
    }
  }

  #select(params: Record<string, Value>, name: string): void {
    const rows = this.#tables.chosen(params, overview.version)
    if (!rows || same(rows, selection.rows)) return
    selection.set(rows, { kind: 'samp', text: `chosen in ${name}` })
    toast(`${name} selected ${many(rows.length, 'observation')}`, { slot: 'samp' })
  }

  /** Marks an observation in every view; where one is open, it is opened in its place. */
  #show(row: number): void {
    if (row < 0) return
    const latest = ++this.#latest
    getJSON<{ items: { row: number; id: string }[] }>('/sparklines', { rows: [row], width: 8 }).then(
      ({ items: [item] }) => {
        if (!item || latest !== this.#latest) return // another was pointed at meanwhile
        const mark = { row, id: item.id }
        marked.hover(null)
        marked.open(mark)
        pointing.heard = mark
        if (route.screen === 'object') go('object', { id: item.id })
      },
      (error) => toast(asApiError(error).what, { tone: 'bad', slot: 'samp' }),
    )
  }

  /** An observation that was sent and lies there is marked; the rest of the archive is a click away. */
  async #point(told: Record<string, Value>, name: string): Promise<void> {
    const at = pointOf(told)
    if (!at) return
    const params = toParams({ ...fromParams({}), cone: { ...at, radius: AROUND_DEG } })
    toast(`${name} points at ${coordinates(at.ra, at.dec)}`, {
      slot: 'samp',
      action: { label: 'Search there', run: () => go('home', { params }) },
    })
    try {
      const { rows } = await getJSON<{ rows: { row: number }[] }>('/find', { cone: [at.ra, at.dec, NEAR_DEG], limit: 50 })
      const there = rows.find(({ row }) => this.#tables.has(row, overview.version))
      if (there) this.#show(there.row)
    } catch (error) {
      toast(asApiError(error).what, { tone: 'bad', slot: 'samp' })
    }
  }
}

function here(path: string): string {
  return new URL(path, location.origin).href
}

function metadata(): Record<string, string> {
  return {
    'samp.name': 'Spectrarium',
    'samp.description.text': asciiText(`Archive of spectra: ${overview.value?.name ?? ''}`),
    'samp.documentation.url': location.origin,
  }
}

function same(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((row) => hasRow(b, row))
}

export const samp = new Samp()
