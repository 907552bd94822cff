/** What was: versions of documents, differences of moments, and the store at a time. */
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { FountainStore, type Transaction } from '../index.mjs'
import { directory, fails, newStore } from './support.js'

interface Row {
  id: string
  n: number
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

test('a document has its history, deletions included, also after reopening', async (t) => {
  const path = directory(t)
  const store = await FountainStore.open(path)
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  await rows.put({ id: 'b', n: 1 })
  await rows.put({ id: 'a', n: 2 })
  await rows.delete('a')
  await store.flush()
  await rows.put({ id: 'a', n: 3 })
  const expected = [
    { sequence: 5, doc: { id: 'a', n: 3 } },
    { sequence: 4, doc: undefined },
    { sequence: 3, doc: { id: 'a', n: 2 } },
    { sequence: 1, doc: { id: 'a', n: 1 } },
  ]
  t.deepEqual(await all(rows.history('a')), expected)
  t.deepEqual(await all(rows.history('nothing')), [])
  await store.close()
  await using again = await FountainStore.open(path)
  const later = again.collection<Row>('rows')
  t.deepEqual(await all(later.history('a')), expected)
  using past = again.at(4)
  t.deepEqual(await all(past.collection<Row>('rows').history('a')), expected.slice(1))
  t.deepEqual(await all(later.history('a', { snapshot: past })), expected.slice(1))
  t.deepEqual(await later.getMeta('a'), { sequence: 5, deleted: false })
  t.deepEqual(await past.collection<Row>('rows').getMeta('a'), { sequence: 4, deleted: true })
  t.is(await later.getMeta('nothing'), undefined)
})

test('a long history comes in pages, and a loop over it may stop', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row & { text: string }>('rows')
  const text = 'x'.repeat(10_000)
  for (let n = 1; n <= 100; n++) await rows.put({ id: 'a', n, text })
  const seen = await all(rows.history('a'))
  t.deepEqual(
    seen.map(({ doc }) => doc?.n),
    Array.from({ length: 100 }, (_, index) => 100 - index),
  )
  for await (const { doc } of rows.history('a')) if (doc?.n === 98) break
  await t.throwsAsync(all(rows.history('a', { signal: AbortSignal.abort(new RangeError('enough')) })), {
    message: 'enough',
  })
})

test('a difference has what differs, in all collections', async (t) => {
  const store = await newStore(t)
  const [rows, others] = [store.collection<Row>('rows'), store.collection<Row>('others')]
  await rows.batch(['a', 'b', 'c'].map((id) => ({ put: { id, n: 1 } })))
  const before = store.sequence
  await rows.put({ id: 'a', n: 2 })
  await rows.put({ id: 'b', n: 2 })
  await rows.put({ id: 'b', n: 1 })
  await rows.delete('c')
  await others.put({ id: 'x', n: 1 })
  await others.put({ id: 'gone', n: 1 })
  await others.delete('gone')
  t.deepEqual(await all(store.diff(before)), [
    { collection: 'rows', change: { op: 'put', id: 'a', doc: { id: 'a', n: 2 }, sequence: 2 } },
    { collection: 'rows', change: { op: 'delete', id: 'c', sequence: 5 } },
    { collection: 'others', change: { op: 'put', id: 'x', doc: { id: 'x', n: 1 }, sequence: 6 } },
  ])
  t.is((await all(store.diff(before, 2))).length, 1)
  t.deepEqual(await all(store.diff(3, 3)), [])
  await fails(t, () => all(store.diff(0, 99)), { code: 'ERR_SEQUENCE' })
  await fails(t, () => store.diff(-1), { code: 'ERR_INVALID_ARGUMENT', says: /or a Date/ })
})

test('a difference from a later moment to an earlier one is refused', async (t) => {
  const store = await newStore(t)
  const [rows, others] = [store.collection<Row>('rows'), store.collection<Row>('others')]
  await rows.put({ id: 'a', n: 1 })
  await others.put({ id: 'x', n: 1 })
  await store.dropCollection('rows')
  for (const [from, to] of [
    [2, 1],
    [3, 0],
    [store.sequence, 2],
  ] as const) {
    await fails(t, () => all(store.diff(from, to)), { code: 'ERR_INVALID_ARGUMENT', says: /backwards/ })
  }
  await fails(t, () => all(store.diff(store.sequence + 1)), { code: 'ERR_SEQUENCE' })
  await fails(t, () => all(store.diff(store.sequence + 1, 1)), { code: 'ERR_SEQUENCE' })
})

test('a difference of many documents comes in pages', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row & { text: string }>('rows')
  const text = 'x'.repeat(5000)
  await Promise.all(Array.from({ length: 300 }, (_, n) => rows.put({ id: String(n).padStart(3, '0'), n, text })))
  const found = await all(store.diff(0))
  t.deepEqual(
    found.map(({ change }) => change.id),
    Array.from({ length: 300 }, (_, n) => String(n).padStart(3, '0')),
  )
})

test('without history its absence is an error, never an empty answer', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly' })
  const rows = store.collection<Row>('rows')
  for (let n = 1; n <= 5; n++) await rows.put({ id: 'a', n })
  await store.compact()
  const error = await fails(t, () => all(store.diff(2)), { code: 'ERR_HISTORY_TRUNCATED' })
  t.is(error.details.floor, 5)
  t.deepEqual(await all(rows.history('a')), [{ sequence: 5, doc: { id: 'a', n: 5 } }])
})

test('of a document that was there all the time a version is found, whatever is dropped meanwhile', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly' })
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  const snapshot = store.snapshot()
  const [newest, then] = [rows.history('a'), rows.history('a', { snapshot })]
  const meta = rows.getMeta('a', { snapshot })
  const first = then.next()
  await snapshot.close()
  await rows.put({ id: 'a', n: 2 })
  await store.compact()
  t.deepEqual((await newest.next()).value, { sequence: 2, doc: { id: 'a', n: 2 } })
  t.deepEqual((await first).value, { sequence: 1, doc: { id: 'a', n: 1 } })
  t.deepEqual(await meta, { sequence: 1, deleted: false })
  await then.return()
})

test('the store can be read as it was at a time', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  await wait(1200)
  const between = new Date()
  await wait(1200)
  await rows.put({ id: 'a', n: 2 })
  using then = store.at(between)
  t.is(then.collection<Row>('rows').getSync('a')?.n, 1)
  using now = store.at(new Date(Date.now() + 60_000))
  t.is(now.sequence, 2)
  await fails(t, () => store.at(new Date(Number.NaN)), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => store.at('yesterday' as never), { code: 'ERR_INVALID_ARGUMENT' })
})

test('a transaction sees the history of its moment', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  await store.transaction(async (transaction) => {
    const inside = transaction.collection<Row>('rows')
    await rows.put({ id: 'a', n: 2 })
    t.deepEqual(await inside.getMeta('a'), { sequence: 1, deleted: false })
    t.deepEqual(
      (await all(inside.history('a'))).map(({ sequence }) => sequence),
      [1],
    )
  })
})

test('what a transaction asks of the past is answered also after it has ended', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly', durability: 'memory', readThreads: 1 })
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  const many = store.collection<{ id: string; n: number }>('many')
  await many.batch(Array.from({ length: 20_000 }, (_, n) => ({ put: { id: String(n), n } })))
  let meta: Promise<unknown> | undefined
  let none: Promise<unknown> | undefined
  let busy: Promise<number>[] = []
  await store.transaction(async (transaction) => {
    // The one read thread is busy until the old version is gone.
    busy = Array.from({ length: 100 }, () => many.find({ where: { n: -1 } }).count())
    meta = transaction.collection<Row>('rows').getMeta('a')
    none = transaction.collection<Row>('rows').getMeta('none')
  })
  await rows.put({ id: 'a', n: 2 })
  await store.compact()
  t.deepEqual(await meta, { sequence: 1, deleted: false })
  t.is(await none, undefined)
  await Promise.all(busy)
})

test('what is asked of a commit is answered although snapshot, transaction and store are closed meanwhile', async (t) => {
  const path = join(directory(t), 'store')
  for (const key of ['a', 'none']) {
    const expected = key === 'a' ? { sequence: 1, deleted: false } : undefined
    const store = await FountainStore.open(path)
    const rows = store.collection<Row>('rows')
    if ((await store.collections()).length === 0) await rows.put({ id: 'a', n: 1 })
    const snapshot = store.snapshot()
    const inSnapshot = snapshot.collection<Row>('rows').getMeta(key)
    await snapshot.close()
    t.deepEqual(await inSnapshot, expected)
    let inTransaction: Promise<unknown> | undefined
    const asks = async (transaction: Transaction) => {
      inTransaction = transaction.collection<Row>('rows').getMeta(key)
    }
    await store.transaction(asks, { isolation: 'serializable' })
    t.deepEqual(await inTransaction, expected)
    const [then, now] = [rows.getMeta(key, { asOf: 1 }), rows.getMeta(key)]
    await store.close()
    t.deepEqual(await Promise.all([then, now]), [expected, expected])
  }
})

test('what is iterated can be disposed of, and lets go of what it holds', async (t) => {
  const store = await newStore(t)
  const items = store.collection<{ id: string }>('items')
  await items.batch([{ put: { id: 'a' } }, { put: { id: 'b' } }])
  {
    await using versions = items.history('a', { asOf: 1 })
    await using pages = items.find().pages({ size: 1 })
    await using changes = store.diff(0)
    await using news = store.watch({ from: 0 })
    for (const iterator of [versions, pages, changes, news]) t.false((await iterator.next()).done)
    t.true(store.metrics().openSnapshots > 0)
  }
  t.is(store.metrics().openSnapshots, 0)
})
