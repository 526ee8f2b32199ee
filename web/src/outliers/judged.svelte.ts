/** Judgements of this visitor: shown at once, sent in order, taken back by undo. */
import { SvelteMap } from 'svelte/reactivity'
import { getJSON } from '../lib/api'
import { write } from '../lib/writes.svelte'
import { nameOf, VERDICTS, type Strange, type Verdict } from './answers'

export interface Judgement {
  id: string
  uid: string
  /** Of the open version; null where it is no longer there. */
  row?: number | null
  score: string
  verdict: Verdict
  user: string
  when: string | number
}

/** One score's judgements at a time; those made here hold before the server has them. */
export class Judged {
  #score = ''
  #kept = new SvelteMap<string, Judgement>()
  #here = new SvelteMap<string, Verdict | null>()
  #rows = new Map<string, number>()
  /** Judgements made since the list was ranked. */
  fresh = $state(0)

  async load(score: string, signal?: AbortSignal): Promise<void> {
    const { judgements } = await getJSON<{ judgements: Judgement[] }>('/judgements', { score }, signal)
    if (score !== this.#score) {
      this.#score = score
      this.#here.clear()
      this.fresh = 0
    }
    this.#kept.clear()
    for (const one of judgements) this.#kept.set(one.uid, one)
  }

  of(item: Pick<Strange, 'uid' | 'judgement'>): Verdict | null {
    const here = this.#here.get(item.uid)
    return here !== undefined ? here : (this.#kept.get(item.uid)?.verdict ?? item.judgement)
  }

  /** Uids by verdict, those on the server and those on their way. */
  uids(verdict: Verdict): string[] {
    const found = [...this.#kept.values()].filter((j) => !this.#here.has(j.uid) && j.verdict === verdict).map((j) => j.uid)
    for (const [uid, made] of this.#here) if (made === verdict) found.push(uid)
    return found
  }

  /** Row of what was judged; null where it is no longer there. */
  rowOf(uid: string): number | null {
    return this.#rows.get(uid) ?? this.#kept.get(uid)?.row ?? null
  }

  get counts(): Record<Verdict, number> {
    return { interesting: this.uids('interesting').length, artefact: this.uids('artefact').length, known: this.uids('known').length }
  }

  /** Judges, or takes the judgement back when it is given again. Resolves when the server has it. */
  async judge(item: Strange, verdict: Verdict, score: string): Promise<void> {
    const before = this.of(item)
    const now = before === verdict ? null : verdict
    const title = VERDICTS.find((v) => v.verdict === verdict)!.title.toLowerCase()
    const what = now ? `Judged ${nameOf(item)} ${title}` : `Took back “${title}” of ${nameOf(item)}`
    this.#rows.set(item.uid, item.row)
    this.#show(item.uid, now)
    try {
      await write({
        method: 'POST',
        path: '/judgements',
        body: { id: item.id, score, verdict: now },
        what,
        undo: { method: 'POST', path: '/judgements', body: { id: item.id, score, verdict: before } },
        after: (which) => this.#show(item.uid, which === 'undone' ? before : now),
      })
    } catch (error) {
      this.#show(item.uid, before)
      throw error
    }
  }

  #show(uid: string, verdict: Verdict | null): void {
    this.#here.set(uid, verdict)
    this.fresh++
  }
}
