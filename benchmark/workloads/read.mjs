/** Reads of what is in memory: single, many at once, and scans; every answer is added up and compared. */
import assert from 'node:assert/strict'
import { check, keyOf, shuffled, touch, touchSum } from '../lib/documents.mjs'
import { timeAwaited, timeSync, timeWhole, warm } from '../lib/measure.mjs'
import { load } from '../lib/store.mjs'

const CACHE_BYTES = 256 << 20
const MANY = 1000

/** How the count and sum of a whole scan must come out. */
const whole = (kind, documents) => {
  const numbers = Array.from({ length: documents }, (_, i) => i)
  return { count: documents, total: touchSum(kind, numbers) }
}

/** Keys in their order, for bounds. */
const orderedKeys = (documents) => Array.from({ length: documents }, (_, i) => keyOf(i)).sort()

export async function run({ engine, dir, documents, kind, limitMs, report }) {
  const options = { dir, cacheBytes: CACHE_BYTES, durability: 'disk', indexes: false }
  const store = await load(engine, options, kind, documents)
  const order = shuffled(documents)
  const suffix = kind === 'small' ? '' : '-2k'
  const limit = { count: 5 * documents, limitMs }
  const expected = whole(kind, documents)
  const repeats = 1000

  for (const i of order.subarray(0, Math.min(documents, 30_000))) check(kind, i, await store.get(keyOf(i)))
  if (store.getSync) {
    let sum = 0
    const keys = Array.from(order, keyOf)
    const operation = (i) => {
      sum += touch(store.getSync(keys[i % documents]))
    }
    for (let i = 0; i < documents; i++) operation(i)
    assert.equal(sum, expected.total)
    await warm(limitMs, operation)
    report(`get-sync${suffix}`, await timeSync({ ...limit, operation }))
  }
  const keys = Array.from(order, keyOf)
  let sum = 0
  const get = async (i) => {
    sum += touch(await store.get(keys[i % documents]))
  }
  await warm(limitMs, get)
  report(`get-awaited${suffix}`, await timeAwaited({ ...limit, operation: get }))
  assert.ok(sum > 0)

  let at = 0
  const many = async () => {
    const from = (at++ * MANY) % (documents - MANY + 1)
    const found = await store.getMany(keys.slice(from, from + MANY))
    let total = 0
    for (const document of found) total += touch(document)
    return { from, total }
  }
  for (let n = 0; n < 5; n++) {
    const { from, total } = await many()
    assert.equal(total, touchSum(kind, order.subarray(from, from + MANY)))
  }
  await warm(limitMs, many)
  report(`get-many-1000${suffix}`, await timeWhole({ count: MANY, repeats, limitMs, work: many }))

  const scans = {
    scan: () => store.scan({}, touch),
    'scan-reverse': () => store.scan({ reverse: true }, touch),
    'scan-select': () => store.scanSelected(touch),
  }
  for (const [name, work] of Object.entries(scans)) {
    assert.deepEqual(await work(), expected, `${name} of ${engine}`)
    await warm(limitMs, work)
    report(`${name}${suffix}`, await timeWhole({ count: documents, repeats, limitMs, work }))
  }
  if (kind === 'small') await parts({ store, documents, limitMs, repeats, report })
  await store.close()
}

/** Scans of a part: 1,000 documents between two keys, and those whose keys begin with a text. */
async function parts({ store, documents, limitMs, repeats, report }) {
  const ordered = orderedKeys(documents)
  const width = Math.min(MANY, documents - 1)
  let at = 0
  const bounded = async () => {
    const from = (at++ * 7919) % (documents - width)
    const { count } = await store.scan({ gte: ordered[from], lt: ordered[from + width] }, touch)
    assert.equal(count, width)
  }
  await warm(limitMs, bounded)
  report('scan-bounded-1000', await timeWhole({ count: width, repeats: 100 * repeats, limitMs, work: bounded }))
  const prefix = ordered[documents >> 1].slice(0, 3)
  const within = ordered.filter((key) => key.startsWith(prefix)).length
  const byPrefix = async () => {
    const { count } = await store.scan({ prefix }, touch)
    assert.equal(count, within)
  }
  await warm(limitMs, byPrefix)
  report('scan-prefix', await timeWhole({ count: within, repeats: 100 * repeats, limitMs, work: byPrefix }))
}
