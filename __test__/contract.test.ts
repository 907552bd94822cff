/**
 * The defects that were found in the original system, D1 to D17, and that this one does not have. `docs/original.md` lists
 * them, and what else differs from the original.
 */
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { FountainStore, Index, StoreError } from '../index.mjs'
import { child, collect, directory, fails, newStore } from './support.js'

interface Item {
  id: string
  n?: number
  email?: string
}

const ids = (found: readonly { id: unknown }[]) => found.map(({ id }) => id)

/** All files below a directory, with their sizes. */
function files(path: string): { path: string; bytes: number }[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .map((name) => join(path, name))
    .filter((name) => statSync(name).isFile())
    .map((name) => ({ path: name, bytes: statSync(name).size }))
}

test('D1: no key is looked for and no port is opened, so nothing is served to whoever has no key', async (t) => {
  const script = `
    const store = await FountainStore.open(path)
    await store.collection('items').put({ id: 'a' })
    console.log(process.getActiveResourcesInfo().filter((name) => /TCP|Pipe.*Server|Server/.test(name)).join())
    await store.close()
  `
  const env = { FS_API_KEY: 'secret', FS_USE_SECRET_SERVICE: '1', PORT: '0', FS_PATH: join(directory(t), 'other') }
  const path = join(directory(t), 'store')
  const { code, stdout, stderr } = await child(path, script, { env }).ended
  t.is(code, 0, stderr)
  t.is(stdout.trim(), '')
  t.false(existsSync(env.FS_PATH))
  for (const file of files(path)) t.false(readFileSync(file.path).includes('secret'), file.path)
})

test('D2: collections and indexes are known after reopening, before any of them is used', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  await first.collection<Item>('items').define(Index.unique('byEmail', 'email'))
  await first.collection('others').put({ id: 'x' })
  await first.close()
  await using second = await FountainStore.open(path)
  t.deepEqual(await second.collections(), ['items', 'others'])
  t.like(second.collection('items').indexes()[0], { name: 'byEmail', state: 'ready' })
})

test('D3: after a crash sequences go on where they were, and a snapshot sees what was never flushed', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const items = (await FountainStore.open(path)).collection('items')
    for (const id of ['a', 'b', 'c']) await items.put({ id })
    await say('written')
    setInterval(() => {}, 1000)
  `
  const writer = child(path, script)
  await writer.said('written')
  writer.kill()
  await writer.ended
  await using store = await FountainStore.open(path)
  const items = store.collection<Item>('items')
  t.is(store.sequence, 3)
  await using snapshot = store.snapshot()
  t.deepEqual(ids(await snapshot.collection<Item>('items').scan().toArray()), ['a', 'b', 'c'])
  t.is((await items.put({ id: 'd' })).sequence, 4)
})

test('D4: after reopening a store of several tables the newest version is the newest', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  for (let n = 1; n <= 6; n++) {
    await first.collection<Item>('items').put({ id: 'a', n })
    await first.flush()
  }
  await first.close()
  await using second = await FountainStore.open(path)
  const items = second.collection<Item>('items')
  t.is((await items.get('a'))?.n, 6)
  const versions = await collect(items.history('a'))
  t.deepEqual(
    versions.map(({ doc }) => doc?.n),
    [6, 5, 4, 3, 2, 1],
  )
})

test('D5: everything can be read at once after opening', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  await first.collection<Item>('items').define(Index.unique('byEmail', 'email'))
  await first.collection<Item>('items').put({ id: 'a', email: 'a@x' })
  await first.close()
  await using second = await FountainStore.open(path)
  const items = second.collection<Item>('items')
  t.deepEqual(items.getSync('a'), { id: 'a', email: 'a@x' })
  t.deepEqual(ids(await items.byIndex('byEmail', 'a@x')), ['a'])
})

test('D6: documents are read from the disk through a cache of the size that was asked for', async (t) => {
  const store = await newStore(t, { cacheBytes: 128 * 1024, memtableBytes: 256 * 1024, durability: 'os' })
  const items = store.collection<Item & { text: string }>('items')
  const text = 'x'.repeat(4000)
  await items.batch(Array.from({ length: 500 }, (_, n) => ({ put: { id: `${n}`, n, text: text + n } })))
  await store.flush()
  t.is((await items.scan().toArray()).length, 500)
  const { cacheBytes, cacheMisses, memtableBytes } = store.metrics()
  t.true(cacheMisses > 0)
  t.true(cacheBytes <= 256 * 1024, `${cacheBytes} bytes cached`)
  t.true(memtableBytes < 256 * 1024, `${memtableBytes} bytes in memory`)
})

test('D7: what nothing needs any more is dropped, and its space comes back', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly', durability: 'os' })
  const items = store.collection<Item & { text: string }>('items')
  for (let n = 0; n < 200; n++) await items.put({ id: 'a', n, text: `${n}`.repeat(1000) })
  await store.flush()
  await store.compact()
  const { versionsDropped, levelBytes } = store.metrics()
  t.true(versionsDropped >= 199, `${versionsDropped} versions dropped`)
  t.true(levelBytes.reduce((sum, bytes) => sum + bytes, 0) < 100_000)
  t.is((await items.get('a'))?.n, 199)
})

test('D8: of a batch or transaction everything happens or nothing, and its operations are judged together', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.define(Index.unique('byEmail', 'email'))
  const twins = [{ put: { id: 'a', email: 'e' } }, { put: { id: 'b', email: 'e' } }]
  await fails(t, () => items.batch(twins), { code: 'ERR_UNIQUE', collection: 'items', key: 'b' })
  const operations = [items.putOp({ id: 'a' }), items.deleteOp('x', { ifSequence: 1 })]
  await fails(t, () => store.batch(operations), { code: 'ERR_CONFLICT' })
  await fails(t, () => store.batch([items.putOp({ id: 'a' })], { requireSequenceAtLeast: 99 }), {
    code: 'ERR_SEQUENCE',
  })
  const unfinished = store.transaction((tx) => {
    tx.collection<Item>('items').put({ id: 'a' })
    throw new RangeError('enough')
  })
  await t.throwsAsync(unfinished, { instanceOf: RangeError })
  t.deepEqual(await items.scan().toArray(), [])
})

test('D9: a unique key is refused whichever way it is written', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.define(Index.unique('byEmail', 'email'))
  await items.batch([{ put: { id: 'a', email: 'a@x' } }, { put: { id: 'b', email: 'b@x' } }])
  const twin = { id: 'c', email: 'a@x' }
  const ways: Record<string, () => unknown> = {
    put: () => items.put(twin),
    putJson: () => items.putJson(JSON.stringify(twin)),
    insert: () => items.insert(twin),
    putIfAbsent: () => items.putIfAbsent(twin),
    batch: () => items.batch([{ put: twin }]),
    'store.batch': () => store.batch([items.putOp(twin)]),
    transaction: () => store.transaction((tx) => tx.collection<Item>('items').put(twin)),
    updateWhere: () => items.updateWhere({ email: 'b@x' }, { email: 'a@x' }),
  }
  for (const [way, write] of Object.entries(ways)) {
    const error = await fails(t, write, { code: 'ERR_UNIQUE', collection: 'items', says: /byEmail key="a@x"/ })
    t.is(error.details.holder, 'a', way)
  }
  t.deepEqual(ids(await items.scan().toArray()), ['a', 'b'])
})

test('D10: a store is only ever saved into a new directory; what is there already is neither deleted nor mixed', async (t) => {
  const base = directory(t)
  const [path, other] = [join(base, 'store'), join(base, 'other')]
  for (const [where, id] of [
    [path, 'kept'],
    [other, 'mine'],
  ] as const) {
    const store = await FountainStore.open(where)
    await store.collection<Item>('items').put({ id })
    await store.close()
  }
  await fails(t, () => FountainStore.salvage(join(base, 'missing'), join(base, 'new')), { code: 'ERR_NOT_FOUND' })
  t.false(existsSync(join(base, 'new')))
  await t.throwsAsync(FountainStore.salvage(path, other), { instanceOf: StoreError })
  for (const [where, id] of [
    [path, 'kept'],
    [other, 'mine'],
  ] as const) {
    await using store = await FountainStore.open(where)
    t.deepEqual(ids(await store.collection<Item>('items').scan().toArray()), [id])
  }
})

test('D11: a closed store can be moved, since no file says where it lies', async (t) => {
  const base = directory(t)
  const [before, after] = [join(base, 'before-it-moved'), join(base, 'after')]
  const first = await FountainStore.open(before)
  await first.collection<Item>('items').put({ id: 'a' })
  await first.flush()
  await first.close()
  for (const file of files(before)) t.false(readFileSync(file.path).includes('before-it-moved'), file.path)
  renameSync(before, after)
  await using second = await FountainStore.open(after)
  t.deepEqual(await second.collection<Item>('items').get('a'), { id: 'a' })
})

test('D12: writes of one tick share syncs, and the log is gone when tables have what it said', async (t) => {
  const store = await newStore(t, { walSegmentBytes: 64 * 1024 })
  const items = store.collection<Item & { text: string }>('items')
  const before = store.metrics().walSyncs
  await Promise.all(Array.from({ length: 300 }, (_, n) => items.put({ id: `${n}`, text: 'x'.repeat(2000) })))
  const { walSyncs, latencies } = store.metrics()
  const syncs = walSyncs - before
  t.true(latencies.walSync.count >= syncs && latencies.walSync.p50 > 0 && latencies.commit.count > 0)
  t.true(latencies.walSync.max >= latencies.walSync.mean)
  t.true(syncs < 100, `${syncs} syncs for 300 writes`)
  await store.flush()
  await items.put({ id: 'last', text: '' })
  const log = files(join(store.path, 'wal')).reduce((sum, file) => sum + file.bytes, 0)
  t.true(log < 300 * 2000, `${log} bytes of log are left`)
})

test('D13: a second process is kept out until the store is closed', async (t) => {
  const path = join(directory(t), 'store')
  const store = await FountainStore.open(path)
  const script = `
    const outcome = await FountainStore.open(path).then((store) => store.close(), (error) => error)
    console.log(outcome?.code ?? 'opened', outcome?.pid ?? '')
  `
  t.is((await child(path, script).ended).stdout.trim(), `ERR_LOCKED ${process.pid}`)
  await store.close()
  t.is((await child(path, script).ended).stdout.trim(), 'opened')
})

test('D14: an index answers for the past as a scan of it would, also for what was before it was defined', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  const items = first.collection<Item>('items')
  const { sequence } = await items.batch([{ put: { id: 'a', n: 1 } }, { put: { id: 'b', n: 2 } }])
  await items.batch([{ delete: 'a' }, { put: { id: 'b', n: 1 } }])
  await items.define(Index.multi('byN', 'n'))
  await first.close()
  await using second = await FountainStore.open(path)
  await using past = second.at(sequence)
  t.deepEqual(ids(await past.collection<Item>('items').byIndex('byN', 1)), ['a'])
  t.deepEqual(ids(await second.collection<Item>('items').byIndex('byN', 1)), ['b'])
})

test('D15: pages reach every document once and come to an end, whatever the default limit', async (t) => {
  const store = await newStore(t, { defaultScanLimit: 100, durability: 'os' })
  const items = store.collection<Item>('items')
  await items.define(Index.multi('byN', 'n'))
  await items.batch(Array.from({ length: 250 }, (_, n) => ({ put: { id: String(n).padStart(3, '0'), n: n % 2 } })))
  const seen: string[] = []
  for (let gt: string | undefined, page: Item[]; ; gt = page.at(-1)?.id) {
    page = await items.scan({ gt }).toArray()
    if (page.length === 0) break
    seen.push(...page.map(({ id }) => id))
  }
  t.is(new Set(seen).size, 250)
  t.is(seen.length, 250)
  t.deepEqual(await items.scan({ gt: '999' }).toArray(), [])
  const query = items.find({ where: { n: 1 }, hint: { index: 'byN' } })
  let [found, pages] = [0, 0]
  for (let page = await query.page(40); ; page = await query.after(page.next).page(40)) {
    found += page.items.length
    pages++
    if (page.next === undefined) break
  }
  t.is(found, 125)
  t.is(pages, 4)
})

test('D16: compaction does something, and loses nothing to flushes and writes at the same time', async (t) => {
  const store = await newStore(t, { memtableBytes: 64 * 1024, durability: 'os' })
  const items = store.collection<Item & { text: string }>('items')
  const write = async (from: number) => {
    for (let n = from; n < from + 100; n++) await items.put({ id: `${n}`, n, text: 'x'.repeat(500) })
  }
  await Promise.all([write(0), store.flush(), store.compact(), write(1000), store.flush(), store.compact()])
  await store.compact()
  t.is((await items.scan().toArray()).length, 200)
  const { compactions, levelTables } = store.metrics()
  t.true(compactions > 0)
  t.is(levelTables[0], 0)
})

test('D17: vectors of any length are stored as they are, and none is looked up by index', async (t) => {
  const store = await newStore(t)
  const items = store.collection<{ id: string; vector: Float32Array }>('items')
  await items.define(Index.multi('byVector', 'vector'))
  await items.put({ id: 'a', vector: new Float32Array(3) })
  await items.put({ id: 'b', vector: new Float32Array(1000) })
  t.deepEqual(
    (await items.scan().toArray()).map(({ vector }) => vector.length),
    [3, 1000],
  )
  await fails(t, () => items.byIndex('byVector', new Float32Array(3) as never), { code: 'ERR_INVALID_ARGUMENT' })
})
