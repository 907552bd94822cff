/** Importing many documents in bulk, and opening the store they are in with the first answer out of it. */
import { check, keyOf } from '../lib/documents.mjs'
import { timeWhole } from '../lib/measure.mjs'
import { batchOf, openEngine } from '../lib/store.mjs'

const CACHE_BYTES = 64 << 20
const BATCH = 10_000
const OPENINGS = 5
/** A million documents where the other workloads have 200,000. */
const FACTOR = 5

export async function run({ engine, dir, documents, report }) {
  const options = { dir, cacheBytes: CACHE_BYTES, durability: 'disk', indexes: false }
  const count = FACTOR * documents
  let store = await openEngine(engine, options)
  const work = (n) => store.batch(batchOf('small', n * BATCH, BATCH))
  const imported = await timeWhole({ count: BATCH, repeats: Math.ceil(count / BATCH), limitMs: Infinity, work })
  await store.close()
  report('bulk-import', imported)
  const open = async (n) => {
    store = await openEngine(engine, options)
    const i = (n * 104_729) % count
    check('small', i, await store.get(keyOf(i)))
  }
  const times = []
  for (let n = 0; n < OPENINGS; n++) {
    times.push(await timeWhole({ count: 1, repeats: 1, limitMs: 0, work: () => open(n) }))
    await store.close()
  }
  times.sort((a, b) => a.p50_us - b.p50_us)
  report('open', { ...times[OPENINGS >> 1] })
}
