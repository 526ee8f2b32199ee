import { describe, expect, it, vi } from 'vitest'
import { FakeHub } from './fakehub'
import { HubError, WebHub, type Handlers } from './hub'
import { tableMessage, type Message } from './messages'
import type { Value } from './xmlrpc'

const handlers = () => {
  const seen = { messages: [] as [string, Message][], responses: [] as [string, string, Value][], gone: 0 }
  const made: Handlers = {
    message: (sender, message) => seen.messages.push([sender, message]),
    response: (responder, tag, response) => seen.responses.push([responder, tag, response]),
    gone: () => seen.gone++,
  }
  return { seen, made }
}

async function registered(hub = new FakeHub()): Promise<{ hub: FakeHub; client: WebHub }> {
  const client = new WebHub(hub.send, 1)
  await client.register({ 'samp.name': 'Page' }, ['table.highlight.row'])
  return { hub, client }
}

describe('a client of the web profile', () => {
  it('registers, says who it is and what it takes, and asks for callbacks', async () => {
    const { hub } = await registered()
    expect(hub.asked.map((one) => one.method)).toEqual(['register', 'declareMetadata', 'allowReverseCallbacks', 'declareSubscriptions'])
    expect(hub.asked[0].params).toEqual([{ 'samp.name': 'Page' }])
    expect(hub.of('allowReverseCallbacks')).toEqual([['1']])
    expect(hub.of('declareSubscriptions')).toEqual([[{ 'table.highlight.row': {} }]])
  })

  it('tells no hub, a refusal and a hub that has gone apart', async () => {
    const hub = new FakeHub()
    hub.there = false
    await expect(registered(hub)).rejects.toMatchObject({ kind: 'absent' })
    hub.there = true
    hub.refuses = 'the visitor said no'
    await expect(registered(hub)).rejects.toMatchObject({ kind: 'refused', message: 'the visitor said no' })
    hub.refuses = ''
    hub.answers.register = () => ({})
    await expect(registered(hub)).rejects.toMatchObject({ kind: 'refused' })
    const { hub: other, client } = await registered()
    other.there = false
    await expect(client.notifyAll(tableMessage('u', 'i', 'n'))).rejects.toMatchObject({ kind: 'gone' })
  })

  it('stops asking when the visitor does not want it any more', async () => {
    const hub = new FakeHub()
    const stop = new AbortController()
    stop.abort()
    await expect(new WebHub(hub.send).register({ 'samp.name': 'x' }, [], stop.signal)).rejects.not.toBeInstanceOf(HubError)
    expect(hub.asked).toEqual([])
  })

  it('lists the other programs by name, and leaves out one that has just left', async () => {
    const { hub, client } = await registered()
    expect(await client.programs()).toEqual([
      { id: 'c2', name: 'c2', subscriptions: ['*'] },
      { id: 'hub', name: 'Hub', subscriptions: [] },
      { id: 'c1', name: 'TOPCAT', subscriptions: ['table.*'] },
    ])
    const send = hub.send
    const client2 = new WebHub((body, options) => (body.includes('>c2<') ? Promise.resolve('<methodResponse><fault><value><struct></struct></value></fault></methodResponse>') : send(body, options)), 1)
    await client2.register({ 'samp.name': 'Page' }, [])
    expect((await client2.programs()).map((one) => one.id)).toEqual(['hub', 'c1'])
  })

  it('sends messages as the hub takes them', async () => {
    const { hub, client } = await registered()
    await client.ask('c1', '7', tableMessage('http://x', 'id', 'Näme'))
    expect(hub.of('call')).toEqual([['c1', '7', { 'samp.mtype': 'table.load.votable', 'samp.params': { url: 'http://x', 'table-id': 'id', name: 'Name' } }]])
    await client.notify('c1', { mtype: 'm', params: {} })
    expect(hub.of('notify')).toEqual([['c1', { 'samp.mtype': 'm', 'samp.params': {} }]])
  })

  it('takes in notifications, calls and responses, under either spelling, and answers calls', async () => {
    const { hub, client } = await registered()
    const { seen, made } = handlers()
    const message = { 'samp.mtype': 'table.highlight.row', 'samp.params': { row: '1' } }
    hub.says('samp.webclient.receiveNotification', 'c1', message)
    hub.says('receiveCall', 'c2', 'msg-1', message)
    hub.says('samp.webclient.receiveResponse', 'c1', '7', { 'samp.status': 'samp.ok' })
    hub.says('nonsense')
    hub.callbacks.push('nonsense', { 'samp.methodName': 'receiveCall', 'samp.params': 'x' })
    const listening = client.listen(made)
    await vi.waitFor(() => expect(seen.responses).toHaveLength(1))
    await vi.waitFor(() => expect(hub.of('reply')[0]).toEqual(['msg-1', { 'samp.status': 'samp.ok', 'samp.result': {} }]))
    expect(seen.messages.slice(0, 2)).toEqual([
      ['c1', { mtype: 'table.highlight.row', params: { row: '1' } }],
      ['c2', { mtype: 'table.highlight.row', params: { row: '1' } }],
    ])
    await client.close()
    await listening
    expect(hub.of('unregister')).toEqual([[]])
    expect(seen.gone).toBe(0)
  })

  it('does not ask a hub that answers at once without a rest', async () => {
    const hub = new FakeHub()
    const client = new WebHub(hub.send, 40)
    await client.register({ 'samp.name': 'Page' }, [])
    const listening = client.listen(handlers().made)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(hub.of('pullCallbacks').length).toBeLessThan(8)
    await client.close()
    await listening
  })

  it('says once that the hub has gone, also where it put the page out', async () => {
    const { hub, client } = await registered()
    const { seen, made } = handlers()
    const listening = client.listen(made)
    hub.there = false
    await listening
    expect(seen.gone).toBe(1)
    await client.close() // nothing is left to close
    const other = new FakeHub()
    const out = new WebHub((body) => (body.includes('pullCallbacks') ? Promise.resolve('<methodResponse><fault><value><struct></struct></value></fault></methodResponse>') : other.send(body)), 1)
    await out.register({ 'samp.name': 'Page' }, [])
    const told = handlers()
    await out.listen(told.made)
    expect(told.seen.gone).toBe(1)
  })
})
