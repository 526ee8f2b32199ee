import { describe, expect, it } from 'vitest'
import { decodeResponse, encodeCall, Fault, type Value } from './xmlrpc'

/** A call read back as if it were an answer: both directions have to agree. */
const roundTrip = (value: Value) =>
  decodeResponse(encodeCall('x', [value]).replace(/<methodName>.*?<\/methodName>/, '').replace(/methodCall/g, 'methodResponse'))

describe('XML-RPC', () => {
  it('carries text, lists and maps both ways', () => {
    const value = { a: 'x < y & "z" > \'w\'', b: ['1', [], ['2', { c: '' }]], 'table-id': 'ümlaut', __proto__x: {} }
    expect(roundTrip(value)).toEqual(value)
    expect(roundTrip('')).toBe('')
    expect(encodeCall('samp.webhub.ping', [])).toBe('<?xml version="1.0"?><methodCall><methodName>samp.webhub.ping</methodName><params></params></methodCall>')
  })

  it('reads what other hubs write: untyped text, numbers, white space, entities, comments', () => {
    const xml = `<?xml version='1.0'?>\n<!-- <x> -->\n<methodResponse>\n <params>\n  <param>\n <value><struct>
      <member><name>a&amp;b</name><value> kept </value></member>
      <member>\n<name>n</name>\n<value><int>-3</int></value>\n</member>
      <member><name>e</name><value/></member>
      <member><name>s</name><value><string/></value></member>
      <member><name>c</name><value><![CDATA[<&>]]></value></member>
      <member><name>u</name><value>&#945;&#x3b2;&none;</value></member>
      <member><name>l</name><value><array><data/></array></value></member>
    </struct></value>\n </param></params></methodResponse>\n`
    expect(decodeResponse(xml)).toEqual({ 'a&b': ' kept ', n: '-3', e: '', s: '', c: '<&>', u: 'αβ&none;', l: [] })
  })

  it('tells faults, with their code and text', () => {
    const xml = '<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>403</int></value></member><member><name>faultString</name><value><string>No &lt;way&gt;</string></value></member></struct></value></fault></methodResponse>'
    expect(() => decodeResponse(xml)).toThrow(Fault)
    expect(() => decodeResponse(xml)).toThrow('No <way>')
  })

  it('refuses what is no answer', () => {
    for (const xml of ['', 'no', '<html></html>', '<methodResponse>', '<methodResponse><params><param><value><array><data>', '<methodResponse><params><param><value>x', '<methodResponse><params><param><value><struct><member>']) {
      expect(() => decodeResponse(xml), xml).toThrow(Error)
    }
    const deep = `<methodResponse><params><param>${'<value><array><data>'.repeat(5000)}`
    expect(() => decodeResponse(deep)).toThrow('too deeply')
    expect(decodeResponse('<methodResponse><params></params></methodResponse>')).toBe('')
  })

  it('takes a name of the language for a name like any other', () => {
    const found = decodeResponse('<methodResponse><params><param><value><struct><member><name>__proto__</name><value>x</value></member></struct></value></param></params></methodResponse>')
    expect(Object.keys(found)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>).x).toBeUndefined()
  })
})
