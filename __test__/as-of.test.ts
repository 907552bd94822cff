/** Reads that name the state they want: a sequence or a time, in every call that reads. */
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { Cursor, FountainStore } from '../index.mjs'
import { collect, fails, newStore } from './support.js'

interface Row {
  id: string
  n: number
}

/** A collection whose document `a` was put by commit 2 with 1, and by commit 3 with 2 together with `b`. */
async function rowsOf(store: FountainStore) {
  const rows = store.collection<Row>('rows')
  await rows.defineIndex('byN', { kind: 'multi', on: 'n' })
  await rows.put({ id: 'a', n: 1 })
  await rows.batch([{ put: { id: 'a', n: 2 } }, { put: { id: 'b', n: 2 } }])
  return rows
}

test('every read takes a sequence', async (t) => {
  const store = await newStore(t)
  const rows = await rowsOf(store)
  const asOf = store.sequence - 1
  const then = { id: 'a', n: 1 }
  t.deepEqual(await rows.get('a', { asOf }), then)
  t.deepEqual(rows.getSync('a', { asOf }), then)
  t.is(await rows.getJson('a', { asOf }), JSON.stringify(then))
  t.deepEqual(await rows.getMany(['a', 'b'], { asOf }), [then, undefined])
  t.deepEqual(await rows.getMeta('a', { asOf }), { sequence: asOf, deleted: false })
  t.deepEqual(await collect(rows.history('a', { asOf })), [{ sequence: asOf, doc: then }])
  t.deepEqual(await rows.scan({ asOf }).toArray(), [then])
  t.deepEqual(await collect(rows.scan({ asOf, prefix: 'a' })), [then])
  t.deepEqual(await rows.byIndex('byN', 1, { asOf }), [then])
  t.deepEqual(await rows.byIndex('byN', 2, { asOf }), [])
  t.deepEqual(await rows.rangeIndex('byN', { gte: 0, asOf }).toArray(), [then])
  const query = rows.find({ where: { n: { $gte: 1 } }, asOf })
  t.deepEqual(await query.toArray(), [then])
  t.deepEqual(await collect(query), [then])
  t.deepEqual(await query.page(5), { items: [then] })
  t.is(await query.json(), JSON.stringify({ items: [then] }))
  t.deepEqual([await query.count(), await query.distinct('n'), await query.first()], [1, [1], then])
  t.is((await rows.find({ asOf: 0 }).toArray()).length, 0)
  // A snapshot and a transaction are left for what is asked for.
  t.deepEqual(await store.snapshot().collection(rows).get('a', { asOf }), then)
  await store.transaction(async (tx) => t.deepEqual(await tx.collection(rows).get('a', { asOf }), then))
  t.is((await rows.get('a'))?.n, 2)
})

test('pages of a query as of a sequence are all of that state', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const { sequence: asOf } = await rows.batch(['a', 'b', 'c'].map((id) => ({ put: { id, n: 1 } })))
  const query = rows.find({ where: { n: 1 }, asOf })
  const { items, next } = await query.page(2)
  await rows.updateWhere({ n: 1 }, { n: 2 })
  t.deepEqual([...items, ...(next ? await query.after(next).toArray() : [])].map(({ id }) => id).join(''), 'abc')
  t.is(await rows.find({ where: { n: 1 } }).count(), 0)
})

test('pages of a query as of the newest sequence agree on what has expired, whatever comes between them', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const put = (id: string, expiresAt?: number) => ({ put: { id, n: 1 }, ...(expiresAt !== undefined && { expiresAt }) })
  const { sequence: asOf } = await rows.batch([put('a', 5), put('b'), put('c', 5), put('d')])
  const query = rows.find({ where: { n: 1 }, asOf })
  const { items, next } = await query.page(1)
  await rows.put({ id: 'e', n: 1 })
  // Unless the store was so slow that the expired ones were deleted before the first page: then it is a state of the past.
  const expected = items[0]?.id === 'b' ? 'bd' : 'abcd'
  const rest = next ? query.after(next) : query
  t.is([...items, ...(await rest.toArray())].map(({ id }) => id).join(''), expected)
  t.is([...items, ...JSON.parse(await rest.json()).items].map(({ id }) => id).join(''), expected)
  const other = rows.find({ where: { n: 1 }, asOf: asOf + 1 }).after((next ?? '') as Cursor)
  await fails(t, () => other.page(1), { code: 'ERR_INVALID_ARGUMENT' })
})

test('a page behind the cursor of a query as of a time needs no more to know what the time leads to', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  await rows.batch(['a', 'b'].map((id) => ({ put: { id, n: 1 } })))
  const ask = () => rows.find({ where: { n: 1 }, asOf: new Date(Date.now() + 60_000) })
  const { items, next } = await ask().page(1)
  await rows.put({ id: 'c', n: 1 })
  const rest = await ask()
    .after((next ?? '') as Cursor)
    .toArray()
  t.is([...items, ...rest].map(({ id }) => id).join(''), 'ab')
})

test('a time is the state that was the newest then', async (t) => {
  const store = await newStore(t)
  const rows = await rowsOf(store)
  // Commits state their time from second to second, so what is to be told apart lies further apart.
  await wait(1200)
  const asOf = new Date()
  await wait(1200)
  const query = rows.find({ where: { n: 2 }, asOf })
  await rows.deleteWhere({})
  t.deepEqual([(await rows.get('a', { asOf }))?.n, await query.count()], [2, 2])
  // What is done to the date afterwards does not matter.
  const kept = new Date(asOf)
  const later = rows.scan({ asOf: kept })
  kept.setTime(0)
  t.is((await later.toArray()).length, 2)
})

test('a dropped collection is read as of a sequence at which it was there', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const { sequence: asOf } = await rows.put({ id: 'a', n: 1 })
  await store.dropCollection('rows')
  const later = store.collection<Row>('rows')
  await later.put({ id: 'b', n: 2 })
  t.deepEqual(await later.scan({ asOf }).toArray(), [{ id: 'a', n: 1 }])
  t.deepEqual(await later.find({ where: { n: 1 }, asOf }).toArray(), [{ id: 'a', n: 1 }])
})

test('a state that is not kept, has not happened or is none is an error of the read', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly' })
  const rows = await rowsOf(store)
  const asOf = store.sequence - 1
  await store.compact()
  const gone = { code: 'ERR_HISTORY_TRUNCATED' } as const
  await fails(t, () => rows.get('a', { asOf }), gone)
  await fails(t, () => rows.getSync('a', { asOf }), gone)
  await fails(t, () => rows.find({ asOf }).toArray(), gone)
  await fails(t, () => rows.find({ asOf }).count(), gone)
  await fails(t, () => rows.scan({ asOf }).toArray(), gone)
  await fails(t, () => rows.byIndex('byN', 1, { asOf }), gone)
  await fails(t, () => rows.find({ asOf: new Date(5) }).first(), gone)
  await fails(t, () => rows.find({ asOf: 1000 }).first(), { code: 'ERR_SEQUENCE' })
  const snapshot = store.snapshot()
  for (const options of [{ asOf: -1 }, { asOf: '3' }, { asOf: new Date(Number.NaN) }, { asOf: 1, snapshot }]) {
    await fails(t, () => rows.find(options as never), { code: 'ERR_INVALID_ARGUMENT', says: /asOf/ })
    await fails(t, () => rows.get('a', options as never), { code: 'ERR_INVALID_ARGUMENT', says: /asOf/ })
  }
  // What is kept, if only by a snapshot, can be read.
  t.is((await rows.get('a', { asOf: snapshot.sequence }))?.n, 2)
})

test('conditions and orders know the commits of a document', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  for (const [id, n] of [
    ['a', 1],
    ['b', 1],
    ['a', 2],
  ] as const)
    await rows.put({ id, n })
  const ids = async (spec: Parameters<typeof rows.find>[0]) =>
    (await rows.find(spec).toArray()).map(({ id }) => id).join('')
  t.is(await ids({ orderBy: [{ path: '$seq' }] }), 'ba')
  t.is(await ids({ orderBy: [{ path: '$createdSeq', dir: 'desc' }] }), 'ba')
  t.is(await ids({ where: { $seq: 3 } }), 'a')
  t.is(await ids({ where: { $createdSeq: { $lt: 2 } } }), 'a')
  t.is(await ids({ where: { $deleted: false } }), 'ab')
  const changed = await rows.updateWhere({ $seq: { $lte: 2 } }, { n: 5 })
  t.deepEqual([changed.changed, (await rows.get('b'))?.n], [1, 5])
  await fails(t, () => rows.find({ orderBy: [{ path: '$deleted' as '$id' }] }).first(), { code: 'ERR_VALIDATION' })
})

test('who put a document last is not known of a state that is not kept any more', async (t) => {
  const store = await newStore(t)
  await store.createCollection('rows', { retention: 'latestOnly' })
  const rows = store.collection<Row>('rows')
  const { sequence: asOf } = await rows.put({ id: 'a', n: 1 })
  await rows.put({ id: 'a', n: 2 })
  await store.compact()
  await fails(t, () => rows.getMeta('a', { asOf }), { code: 'ERR_HISTORY_TRUNCATED', collection: 'rows' })
  await using snapshot = store.at(asOf)
  await fails(t, () => snapshot.collection<Row>('rows').getMeta('a'), { code: 'ERR_HISTORY_TRUNCATED' })
  t.deepEqual(await rows.getMeta('a'), { sequence: asOf + 1, deleted: false })
  t.is(await rows.getMeta('none'), undefined)
})
