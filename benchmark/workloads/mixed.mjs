/** A service's day: 64 clients, four reads to one durable write, while what is written is merged in the background. */
import assert from 'node:assert/strict'
import { documentOf, keyOf, randomFrom, touch } from '../lib/documents.mjs'
import { timeConcurrent } from '../lib/measure.mjs'
import { load } from '../lib/store.mjs'

const CACHE_BYTES = 64 << 20
const CLIENTS = 64

export async function run({ engine, dir, documents, limitMs, report }) {
  const options = { dir, cacheBytes: CACHE_BYTES, durability: 'disk', indexes: false }
  const store = await load(engine, options, 'small', documents)
  const random = randomFrom(11)
  let sum = 0
  const operation = async () => {
    const i = Math.floor(random() * documents)
    if (random() < 0.2) return store.put(documentOf('small', i))
    sum += touch(await store.get(keyOf(i)))
  }
  await timeConcurrent({ count: 5_000, limitMs: limitMs / 4, inFlight: CLIENTS, operation })
  report('mixed-80-20', await timeConcurrent({ count: Infinity, limitMs: 2 * limitMs, inFlight: CLIENTS, operation }))
  assert.ok(sum > 0)
  await store.close()
}
