/** Opening and filling stores, the same way for every engine. */
import { openEngine } from '../engines/index.mjs'
import { documentOf } from './documents.mjs'

export { openEngine }

const LOAD_BATCH = 1000

/** `count` documents from number `from`. */
export const batchOf = (kind, from, count) => Array.from({ length: count }, (_, n) => documentOf(kind, from + n))

/** A store with `count` documents of a kind in it, everything on disk. */
export async function load(engine, options, kind, count) {
  const store = await openEngine(engine, options)
  for (let from = 0; from < count; from += LOAD_BATCH) {
    await store.batch(batchOf(kind, from, Math.min(LOAD_BATCH, count - from)))
  }
  await store.settle()
  return store
}
