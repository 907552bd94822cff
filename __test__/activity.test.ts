/** What a handle counts and tells its logger, and the options of the original system. */
import { join } from 'node:path'
import test from 'ava'
import { FountainStore, Index, type LogEvent } from '../index.mjs'
import { child, collect, directory, newStore } from './support.js'

interface Item {
  id: string
  tag?: string
}

test('everything is counted by what was asked for, and resetting answers with what was counted', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.define(Index.multi('byTag', 'tag'))
  await items.put({ id: 'a', tag: 'x' })
  await items.insert({ id: 'b', tag: 'x' })
  await items.putJson('{"id":"c"}')
  await items.delete('c')
  await items.batch([{ put: { id: 'd' } }, { delete: 'd' }, { insert: { id: 'e' } }])
  await store.batch([items.putOp({ id: 'f' })])
  await items.get('a')
  items.getSync('a')
  await items.getJson('a')
  await items.getMany(['a', 'b'])
  await items.scan().toArray()
  await items.byIndex('byTag', 'x')
  await items.scanIndex('byTag', 'x', { limit: 1 }).toArray()
  await collect(items.history('a'))
  await items.find({ where: { tag: 'x' } }).first()
  await store.transaction((tx) => tx.collection<Item>('items').put({ id: 'g' }))
  await t.throwsAsync(items.put({} as Item))
  const counts = {
    puts: 6,
    gets: 8,
    deletes: 2,
    scans: 1,
    indexLookups: 2,
    batches: 2,
    histories: 1,
    queries: 1,
    transactions: 1,
  }
  t.deepEqual(store.metricsSnapshot(), counts)
  t.deepEqual(store.resetMetrics(), counts)
  t.deepEqual(store.metricsSnapshot(), {
    ...counts,
    ...Object.fromEntries(Object.keys(counts).map((name) => [name, 0])),
  })
  t.is(store.metrics().commits, 8)
})

test('a logger is told in order what is done, in plain data', async (t) => {
  const events: LogEvent[] = []
  const path = join(directory(t), 'store')
  const store = await FountainStore.open({ path, logger: (event) => events.push(event) })
  const items = store.collection<Item>('items')
  await items.define(Index.multi('byTag', 'tag'))
  await items.put({ id: 'a', tag: 'x' })
  await items.get('a')
  await items.delete('a')
  await items.batch([{ put: { id: 'b' } }, { delete: 'c' }])
  await items.scan().toArray()
  await items.byIndex('byTag', 'x')
  await collect(items.history('a'))
  await items.getMany(['a', 'b', 'c'])
  await items.getMeta('a')
  await items.getJson('a')
  await items.find().first()
  await items.updateWhere({ tag: 'none' }, { tag: 'x' })
  await store.transaction(async (tx) => void (await tx.collection<Item>('items').get('a')))
  await store.batch([items.deleteOp('b')])
  await store.flush()
  await store.compact()
  await store.close()
  await store.close()
  t.deepEqual(JSON.parse(JSON.stringify(events)), events)
  t.deepEqual(
    events.map((event) => ('ms' in event ? { type: event.type, ms: typeof event.ms } : event)),
    [
      { type: 'open', path, created: true },
      { type: 'put', collection: 'items' },
      { type: 'get', collection: 'items' },
      { type: 'delete', collection: 'items' },
      { type: 'batch', collection: 'items', count: 2 },
      { type: 'scan', collection: 'items' },
      { type: 'indexLookup', collection: 'items', index: 'byTag' },
      { type: 'history', collection: 'items' },
      { type: 'getMany', collection: 'items', count: 3 },
      { type: 'get', collection: 'items' },
      { type: 'get', collection: 'items' },
      { type: 'query', collection: 'items' },
      { type: 'query', collection: 'items' },
      { type: 'transaction' },
      { type: 'get', collection: 'items' },
      { type: 'flush', ms: 'number' },
      { type: 'compaction', ms: 'number' },
      { type: 'close', path },
    ],
  )
})

test('a logger is told what recovery found', async (t) => {
  const path = join(directory(t), 'store')
  const writer = child(
    path,
    `await (await FountainStore.open(path)).collection('items').put({ id: 'a' }); process.kill(process.pid, 'SIGKILL')`,
  )
  await writer.ended
  const events: LogEvent[] = []
  await using _ = await FountainStore.open(path, { logger: (event) => events.push(event) })
  t.like(events[0], { type: 'open', created: false })
  t.like(events[1], { type: 'recovery', replayedCommits: 1, discardedBytes: 0, quarantined: 0 })
})

test('a logger that throws, rejects or writes to the store itself does no harm', async (t) => {
  const path = join(directory(t), 'store')
  const logs: { put?: (event: LogEvent) => unknown } = {}
  let calls = 0
  await using store = await FountainStore.open(path, {
    logger: (event) => {
      calls++
      logs.put?.(event)
      if (event.type === 'get') return Promise.reject(new Error('later')) as never
      throw new Error('at once')
    },
  })
  let n = 0
  const written: Promise<unknown>[] = []
  logs.put = (event) => written.push(store.collection('log').put({ id: n++, event }))
  await store.collection<Item>('items').put({ id: 'a' })
  t.deepEqual(await store.collection<Item>('items').get('a'), { id: 'a' })
  t.is(calls, 3)
  await Promise.all(written)
  t.is((await store.collection('log').scan().toArray()).length, 2)
})

test('scans without a limit end at the default limit, and reads of one key do not', async (t) => {
  const store = await newStore(t, { defaultScanLimit: 3 })
  const items = store.collection<Item>('items')
  await items.define(Index.multi('byTag', 'tag'))
  await items.batch(['a', 'b', 'c', 'd', 'e'].map((id) => ({ put: { id, tag: 'x' } })))
  t.is((await items.scan().toArray()).length, 3)
  t.is((await items.scan({ limit: 4 }).toArray()).length, 4)
  t.is((await items.rangeIndex('byTag').toArray()).length, 3)
  t.is((await items.scanIndex('byTag', 'x').toArray()).length, 3)
  t.is((await items.byIndex('byTag', 'x')).length, 5)
  t.is((await items.find().toArray()).length, 5)
})

test('the options of the original system open a store', async (t) => {
  const path = join(directory(t), 'store')
  const options = { path, cacheBytes: 64 << 20, logger: () => {}, defaultScanLimit: 100, walSegmentBytes: 4 << 20 }
  await using store = await FountainStore.open(options)
  t.is(store.path, path)
})
