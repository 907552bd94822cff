/** Keys in TypeScript encode exactly as in the engine, and byte order is key order. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { decodeKey, encodeKey, type Key, plainKey } from '../lib/keys.js'
import { KEY_ROOM_BYTES, MAX_KEY_BYTES } from '../lib/limits.js'
import { newStore } from './support.js'

/** A key as the vectors write it. */
type Written = { number: string } | { bigint: string } | { string: string } | { bytes: string } | { array: Written[] }

const context = { collection: 'c', place: 'key' }

function read(written: Written): Key {
  if ('number' in written) return Number(written.number)
  if ('bigint' in written) return BigInt(written.bigint)
  if ('string' in written) return written.string
  if ('bytes' in written) return new Uint8Array(Buffer.from(written.bytes, 'hex'))
  return written.array.map(read)
}

function encode(key: Key): Buffer {
  const room = Buffer.alloc(KEY_ROOM_BYTES)
  return room.subarray(0, encodeKey(plainKey(key, context), room, 0, context))
}

const vectors: { key: Written; encoded: string }[] = JSON.parse(
  readFileSync(new URL('vectors/keys.json', import.meta.url), 'utf8'),
)

test('every golden key encodes to the bytes that the engine encodes it to, and decodes back', (t) => {
  t.true(vectors.length > 100)
  for (const { key, encoded } of vectors) {
    const bytes = encode(read(key))
    t.is(bytes.toString('hex'), encoded, JSON.stringify(key))
    t.deepEqual(decodeKey(bytes, 0, bytes.length), read(key))
  }
})

const scalar = fc.oneof(
  fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number)),
  fc.bigInt({ min: -(2n ** 512n) + 1n, max: 2n ** 512n - 1n }),
  fc.string({ unit: 'binary' }),
  fc.uint8Array(),
)
const anyKey = fc.letrec<{ key: Key }>((tie) => ({
  key: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie('key'), { maxLength: 4 })),
})).key

/** The order of keys, written down independently of their encoding. */
function compare(a: Key, b: Key): number {
  const kind = (key: Key) =>
    Array.isArray(key) ? 4 : key instanceof Uint8Array ? 3 : ['number', 'bigint', 'string'].indexOf(typeof key)
  if (kind(a) !== kind(b)) return Math.sign(kind(a) - kind(b))
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b))
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b)
  if (!Array.isArray(a) || !Array.isArray(b)) return a < b ? -1 : a > b ? 1 : 0
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compare(a[i] as Key, b[i] as Key)
    if (order !== 0) return order
  }
  return Math.sign(a.length - b.length)
}

test('any key decodes to itself', (t) => {
  fc.assert(
    fc.property(anyKey, (key) => {
      const bytes = encode(key)
      t.deepEqual(decodeKey(bytes, 0, bytes.length), key)
    }),
  )
  t.pass()
})

test('the order of encoded keys is the order of keys', (t) => {
  fc.assert(fc.property(anyKey, anyKey, (a, b) => Buffer.compare(encode(a), encode(b)) === compare(a, b)))
  t.pass()
})

test('a key of exactly the limit is a key; one byte more is not', (t) => {
  t.is(encode('x'.repeat(MAX_KEY_BYTES - 2)).length, MAX_KEY_BYTES)
  t.throws(() => encode('x'.repeat(MAX_KEY_BYTES - 1)), { message: /4097 bytes is over the limit of 4096 bytes/ })
  t.is(encode([new Uint8Array((MAX_KEY_BYTES - 4) / 2)]).length, MAX_KEY_BYTES)
  t.throws(() => encode([new Uint8Array((MAX_KEY_BYTES - 4) / 2), 1]), { message: /over the limit/ })
})

test('the engine agrees: documents are found under every kind of key, and scans return them in key order', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: Key; n: number }>('things')
  const keys = vectors.map(({ key }) => read(key))
  await things.batch(keys.map((id, n) => ({ put: { id, n } })))
  for (const [n, key] of keys.entries()) t.deepEqual(await things.get(key), { id: key, n })
  const scanned = await things.scan().toArray()
  t.deepEqual(
    scanned.map(({ id }) => id),
    keys,
  )
  t.deepEqual(
    scanned.map(({ n }) => n),
    keys.map((_, n) => n),
  )
})
