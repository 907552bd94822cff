/** Documents come back exactly as they were put, or are refused with the place of what records cannot hold. */
import { join } from 'node:path'
import { getHeapSpaceStatistics } from 'node:v8'
import test from 'ava'
import fc from 'fast-check'
import { FountainStore } from '../index.mjs'
import { MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH } from '../lib/limits.js'
import { readRecord } from '../lib/record/reader.js'
import { ShapeTable } from '../lib/record/shapes.js'
import { collectGarbage, directory, fails, newStore } from './support.js'

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })
class Point {
  x = 1
}

const refused: [name: string, member: unknown, place: string, says: RegExp][] = [
  ['a function', { b: [1, 2, 3, () => 1] }, '$.a.b[3]', /a function/],
  ['a symbol', { b: Symbol('s') }, '$.a.b', /a symbol/],
  ['a bigint of more than 512 bits', [2n ** 512n], '$.a[0]', /more than 512 bits/],
  ['half of a surrogate pair', ['\ud800'], '$.a[0]', /half of a surrogate pair/],
  ['two halves of a pair, one after the other', ['x\ud83d', '\ude00y'], '$.a[0]', /half of a surrogate pair/],
  ['a name with half of a surrogate pair', { 'x\udc00': 1 }, '$.a["x\\udc00"]', /half of a surrogate pair/],
  ['undefined in an array', [1, undefined], '$.a[1]', /undefined; use null/],
  ['a hole in an array', new Array(2), '$.a[0]', /undefined; use null/],
  ['NaN', { 'not a name': Number.NaN }, '$.a["not a name"]', /NaN is not a finite number/],
  ['Infinity', [[Number.NEGATIVE_INFINITY]], '$.a[0][0]', /-Infinity is not a finite number/],
  ['an invalid Date', { at: new Date(Number.NaN) }, '$.a.at', /an invalid Date/],
  ['a Map', new Map(), '$.a', /a Map/],
  ['a Set', new Set(), '$.a', /a Set/],
  ['an instance of a class', new Point(), '$.a', /a Point/],
  ['a boxed number', Object(1), '$.a', /a Number/],
  ['another typed array', new Uint16Array(3), '$.a', /an? Uint16Array/],
  ['a method named toJSON', { toJSON: () => 1 }, '$.a.toJSON', /a function/],
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
  // Codec, flags, the length of the structure; shape, key, tag, characters and bytes of the string.
  const frame = 4 + 1 + 2 + 1 + 4 + 4
  const size = MAX_DOCUMENT_BYTES + 1 - frame - 1
  const largest = { id: 'x', s: `${'é'.repeat(Math.floor(size / 2))}${size % 2 === 0 ? '' : 'e'}` }
  await things.put(largest)
  t.true((await things.get('x'))?.s === largest.s)
  t.true(things.getSync('x')?.s === largest.s)
  t.is((await things.scan().toArray())[0]?.s.length, largest.s.length)
  const put = () => things.put({ id: 'x', s: `${largest.s}e` })
  await fails(t, put, { code: 'ERR_TOO_LARGE', collection: 'things', says: /over the limit of 16777216 bytes/ })
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

const text = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()),
  fc.string({ minLength: 60, maxLength: 140 }),
  fc.constantFrom('\u2028', '\0', 'é', '😀', '__proto__', 'constructor', 'toJSON', '0', 'id'),
)
const anyValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.integer({ min: -70_000, max: 70_000 }),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt({ min: -(2n ** 512n) + 1n, max: 2n ** 512n - 1n }),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ maxLength: 300 }),
    fc.float32Array(),
    fc.array(tie('value'), { maxLength: 40 }),
    fc.dictionary(text, tie('value')),
  ),
})).value

test('any document comes back exactly', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; value: unknown }>('things')
  await fc.assert(
    fc.asyncProperty(anyValue, async (value) => {
      await things.put({ id: 'x', value }, { durability: 'memory' })
      t.deepEqual((await things.get('x'))?.value, plain(value))
      t.deepEqual((await things.scan().toArray())[0]?.value, plain(value))
    }),
    { numRuns: 500 },
  )
})

/** The same with plain prototypes and without a member of its own called __proto__ being lost. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || value instanceof Date || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]))
}

test('members behind bytes of any length are what they were, wherever the room ends', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number; [member: string]: unknown }>('things')
  const tail = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`m${i}`, i % 3 === 0 ? true : i % 3 === 1 ? i * 1.1 : 'x']),
  )
  for (let length = 65_380; length < 65_560; length += 3) {
    const document = {
      id: length,
      bytes: new Uint8Array(length).fill(7),
      ...tail,
      list: [[1.5, 2.5], new Float32Array(9), 2n ** 300n, ...Object.values(tail)],
    }
    await things.put(document, { durability: 'memory' })
    t.deepEqual(await things.get(length), document)
  }
})

test('objects whose shapes change at every level are written in time', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number; value: unknown }>('things')
  const nest = (depth: number, turn: number): object =>
    depth === 0 ? {} : { a: nest(depth - 1, turn >> 1), [turn & 1 ? 'b' : 'c']: depth }
  for (let turn = 0; turn < 64; turn++)
    await things.put({ id: turn, value: nest(120, turn * 0x55555) }, { durability: 'memory' })
  for (let turn = 0; turn < 64; turn++) t.deepEqual((await things.get(turn))?.value, nest(120, turn * 0x55555))
})

test('documents are written and read by shapes that survive reopening', async (t) => {
  const path = join(directory(t), 'store')
  const write = await FountainStore.open(path)
  const documents = [
    { id: 'a', n: 1, nested: { x: 'y' } },
    { id: 'b', n: 2, nested: { x: 'z' } },
    { n: 3, id: 'c' },
    { id: 'd', nested: { x: 'é' }, n: -1.5 },
  ]
  for (const document of documents) await write.collection('things').put(document)
  await write.close()
  const store = await FountainStore.open(path)
  t.teardown(() => store.close())
  for (let round = 0; round < 20; round++) t.deepEqual(await store.collection('things').scan().toArray(), documents)
})

test('objects used as maps do not use up the shapes of the store', async (t) => {
  const store = await newStore(t)
  const maps = store.collection<{ id: number; map: Record<string, { n: number }> }>('maps')
  const document = (id: number) => ({ id, map: { [`key ${id}`]: { n: id }, [`other ${id}`]: { n: -1 - id } } })
  await Promise.all(Array.from({ length: 5000 }, (_, id) => maps.put(document(id), { durability: 'memory' })))
  const others = store.collection<{ id: number; regular: boolean }>('others')
  await others.put({ id: 1, regular: true })
  const found = await maps.scan().toArray()
  t.deepEqual(
    found,
    Array.from({ length: 5000 }, (_, id) => document(id)),
  )
  t.deepEqual(await others.get(1), { id: 1, regular: true })
})

test('long strings of large documents come back, and one of them does not hold the others in memory', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; a: string; b: string; c: string }>('things')
  const document = { id: 'x', a: 'a'.repeat(3000), b: 'é😀'.repeat(2000), c: '' }
  await things.put(document)
  t.deepEqual(await things.get('x'), document)
  await things.put({ ...document, b: 'ascii' })
  t.deepEqual(await things.get('x'), { ...document, b: 'ascii' })
})

test('a getter that answers differently each time cannot store what records cannot hold', async (t) => {
  const store = await newStore(t)
  let calls = 0
  const document = {
    id: 'x',
    get a() {
      calls++
      return calls === 1 ? () => 1 : 1
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

test('a getter of a document whose shape is known is asked once, and what it said is stored', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; inner: { n: number } }>('things')
  await things.put({ id: 'first', inner: { n: 0 } })
  let calls = 0
  const inner = {
    get n() {
      return ++calls
    },
  }
  await things.put({ id: 'second', inner })
  t.is(calls, 1)
  t.deepEqual(await things.get('second'), { id: 'second', inner: { n: 1 } })
})

test('a member that all objects inherit is not stored, also where one of its name was before', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; inherited?: number }>('things')
  await things.put({ id: 'own', inherited: 1 })
  Object.defineProperty(Object.prototype, 'inherited', { value: 2, enumerable: true, configurable: true })
  const put = things.put({ id: 'other' })
  const batch = things.batch([{ put: { id: 'of a batch' } }])
  Reflect.deleteProperty(Object.prototype, 'inherited')
  await Promise.all([put, batch])
  t.deepEqual(await things.scan().toArray(), [{ id: 'of a batch' }, { id: 'other' }, { id: 'own', inherited: 1 }])
})

test('a member named by a symbol is refused in an object of a known shape, also if it is hidden', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; a: object }>('things')
  await things.put({ id: 'x', a: { n: 1 } })
  const hidden = Object.defineProperty({ n: 1 }, Symbol('s'), { value: 1 })
  for (const a of [{ n: 1, [Symbol('s')]: 1 }, hidden]) {
    await fails(t, () => things.put({ id: 'y', a }), { code: 'ERR_VALIDATION', place: '$.a[Symbol(s)]' })
  }
  t.is(await things.get('y'), undefined)
})

test('a document that could not be written to its end leaves nothing to the next one', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; a: unknown; b: unknown }>('things')
  await things.put({ id: 'x', a: { n: 1, m: 2 }, b: 'text' })
  const broken = { n: 'more text', m: () => 1 }
  await fails(t, () => things.put({ id: 'y', a: broken, b: 'text' }), { code: 'ERR_VALIDATION', place: '$.a.m' })
  await things.put({ id: 'z', a: { n: 3, m: 'é' }, b: [1] })
  t.deepEqual(await things.get('z'), { id: 'z', a: { n: 3, m: 'é' }, b: [1] })
})

test('a short text of a large document does not hold what lies between it and the next in memory', async (t) => {
  const things = (await newStore(t)).collection<{ id: number; title: string; v: Float32Array }>('things')
  const COUNT = 10_000
  for (let from = 0; from < COUNT; from += 1000) {
    const document = (n: number) => ({
      id: from + n,
      title: `a title of document ${from + n}`,
      v: new Float32Array(768),
    })
    await things.batch(Array.from({ length: 1000 }, (_, n) => ({ put: document(n) })))
  }
  let rounds = 0
  await collectGarbage(() => ++rounds > 5)
  const before = process.memoryUsage().heapUsed
  const titles: string[] = []
  for await (const { title } of things.scan()) titles.push(title)
  await collectGarbage(() => ++rounds > 15)
  const held = process.memoryUsage().heapUsed - before
  t.is(titles.at(-1), `a title of document ${COUNT - 1}`)
  t.true(held < COUNT * 500, `${held / COUNT} bytes of memory for each title`)
})

test('documents that nobody holds die young, however long others were held before', async (t) => {
  const things = (await newStore(t)).collection<{ id: number; name: string; tags: string[]; at: { city: string } }>(
    'things',
  )
  const COUNT = 1000
  const document = (id: number) => ({ id, name: `thing ${id}`, tags: ['a tag', 'another'], at: { city: `city ${id}` } })
  await things.batch(Array.from({ length: COUNT }, (_, id) => ({ put: document(id) })))
  const old = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0
  let held: unknown[] = []
  for (let n = 0; n < 200 * COUNT; n++) held.push(things.getSync(n % COUNT))
  held = []
  let rounds = 0
  await collectGarbage(() => ++rounds > 5)
  const growth: number[] = []
  for (let round = 0; round < 10; round++) {
    const before = old()
    for (let n = 0; n < 20 * COUNT; n++) things.getSync(n % COUNT)
    growth.push((old() - before) / (20 * COUNT))
  }
  // A major collection in between makes a round look good, a promotion of what V8 keeps bad.
  t.true((growth.sort((a, b) => a - b)[6] as number) < 50, `${growth.map(Math.round)} bytes of each document grow old`)
})

test('a record with any byte changed is read to its end, or is an error', (t) => {
  const record = Buffer.from('02010300a0e702c3a9', 'hex')
  const shapes = new ShapeTable({ names: () => ['a'] } as never)
  let errors = 0
  for (let at = 0; at < record.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const damaged = Buffer.from(record)
      damaged[at] = byte
      try {
        readRecord(damaged, 0, damaged.length, shapes)
      } catch {
        errors++
      }
    }
  }
  t.true(errors > 256, `${errors}`)
  const long = Buffer.from('0200ff00', 'hex')
  t.throws(
    () => readRecord(long, 0, long.length, shapes),
    { code: 'ERR_CORRUPT' },
    'a structure longer than the record',
  )
})
