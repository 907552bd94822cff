/** Durable writes, each workload into a fresh store: one by one, with 64 and 1,000 in flight, in batches of 1,000. */
import { mkdirSync } from 'node:fs'
import { check, documentOf, keyOf } from '../lib/documents.mjs'
import { timeAwaited, timeConcurrent, timeWhole } from '../lib/measure.mjs'
import { batchOf, openEngine } from '../lib/store.mjs'

const CACHE_BYTES = 64 << 20
const BATCH = 1000

const WORKLOADS = {
  'put-awaited': (store, { kind, documents, limitMs }) =>
    timeAwaited({ count: documents, limitMs, every: 1, operation: (i) => store.put(documentOf(kind, i)) }),
  'put-64': (store, { kind, documents, limitMs }) =>
    timeConcurrent({ count: documents, limitMs, inFlight: 64, operation: (i) => store.put(documentOf(kind, i)) }),
  'put-1000': (store, { kind, documents, limitMs }) =>
    timeConcurrent({ count: documents, limitMs, inFlight: 1000, operation: (i) => store.put(documentOf(kind, i)) }),
  'batch-1000': (store, { kind, documents, limitMs }) => {
    const work = (n) => store.batch(batchOf(kind, n * BATCH, BATCH))
    return timeWhole({ count: BATCH, repeats: Math.floor(documents / BATCH), limitMs, work })
  },
}

export async function run({ engine, dir, documents, kind, limitMs, only, report }) {
  for (const [name, work] of Object.entries(WORKLOADS)) {
    const workload = kind === 'small' ? name : `${name}-2k`
    if (!only(workload)) continue
    const options = { dir: `${dir}/${name}`, cacheBytes: CACHE_BYTES, durability: 'disk', indexes: false }
    mkdirSync(options.dir)
    let store = await openEngine(engine, options)
    const measured = await work(store, { kind, documents, limitMs })
    await store.close()
    // What was acknowledged must be there for who comes later.
    store = await openEngine(engine, options)
    for (let i = 0; i < Math.min(200, measured.operations); i++) check(kind, i, await store.get(keyOf(i)))
    await store.close()
    report(workload, measured)
  }
}
