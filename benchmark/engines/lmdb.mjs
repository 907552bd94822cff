/**
 * lmdb with msgpackr records and shared structures, its fastest way to keep objects.
 *
 * A put resolves when it is visible; it is on disk when `flushed` resolves, which is waited for where durability counts.
 */
import { open as openLmdb } from 'lmdb'

/** Opens an environment in `dir`. It has no cache of its own: the operating system's is all there is. */
export async function open({ dir, durability }) {
  const structures = Symbol.for('structures')
  const db = openLmdb({
    path: `${dir}/data.mdb`,
    encoding: 'msgpack',
    sharedStructuresKey: structures,
    noSync: durability !== 'disk',
  })
  const durable = durability === 'disk'
  const settled = durable ? () => db.flushed : () => undefined
  const sum = (range, touch) => {
    let count = 0
    let total = 0
    for (const { value } of range) {
      total += touch(value)
      count += 1
    }
    return { count, total }
  }
  const bounds = ({ gte, lt, prefix, reverse, limit }) => {
    const start = prefix ?? gte
    const end = prefix === undefined ? lt : `${prefix}\u{10ffff}`
    // Without bounds the range must not reach the structures, whose key is a symbol and comes before all strings.
    return reverse
      ? { start: end ?? '\u{10ffff}', end: start ?? '', reverse, limit }
      : { start: start ?? '', end, limit }
  }
  return {
    getSync: (key) => db.get(key),
    get: async (key) => db.get(key),
    getMany: (keys) => db.getMany(keys),
    put: async (document) => {
      await db.put(document.id, document)
      await settled()
    },
    batch: async (several) => {
      await db.transaction(() => {
        for (const document of several) db.put(document.id, document)
      })
      await settled()
    },
    scan: async (asked, touch) => sum(db.getRange(bounds(asked)), touch),
    scanSelected: async (touch) => sum(db.getRange({ start: '' }), touch),
    filter: async (age) =>
      db
        .getRange({ start: '' })
        .filter(({ value }) => value.age >= age && value.active && value.address.zip < 30_000)
        .map(({ value }) => value).asArray,
    settle: () => db.flushed,
    close: () => db.close(),
  }
}
