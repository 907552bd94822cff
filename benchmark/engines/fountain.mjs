/** FountainStore through its public interface. It keeps the newest versions only, as its peers do. */
import { FountainStore, Index } from '../../index.mjs'

const SCAN_PAGE = 1000

/** Opens a store in `dir`. */
export async function open({ dir, cacheBytes, durability, indexes }) {
  const store = await FountainStore.open(dir, { cacheBytes, durability, retention: 'latestOnly' })
  const documents = store.collection('documents')
  if (indexes) {
    await documents.define(Index.unique('byEmail', 'email'))
    await documents.define(Index.multi('byCity', 'address.city'))
    await documents.define(Index.multi('byAge', 'age'))
  }
  /** Sums `touch` over what a scan gives, page by page. */
  const sum = async (scan, touch) => {
    let count = 0
    let total = 0
    for await (const page of scan.pages()) {
      for (const document of page) total += touch(document)
      count += page.length
    }
    return { count, total }
  }
  return {
    getSync: (key) => documents.getSync(key),
    get: (key) => documents.get(key),
    getMany: (keys) => documents.getMany(keys),
    put: (document) => documents.put(document),
    batch: (several) => documents.batch(several.map((put) => ({ put }))),
    scan: (bounds, touch) => sum(documents.scan({ pageSize: SCAN_PAGE, ...bounds }), touch),
    scanSelected: (touch) => sum(documents.find({ select: ['age', 'address.city'] }), touch),
    indexEqual: (city) => documents.byIndex('byCity', city),
    indexRange: (from, to, limit) => documents.rangeIndex('byAge', { gte: from, lt: to, limit }).toArray(),
    filter: (age) =>
      documents.find({ where: { age: { $gte: age }, active: true, 'address.zip': { $lt: 30_000 } } }).toArray(),
    settle: () => store.flush(),
    close: () => store.close(),
  }
}
