/**
 * Durable writes, each workload into a fresh store, which it has warmed by writing for as long as is measured: one by one,
 * with 64 and 1,000 in flight, in batches of 1,000.
 */
import { mkdirSync } from 'node:fs'
import { check, documentOf, keyOf } from '../lib/documents.mjs'
import { timeAwaited, timeConcurrent, timeWhole } from '../lib/measure.mjs'
import { batchOf, openEngine } from '../lib/store.mjs'

const CACHE_BYTES = 64 << 20
const BATCH = 1000

/** Each writes documents from number `first` on. */
const WORKLOADS = {
  'put-awaited': (store, { kind, documents, limitMs }, first) =>
    timeAwaited({ count: documents, limitMs, every: 1, operation: (i) => store.put(documentOf(kind, first + i)) }),
  'put-64': (store, options, first) => putTogether(store, options, first, 64),
  'put-1000': (store, options, first) => putTogether(store, options, first, 1000),
  'batch-1000': (store, { kind, documents, limitMs }, first) => {
    const work = (n) => store.batch(batchOf(kind, first + n * BATCH, BATCH))
    return timeWhole({ count: BATCH, repeats: Math.floor(documents / BATCH), limitMs, work })
  },
}

const putTogether = (store, { kind, documents, limitMs }, first, inFlight) =>
  timeConcurrent({ count: documents, limitMs, inFlight, operation: (i) => store.put(documentOf(kind, first + i)) })

export async function run({ engine, dir, documents, kind, limitMs, only, report }) {
  for (const [name, work] of Object.entries(WORKLOADS)) {
    const workload = kind === 'small' ? name : `${name}-2k`
    if (!only(workload)) continue
    const options = { dir: `${dir}/${name}`, cacheBytes: CACHE_BYTES, durability: 'disk', indexes: false }
    mkdirSync(options.dir)
    let store = await openEngine(engine, options)
    const warming = await work(store, { kind, documents, limitMs }, 0)
    const measured = await work(store, { kind, documents, limitMs }, warming.operations)
    await store.close()
    // What was acknowledged must be there for who comes later.
    store = await openEngine(engine, options)
    for (let n = 0; n < Math.min(200, measured.operations); n++) {
      const i = warming.operations + n
      check(kind, i, await store.get(keyOf(i)))
    }
    await store.close()
    report(workload, measured)
  }
}
