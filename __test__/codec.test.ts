/** Documents come back exactly as they were put, or are refused with the place of what JSON cannot hold. */
import test from 'ava'
import fc from 'fast-check'
import { MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH } from '../lib/limits.js'
import { fails, newStore } from './support.js'

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })
class Point {
  x = 1
}

const refused: [name: string, member: unknown, place: string, says: RegExp][] = [
  ['a function', { b: [1, 2, 3, () => 1] }, '$.a.b[3]', /a function/],
  ['a symbol', { b: Symbol('s') }, '$.a.b', /a symbol/],
  ['a bigint', [1n], '$.a[0]', /a bigint/],
  ['undefined in an array', [1, undefined], '$.a[1]', /undefined; use null/],
  ['a hole in an array', new Array(2), '$.a[0]', /undefined; use null/],
  ['NaN', { 'not a name': Number.NaN }, '$.a["not a name"]', /NaN is not a JSON number/],
  ['Infinity', [[Number.NEGATIVE_INFINITY]], '$.a[0][0]', /-Infinity is not a JSON number/],
  ['a Date', { at: new Date(0) }, '$.a.at', /a Date; convert it first/],
  ['a Map', new Map(), '$.a', /a Map/],
  ['a Set', new Set(), '$.a', /a Set/],
  ['an instance of a class', new Point(), '$.a', /a Point/],
  ['a boxed number', Object(1), '$.a', /a Number/],
  ['a typed array', new Uint8Array(3), '$.a', /an? Uint8Array/],
  ['a method named toJSON', { toJSON: () => 1 }, '$.a.toJSON', /a function/],
  ['an array with a toJSON method', Object.assign([1], { toJSON: () => 1 }), '$.a', /toJSON/],
  ['a member named by a symbol', { [Symbol('s')]: 1 }, '$.a[Symbol(s)]', /named by symbols/],
]

for (const [name, member, place, says] of refused) {
  test(`${name} is refused with its place`, async (t) => {
    const store = await newStore(t)
    const things = store.collection<{ id: string; a: unknown }>('things')
    await fails(t, () => things.put({ id: 'x', a: member }), {
      code: 'ERR_VALIDATION',
      collection: 'things',
      place,
      says,
    })
    t.is(await things.get('x'), undefined)
  })
}

test('a cycle is refused where it closes', async (t) => {
  const store = await newStore(t)
  const document: Record<string, unknown> & { id: string } = { id: 'x', list: [{}] }
  ;(document.list as unknown[])[0] = { back: document }
  const put = () => store.collection('things').put(document)
  await fails(t, put, { code: 'ERR_VALIDATION', place: '$.list[0].back', says: /cycle/ })
})

test('what appears twice without a cycle is stored twice', async (t) => {
  const store = await newStore(t)
  const shared = { n: 1 }
  await store.collection('things').put({ id: 'x', a: shared, b: [shared, shared] })
  t.deepEqual(await store.collection('things').get('x'), { id: 'x', a: { n: 1 }, b: [{ n: 1 }, { n: 1 }] })
})

test('a document nests to the limit and not deeper', async (t) => {
  const store = await newStore(t)
  const things = store.collection('things')
  await things.put({ id: 'x', a: nested(MAX_DOCUMENT_DEPTH - 1) })
  t.deepEqual((await things.get('x'))?.a, nested(MAX_DOCUMENT_DEPTH - 1))
  const put = () => things.put({ id: 'y', a: nested(MAX_DOCUMENT_DEPTH) })
  const error = await fails(t, put, { code: 'ERR_VALIDATION', says: /more than 128 deep/ })
  t.is(error.place, `$${'.a'.repeat(MAX_DOCUMENT_DEPTH)}`)
})

test('a document is a plain object', async (t) => {
  const store = await newStore(t)
  const things = store.collection('things')
  for (const wrong of [null, undefined, 1, 'text', [], new Date(), new Point(), () => 1]) {
    await fails(t, () => things.put(wrong as never), {
      code: 'ERR_VALIDATION',
      place: '$',
      says: /a plain object, not/,
    })
  }
  await things.put(Object.assign(Object.create(null), { id: 'null prototype' }))
  t.deepEqual(await things.get('null prototype'), { id: 'null prototype' })
})

test('a document of 16 MiB is stored; one byte more is refused', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; s: string }>('things')
  const frame = Buffer.byteLength(JSON.stringify({ id: 'x', s: '' }))
  const largest = { id: 'x', s: `${'é'.repeat((MAX_DOCUMENT_BYTES - frame - 1) / 2)}e` }
  await things.put(largest)
  t.true((await things.get('x'))?.s === largest.s)
  t.true(things.getSync('x')?.s === largest.s)
  t.is((await things.scan().toArray())[0]?.s.length, largest.s.length)
  const put = () => things.put({ id: 'x', s: `${largest.s}e` })
  await fails(t, put, {
    code: 'ERR_TOO_LARGE',
    collection: 'things',
    says: /16777217 bytes is over the limit of 16777216/,
  })
})

test('undefined members are left out, and -0 becomes 0, as in JSON', async (t) => {
  const store = await newStore(t)
  await store.collection('things').put({ id: 'x', gone: undefined, zero: -0 })
  const found = await store.collection('things').get('x')
  t.deepEqual(Object.keys(found ?? {}), ['id', 'zero'])
  t.true(Object.is(found?.zero, 0))
})

test('a member named __proto__ is a member like any other', async (t) => {
  const store = await newStore(t)
  const document = JSON.parse('{"id":"x","__proto__":{"polluted":true},"constructor":{"prototype":1}}')
  await store.collection('things').put(document)
  const found = (await store.collection('things').get('x')) as object
  t.is(JSON.stringify(found), JSON.stringify(document))
  t.is(Object.getPrototypeOf(found), Object.prototype)
  t.false('polluted' in {})
})

test('any JSON document comes back exactly, lone surrogates included', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; value: unknown }>('things')
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\ud800', 'a\udc00b', '\u2028', '\0'))
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      text,
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value')),
      fc.dictionary(text, tie('value')),
    ),
  })).value
  await fc.assert(
    fc.asyncProperty(value, async (value) => {
      await things.put({ id: 'x', value }, { durability: 'memory' })
      t.deepEqual((await things.get('x'))?.value, JSON.parse(JSON.stringify(value)))
    }),
  )
})

test('a getter that answers differently each time cannot store what JSON cannot hold', async (t) => {
  const store = await newStore(t)
  let calls = 0
  const document = {
    id: 'x',
    get a() {
      calls++
      return calls === 1 ? 1 : 1n
    },
  }
  const put = () => store.collection('things').put(document)
  await fails(t, put, { code: 'ERR_VALIDATION', place: '$', says: /changed while it was encoded/ })
})

test('a getter that writes to the store while its document is encoded disturbs neither write', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; n: number }>('things')
  const inner: Promise<unknown>[] = []
  const outer = {
    id: 'outer',
    get n() {
      inner.push(things.put({ id: `inner${inner.length}`, n: 1 }))
      return 2
    },
  }
  await things.put(outer)
  await Promise.all(inner)
  const found = await things.scan().toArray()
  t.deepEqual(
    found.map(({ id, n }) => [id, n]),
    [...inner.map((_, i) => [`inner${i}`, 1]), ['outer', 2]],
  )
})
