/** Documents that expire: by a field, and one by one. */
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { type } from '../index.mjs'
import { fails, newStore } from './support.js'

interface Row {
  id: string
  n: number
  until?: Date | number
}

const past = () => new Date(Date.now() - 1000)
const future = () => new Date(Date.now() + 3_600_000)

test('a document is gone from its moment on, however it is looked for', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row>('rows')
  await rows.defineIndex('byN', { kind: 'multi', on: 'n' })
  await rows.put({ id: 'gone', n: 1 }, { expiresAt: past() })
  await rows.put({ id: 'stays', n: 1 }, { expiresAt: future() })
  await rows.put({ id: 'later', n: 1 }, { ttl: 3_600_000 })
  await rows.put({ id: 'never', n: 1 })
  const left = ['later', 'never', 'stays']
  t.deepEqual(
    (await rows.scan().toArray()).map(({ id }) => id),
    left,
  )
  t.deepEqual(
    (await rows.byIndex('byN', 1)).map(({ id }) => id),
    left,
  )
  t.deepEqual(
    (await rows.find({ where: { n: 1 } }).toArray()).map(({ id }) => id),
    left,
  )
  t.is(await rows.find({}).count(), 3)
  t.is(rows.getSync('gone'), undefined)
  t.is(await rows.get('gone'), undefined)
  t.deepEqual(rows.getSync('stays'), { id: 'stays', n: 1 })
  t.is(await rows.getJson('stays'), '{"id":"stays","n":1}')
})

test('every way of putting takes a moment, and a later put takes it back', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row>('rows')
  const expiry = { expiresAt: Date.now() - 5 }
  await rows.putJson('{"id":"json","n":1}', expiry)
  await rows.insert({ id: 'insert', n: 1 }, expiry)
  await rows.putIfAbsent({ id: 'absent', n: 1 }, expiry)
  await rows.batch([
    { put: { id: 'put', n: 1 }, ...expiry },
    { insert: { id: 'item', n: 1 }, ttl: 0 },
  ])
  await store.batch([rows.putOp({ id: 'op', n: 1 }, expiry), rows.insertOp({ id: 'insertOp', n: 1 }, expiry)])
  await store.transaction((transaction) => {
    const inside = transaction.collection<Row>('rows')
    inside.put({ id: 'inside', n: 1 }, expiry)
    inside.insert({ id: 'insertInside', n: 1 }, expiry)
  })
  t.deepEqual(await rows.scan().toArray(), [])
  await rows.insert({ id: 'insert', n: 2 })
  await rows.put({ id: 'put', n: 2 })
  t.deepEqual(
    (await rows.scan().toArray()).map(({ id }) => id),
    ['insert', 'put'],
  )
})

test('a collection may say when its documents expire', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  await store.createCollection('rows', { ttl: { field: 'until', after: 60_000 } })
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'date', n: 1, until: new Date(Date.now() - 61_000) })
  await rows.put({ id: 'number', n: 1, until: Date.now() - 61_000 })
  await rows.put({ id: 'soon', n: 1, until: Date.now() - 59_000 })
  await rows.put({ id: 'own', n: 1, until: Date.now() - 61_000 }, { expiresAt: future() })
  await rows.put({ id: 'none', n: 1 })
  t.deepEqual(
    (await rows.scan().toArray()).map(({ id }) => id),
    ['none', 'own', 'soon'],
  )
  await store.alterCollection('rows', { ttl: 'until' })
  t.deepEqual(
    (await rows.scan().toArray()).map(({ id }) => id),
    ['none', 'own'],
  )
  t.deepEqual((await store.collectionInfo('rows'))?.ttl, 'until')
})

test('what has expired is deleted, and those who watch are told', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row>('rows')
  const { sequence } = await rows.put({ id: 'a', n: 1 }, { ttl: 0 })
  for await (const change of rows.watch({ from: sequence })) {
    t.like(change, { op: 'delete', id: 'a' })
    break
  }
  t.is(store.metrics().expired, 1)
})

test('a snapshot and a transaction see what was there when they began', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 }, { ttl: 150 })
  using snapshot = store.snapshot()
  await store.transaction(async (transaction) => {
    while (rows.getSync('a') !== undefined) await wait(10)
    t.is(transaction.collection<Row>('rows').getSync('a')?.n, 1)
  })
  t.is(snapshot.collection<Row>('rows').getSync('a')?.n, 1)
})

test('updates keep the moment of a document, also where JavaScript has to judge or to compute', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  // Only its own moment keeps a document here.
  const due = { until: new Date(Date.now() - 1000), n: 1 }
  const byDouble = { byDouble: { version: 1, values: ({ n }: Row) => [2 * n] } }
  const collections = [
    store.collection<Row>('plain'),
    store.collection('judged', { schema: type<Row>() }),
    store.collection('computed', { schema: type<Row>(), indexes: byDouble }),
  ] as const
  for (const rows of collections) {
    await store.createCollection(rows.name, { ttl: 'until' })
    await rows.put({ id: 'own', ...due }, { expiresAt: future() })
    await rows.put({ id: 'none', n: 1 })
    t.like(await rows.updateWhere({ n: 1 }, { n: 2 }), { changed: 2 }, rows.name)
    t.is((await rows.get('own'))?.n, 2, rows.name)
    await store.transaction(async (transaction) => {
      const inside = transaction.collection<Row>(rows.name)
      const own = (await inside.get('own')) as Row
      inside.put({ ...own, n: 3 }, { keepExpiry: true })
    })
    t.is((await rows.get('own'))?.n, 3, rows.name)
  }
  const [rows] = collections
  await store.transaction((transaction) => {
    const inside = transaction.collection<Row>('plain')
    t.throws(() => inside.put({ id: 'own', n: 1 }, { keepExpiry: true, ttl: 5 }), { message: /keepExpiry/ })
    // One that is not there has no moment, and what the transaction itself has put counts.
    inside.put({ id: 'new', n: 1 }, { keepExpiry: true })
    inside.put({ id: 'own', ...due })
    inside.put({ id: 'own', ...due }, { keepExpiry: true })
  })
  t.deepEqual([await rows.get('own'), (await rows.get('new'))?.n], [undefined, 1])
})

test('what has expired is seen by no read of the newest state, whoever holds that state', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row>('rows')
  await rows.defineIndex('byN', { kind: 'multi', on: 'n' })
  // Seen by a snapshot of its sequence, and not deleted as long as nobody sweeps: what is deleted gets another one.
  await rows.put({ id: 'a', n: 1 }, { ttl: 200 })
  using held = store.snapshot()
  const at = store.sequence
  while (rows.getSync('a') !== undefined) await wait(5)
  const found = [
    await rows.getMany(['a']),
    await rows.scan().toArray(),
    await rows.byIndex('byN', 1),
    await rows.find().toArray(),
    [await rows.get('a')],
  ]
  if (store.sequence === at) t.is(held.collection<Row>('rows').getSync('a')?.n, 1)
  t.deepEqual(found, [[undefined], [], [], [], [undefined]])
})

test('a moment that is none is refused', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  for (const options of [
    { ttl: -1 },
    { ttl: 1.5 },
    { ttl: '5' as never },
    { expiresAt: new Date(Number.NaN) },
    { expiresAt: '2030-01-01' as never },
    { expiresAt: 5, ttl: 5 },
  ]) {
    await fails(t, () => rows.put({ id: 'a', n: 1 }, options), { code: 'ERR_INVALID_ARGUMENT' })
  }
  await fails(t, () => rows.delete('a', { ttl: 5 } as never), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => rows.batch([{ delete: 'a', ttl: 5 } as never]), { code: 'ERR_INVALID_ARGUMENT' })
})
