/** Documents in and out as JSON text, without being built. */
import test from 'ava'
import { fails, newStore } from './support.js'

test('JSON text goes in and comes out, and is the same document to everybody', async (t) => {
  const store = await newStore(t)
  const things = store.collection('things')
  const text = '{"id":"ä","n":1.5,"list":[null,true,{"é":"😀"}],"big":1e+300}'
  await things.putJson(text)
  t.is(await things.getJson('ä'), text)
  t.deepEqual(await things.get('ä'), JSON.parse(text))
  await things.put(JSON.parse(text))
  t.is(await things.getJson('ä'), text)
  t.is(await things.getJson('none'), undefined)
})

test('JSON has text for what it has no type for', async (t) => {
  const store = await newStore(t)
  const at = new Date(1_700_000_000_123)
  const things = store.collection('things')
  await things.put({ id: 1n, at, bytes: new Uint8Array([1, 2]), vector: new Float32Array([0.5, -2]), n: -(2n ** 70n) })
  const expected = { id: '1', at: at.toISOString(), bytes: 'AQI=', vector: [0.5, -2], n: '-1180591620717411303424' }
  t.deepEqual(JSON.parse((await things.getJson(1n)) as string), expected)
})

test('JSON that is no document is refused, and nothing is written', async (t) => {
  const store = await newStore(t)
  const things = store.collection('things')
  const refused: [json: unknown, code: 'ERR_VALIDATION' | 'ERR_INVALID_KEY' | 'ERR_INVALID_ARGUMENT', says: RegExp][] =
    [
      ['{"id":"a"', 'ERR_VALIDATION', /line 1 column 9/],
      ['[]', 'ERR_VALIDATION', /JSON object/],
      ['{"id":"\\ud800"}', 'ERR_VALIDATION', /not JSON/],
      ['{"id":1,"half of a pair":"\ud83d"}', 'ERR_VALIDATION', /half of a surrogate pair/],
      [`{"id":1,"a":${'['.repeat(500)}${']'.repeat(500)}}`, 'ERR_VALIDATION', /recursion/],
      ['{"id":null}', 'ERR_INVALID_KEY', /"id" is not a key/],
      ['{"name":1}', 'ERR_INVALID_KEY', /"id" is not a key/],
      [{ id: 1 }, 'ERR_INVALID_ARGUMENT', /json/],
    ]
  for (const [json, code, says] of refused) await fails(t, () => things.putJson(json as string), { code, says })
  t.is(store.sequence, 0)
})

test('large JSON documents pass', async (t) => {
  const store = await newStore(t)
  const things = store.collection('things')
  const text = JSON.stringify({ id: 1, s: 'é'.repeat(2_000_000) })
  await things.putJson(text)
  t.true((await things.getJson(1)) === text)
})
