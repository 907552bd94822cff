/** What classic-level and the RocksDB binding, which have one interface, share: JSON values under string keys. */

/** The adapter for an open database of that interface; `getSync` is undefined where the binding has none. */
export function adapt(db, { durability, getSync, getMany, putsAsBatch = false }) {
  const sync = durability === 'disk'
  const entry = (document) => ({ type: 'put', key: document.id, value: JSON.stringify(document) })
  const bounds = ({ gte, lt, prefix, reverse = false, limit = -1 }) => ({
    ...(prefix !== undefined
      ? { gte: prefix, lt: `${prefix}\u{10ffff}` }
      : { ...(gte !== undefined && { gte }), ...(lt !== undefined && { lt }) }),
    reverse,
    limit,
  })
  const each = async (asked, visit) => {
    const values = db.values(bounds(asked))
    try {
      for (let page = await values.nextv(1000); page.length > 0; page = await values.nextv(1000)) {
        for (const value of page) visit(JSON.parse(value))
      }
    } finally {
      await values.close()
    }
  }
  const sum = async (asked, touch) => {
    let count = 0
    let total = 0
    await each(asked, (document) => {
      total += touch(document)
      count += 1
    })
    return { count, total }
  }
  return {
    getSync,
    get: async (key) => {
      const value = await db.get(key)
      return value === undefined ? undefined : JSON.parse(value)
    },
    getMany,
    put: (document) =>
      putsAsBatch ? db.batch([entry(document)], { sync }) : db.put(document.id, JSON.stringify(document), { sync }),
    batch: (several) => db.batch(several.map(entry), { sync }),
    scan: sum,
    scanSelected: (touch) => sum({}, touch),
    filter: async (age) => {
      const found = []
      await each({}, (document) => {
        if (document.age >= age && document.active && document.address.zip < 30_000) found.push(document)
      })
      return found
    },
    settle: () => undefined,
    close: () => db.close(),
  }
}
