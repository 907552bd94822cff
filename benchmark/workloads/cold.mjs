/** Random reads of a data set four times the cache, awaited one by one and with 64 in flight. */
import assert from 'node:assert/strict'
import { keyOf, shuffled, touch, touchSum } from '../lib/documents.mjs'
import { timeAwaited, timeConcurrent, warm } from '../lib/measure.mjs'
import { load } from '../lib/store.mjs'

/** Bytes of a small document as JSON, near enough to make the cache a quarter of all. */
const DOCUMENT_BYTES = 230

export async function run({ engine, dir, documents, limitMs, report }) {
  const cacheBytes = Math.max(1 << 20, Math.floor((documents * DOCUMENT_BYTES) / 4))
  const store = await load(engine, { dir, cacheBytes, durability: 'disk', indexes: false }, 'small', documents)
  const order = shuffled(documents, 23)
  const keys = Array.from(order, keyOf)
  let sum = 0
  const operation = async (i) => {
    sum += touch(await store.get(keys[i % documents]))
  }
  for (let i = 0; i < documents; i += 16) await operation(i)
  sum = 0
  for (let i = 0; i < 1000; i++) await operation(i)
  assert.equal(sum, touchSum('small', order.subarray(0, 1000)))
  await warm(limitMs, operation)
  report('get-cold', await timeAwaited({ count: Infinity, limitMs, operation }))
  report('get-cold-64', await timeConcurrent({ count: Infinity, limitMs, inFlight: 64, operation }))
  await store.close()
}
