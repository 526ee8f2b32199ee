/** XML-RPC as SAMP uses it: text, lists and maps, and nothing else. Pure. */

export type Value = string | Value[] | { [name: string]: Value }

/** The other side answered that it will not. */
export class Fault extends Error {
  constructor(
    readonly code: string,
    readonly text: string,
  ) {
    super(text)
    this.name = 'Fault'
  }
}

const ESCAPED: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const DEEPEST = 64

/** The body of a call. */
export function encodeCall(method: string, params: readonly Value[]): string {
  const listed = params.map((one) => `<param>${encoded(one)}</param>`).join('')
  return `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${listed}</params></methodCall>`
}

function encoded(value: Value): string {
  if (typeof value === 'string') return `<value><string>${value.replace(/[&<>]/g, (sign) => ESCAPED[sign])}</string></value>`
  if (Array.isArray(value)) return `<value><array><data>${value.map(encoded).join('')}</data></array></value>`
  const members = Object.entries(value).map(([name, one]) => `<member><name>${name.replace(/[&<>]/g, (sign) => ESCAPED[sign])}</name>${encoded(one)}</member>`)
  return `<value><struct>${members.join('')}</struct></value>`
}

/** What a call came to. Throws Fault, or Error for what is no answer. */
export function decodeResponse(xml: string): Value {
  const reader = new Reader(tokens(xml))
  reader.open('methodResponse')
  const kind = reader.openAny()
  if (kind === 'fault') {
    const fault = reader.value(0)
    const { faultCode = '', faultString = '' } = typeof fault === 'string' || Array.isArray(fault) ? {} : fault
    throw new Fault(String(faultCode), String(faultString))
  }
  if (kind !== 'params') throw new Error(`The hub's answer holds <${kind}>.`)
  if (reader.closes('params')) return ''
  reader.open('param')
  return reader.value(0)
}

interface Token {
  kind: 'open' | 'close' | 'text'
  text: string
}

/** Tags and the text between them, as they come. A document type is refused: none is needed. */
function tokens(xml: string): Token[] {
  const out: Token[] = []
  const part = /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([\w:.-]+)[^<>]*?(\/?)>|([^<]+)|([\s\S])/g
  for (const [, cdata, end, name, empty, text, wrong] of xml.matchAll(part)) {
    if (wrong !== undefined) throw new Error('The hub sent what is no XML.')
    if (cdata !== undefined) out.push({ kind: 'text', text: cdata })
    else if (text !== undefined) out.push({ kind: 'text', text: text.replace(/&(#x?)?(\w+);/g, entity) })
    else if (name !== undefined) {
      out.push({ kind: end ? 'close' : 'open', text: name })
      if (empty) out.push({ kind: 'close', text: name })
    }
  }
  return out
}

function entity(whole: string, number: string | undefined, name: string): string {
  if (!number) return ENTITIES[name] ?? whole
  const code = parseInt(name, number === '#x' ? 16 : 10)
  return Number.isInteger(code) && code <= 0x10ffff ? String.fromCodePoint(code) : whole
}

class Reader {
  #at = 0

  constructor(readonly list: Token[]) {}

  /** The next tag begins this element. */
  open(name: string): void {
    const found = this.openAny()
    if (found !== name) throw new Error(`The hub sent <${found}> in the place of <${name}>.`)
  }

  openAny(): string {
    const token = this.#tag()
    if (token?.kind !== 'open') throw new Error('The answer of the hub is not whole.')
    return token.text
  }

  /** Whether the next tag ends this element; it is passed if so. */
  closes(name: string): boolean {
    const before = this.#at
    const token = this.#tag()
    if (token?.kind === 'close' && token.text === name) return true
    this.#at = before
    return false
  }

  close(name: string): void {
    if (!this.closes(name)) throw new Error(`The answer of the hub lacks </${name}>.`)
  }

  value(depth: number): Value {
    if (depth > DEEPEST) throw new Error('The answer of the hub is nested too deeply.')
    this.open('value')
    const plain = this.#text()
    if (this.closes('value')) return plain // text without a type is a string
    const kind = this.openAny()
    let found: Value
    if (kind === 'array') found = this.#array(depth)
    else if (kind === 'struct') found = this.#struct(depth)
    else found = this.#text() // string, int, boolean, double: SAMP writes all of them as text
    this.close(kind)
    this.close('value')
    return found
  }

  #array(depth: number): Value[] {
    const out: Value[] = []
    this.open('data')
    while (!this.closes('data')) out.push(this.value(depth + 1))
    return out
  }

  #struct(depth: number): Record<string, Value> {
    const out: Record<string, Value> = {}
    while (this.#next('member')) {
      this.open('member')
      this.open('name')
      const name = this.#text()
      this.close('name')
      const value = this.value(depth + 1)
      // "__proto__" as a key of its own, whoever sends it
      Object.defineProperty(out, name, { value, enumerable: true, configurable: true, writable: true })
      this.close('member')
    }
    return out
  }

  #next(name: string): boolean {
    const before = this.#at
    const token = this.#tag()
    this.#at = before
    return token?.kind === 'open' && token.text === name
  }

  #text(): string {
    let text = ''
    while (this.list[this.#at]?.kind === 'text') text += this.list[this.#at++].text
    return text
  }

  /** The next tag; what stands before it is white space. */
  #tag(): Token | undefined {
    this.#text()
    return this.list[this.#at++]
  }
}
