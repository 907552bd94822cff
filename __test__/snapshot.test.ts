/** Snapshots: a moment of the store that never changes, in memory, on disk and after reopening. */
import { join } from 'node:path'
import test from 'ava'
import { FountainStore, type Snapshot } from '../index.mjs'
import { child, directory, fails, newStore } from './support.js'

interface Item {
  id: string
  n: number
}

const item = (n: number) => ({ id: 'a', n })
const read = (snapshot: Snapshot) => snapshot.collection<Item>('items').get('a')

test('a snapshot reads its moment through every way of reading', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.put(item(1))
  const snapshot = store.snapshot()
  t.is(snapshot.sequence, 1)
  await items.put(item(2))
  await items.put({ id: 'b', n: 2 })
  const view = snapshot.collection<Item>('items')
  t.deepEqual(await view.get('a'), item(1))
  t.deepEqual(view.getSync('a'), item(1))
  t.deepEqual(await view.getMany(['a', 'b']), [item(1), undefined])
  t.deepEqual(await view.scan().toArray(), [item(1)])
  t.deepEqual(await items.get('a', { snapshot }), item(1))
  t.deepEqual(items.getSync('a', { snapshot }), item(1))
  t.deepEqual(await items.getMany(['b'], { snapshot }), [undefined])
  t.deepEqual(await items.scan({ snapshot }).toArray(), [item(1)])
  t.deepEqual(await items.get('a'), item(2))
  t.false('put' in view)
})

test('a snapshot of an empty store stays empty', async (t) => {
  const store = await newStore(t)
  const snapshot = store.snapshot()
  await store.collection<Item>('items').put(item(1))
  t.is(snapshot.sequence, 0)
  t.is(await read(snapshot), undefined)
  t.deepEqual(await snapshot.collection<Item>('items').scan().toArray(), [])
})

for (const retention of ['unbounded', 'latestOnly'] as const) {
  test(`a snapshot survives flush and compaction with retention ${retention}`, async (t) => {
    const store = await newStore(t, { retention, cacheBytes: 0, pageCacheReads: false })
    const items = store.collection<Item>('items')
    await items.put(item(1))
    await using snapshot = store.snapshot()
    for (let n = 2; n < 6; n++) {
      await items.put(item(n))
      await store.flush()
    }
    await store.compact()
    t.deepEqual(await read(snapshot), item(1))
    t.deepEqual(await items.get('a'), item(5))
  })
}

test('every sequence can be read again after reopening, when all versions are kept', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  for (let n = 1; n <= 5; n++) {
    await first.collection<Item>('items').put(item(n))
    if (n === 3) await first.flush()
  }
  await first.compact()
  await first.close()
  await using store = await FountainStore.open(path)
  t.is(store.sequence, 5)
  for (let n = 1; n <= 5; n++) t.deepEqual(await read(store.at(n)), item(n))
  t.is(await read(store.at(0)), undefined)
})

test('a sequence that is not kept, has not happened or is none is refused', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly' })
  const items = store.collection<Item>('items')
  for (let n = 1; n <= 3; n++) await items.put(item(n))
  await store.compact()
  const old = await fails(t, () => store.at(1), { code: 'ERR_HISTORY_TRUNCATED', says: /no longer kept/ })
  t.is(old.details.requested, 1)
  await fails(t, () => store.at(4), { code: 'ERR_SEQUENCE', says: /not happened yet/ })
  for (const wrong of [-1, 1.5, Number.NaN, 2 ** 53, '1', undefined]) {
    await fails(t, () => store.at(wrong as number), { code: 'ERR_INVALID_ARGUMENT', place: 'moment' })
  }
})

test('a closed snapshot answers nothing, and closing again does nothing', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.put(item(1))
  const snapshot = store.snapshot()
  const view = snapshot.collection<Item>('items')
  t.false(snapshot.closed)
  await snapshot.close()
  await snapshot.close()
  snapshot[Symbol.dispose]()
  t.true(snapshot.closed)
  t.is(snapshot.sequence, 1)
  const expected = { code: 'ERR_CLOSED', says: /the snapshot is closed/ } as const
  await fails(t, () => snapshot.collection('items'), expected)
  await fails(t, () => view.get('a'), expected)
  await fails(t, () => view.getSync('a'), expected)
  await fails(t, () => view.getMany(['a']), expected)
  await fails(t, () => view.scan().toArray(), expected)
  await fails(t, () => items.get('a', { snapshot }), expected)
  t.is(store.metrics().openSnapshots, 0)
})

test('closing a snapshot does not cut off reads under way', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly', cacheBytes: 0, pageCacheReads: false })
  const items = store.collection<Item>('items')
  await items.put(item(1))
  const snapshot = store.snapshot()
  await items.put(item(2))
  await store.flush()
  const reading = [read(snapshot), read(snapshot), snapshot.collection<Item>('items').getMany(['a'])]
  await snapshot.close()
  t.deepEqual(await Promise.all(reading), [item(1), item(1), [item(1)]])
  t.is(store.metrics().openSnapshots, 0)
})

test('using and await using close a snapshot', async (t) => {
  const store = await newStore(t)
  {
    using _snapshot = store.snapshot()
    await using _other = store.snapshot()
    t.is(store.metrics().openSnapshots, 2)
  }
  t.is(store.metrics().openSnapshots, 0)
})

test('a snapshot of another store is refused', async (t) => {
  const store = await newStore(t)
  const other = await newStore(t)
  const snapshot = other.snapshot()
  await fails(t, () => store.collection('items').get('a', { snapshot }), {
    code: 'ERR_INVALID_ARGUMENT',
    place: 'options.snapshot',
    says: /another store/,
  })
})

test('forgotten snapshots are released, and the process is warned once', async (t) => {
  const script = `
    const warnings = []
    process.on('warning', (warning) => warnings.push(warning.code))
    const store = await FountainStore.open(path)
    for (let i = 0; i < 3; i++) {
      await store.collection('items').put({ id: 'a', i })
      store.snapshot()
    }
    const kept = store.snapshot()
    for (let i = 0; i < 50 && store.metrics().openSnapshots > 1; i++) {
      gc()
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    console.log(JSON.stringify([store.metrics().openSnapshots, warnings, kept.closed]))
    await kept.close()
    await store.close()
  `
  const { stdout, stderr, code } = await child(join(directory(t), 'store'), script).ended
  t.is(code, 0, stderr)
  t.deepEqual(JSON.parse(stdout), [1, ['FOUNTAINSTORE_SNAPSHOT_FORGOTTEN'], false])
})

test('it is told for how long the longest of the open snapshots has been open', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<{ id: string }>('rows')
  await rows.put({ id: 'a' })
  const longest = () => store.metrics().longestSnapshotMs
  t.is(longest(), 0)
  const first = store.snapshot()
  while (longest() < 5) await rows.get('a')
  await rows.put({ id: 'b' })
  const begun = performance.now()
  const second = store.snapshot()
  const [most, age] = [longest(), Math.floor(performance.now() - begun)]
  t.true(most >= 5 && most >= age, `${most}, ${age}`)
  await first.close()
  const rest = longest()
  t.true(rest <= performance.now() - begun, `${rest}`)
  await second.close()
  t.is(longest(), 0)
})
