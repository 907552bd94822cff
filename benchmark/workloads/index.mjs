/** Three indexes (unique e-mail, city, age): what they cost an insert, and what they give a reader; and a filter without. */
import assert from 'node:assert/strict'
import { documentOf, shuffled, touch } from '../lib/documents.mjs'
import { timeAwaited, timeWhole, warm } from '../lib/measure.mjs'
import { batchOf, openEngine } from '../lib/store.mjs'

const CACHE_BYTES = 256 << 20
const BATCH = 1000
const RANGE = 100

export async function run({ engine, dir, documents, limitMs, report }) {
  const store = await openEngine(engine, { dir, cacheBytes: CACHE_BYTES, durability: 'disk', indexes: true })
  const insert = (n) => store.batch(batchOf('small', n * BATCH, BATCH))
  // All of them are inserted, whatever the time: what follows needs them.
  const measured = await timeWhole({ count: BATCH, repeats: documents / BATCH, limitMs: Infinity, work: insert })
  if (store.indexEqual) report('insert-3-indexes', measured)
  await store.settle()

  const all = Array.from({ length: documents }, (_, i) => documentOf('small', i))
  if (store.indexEqual) {
    const cities = Map.groupBy(all, (document) => document.address.city)
    const names = [...cities.keys()]
    const order = shuffled(names.length)
    const equal = async (n) => {
      const city = names[order[n % names.length]]
      const found = await store.indexEqual(city)
      assert.equal(found.length, cities.get(city).length)
      let sum = 0
      for (const document of found) sum += touch(document)
      return sum
    }
    for (let n = 0; n < Math.min(names.length, 100); n++) {
      const wanted = cities.get(names[order[n]]).reduce((sum, document) => sum + touch(document), 0)
      assert.equal(await equal(n), wanted)
    }
    await warm(limitMs, equal)
    report('index-equal', await timeAwaited({ count: documents, limitMs, every: 1, operation: equal }))

    const range = async (n) => {
      const from = (n * 7) % 80
      const found = await store.indexRange(from, from + 5, RANGE)
      assert.equal(found.length, RANGE)
      assert.ok(found.every(({ age }) => age >= from && age < from + 5))
    }
    await warm(limitMs, range)
    report('index-range-100', await timeAwaited({ count: documents, limitMs, every: 1, operation: range }))
  }

  const wanted = all.filter(({ age, active, address }) => age >= 70 && active && address.zip < 30_000)
  const filter = async () => {
    const found = await store.filter(70)
    assert.equal(found.length, wanted.length)
  }
  await warm(limitMs, filter)
  report('filter', await timeWhole({ count: documents, repeats: 100, limitMs, work: filter }))
  await store.close()
}
