/** What `--check-syncs` watches: opens a store, puts as told, closes. */
import { mkdirSync } from 'node:fs'
import { documentOf } from './documents.mjs'
import { batchOf, openEngine } from './store.mjs'

const BATCH = 20
const { engine, mode, dir, puts } = JSON.parse(process.argv[2])
mkdirSync(`${dir}/store`)
const store = await openEngine(engine, { dir: `${dir}/store`, cacheBytes: 8 << 20, durability: 'disk', indexes: false })
for (let i = 0; mode !== 'none' && i < puts; i++) {
  if (mode === 'awaited') await store.put(documentOf('small', i))
  else await store.batch(batchOf('small', i * BATCH, BATCH))
}
await store.close()
