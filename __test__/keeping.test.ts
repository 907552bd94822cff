/** What is kept of a collection, as its settings say, and what happens below that. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import test from 'ava'
import { FountainStore, type Retention, type } from '../index.mjs'
import { directory, fails, newStore } from './support.js'

interface Row {
  id: string
  n: number
}

async function sequences(store: FountainStore, name: string): Promise<number[]> {
  const found: number[] = []
  for await (const { sequence } of store.collection<Row>(name).history('a')) found.push(sequence)
  return found
}

test('every collection keeps what its retention says, also after a reopen', async (t) => {
  const path = join(directory(t), 'store')
  const before = await FountainStore.open(path, { durability: 'memory' })
  const retentions: Record<string, Retention> = {
    all: 'unbounded',
    count: { count: 2 },
    latest: 'latestOnly',
    since: { since: 9 },
    young: { maxAge: 3_600_000 },
  }
  const names = Object.keys(retentions)
  for (const name of names) await before.createCollection(name, { retention: retentions[name] })
  for (const n of [1, 2, 3]) for (const name of names) await before.collection<Row>(name).put({ id: 'a', n })
  await before.close()

  await using store = await FountainStore.open(path)
  await store.compact()
  t.deepEqual(await sequences(store, 'all'), [16, 11, 6])
  t.deepEqual(await sequences(store, 'count'), [17, 12])
  t.deepEqual(await sequences(store, 'latest'), [18])
  t.deepEqual(await sequences(store, 'since'), [19, 14, 9])
  t.deepEqual(await sequences(store, 'young'), [20, 15, 10])
  t.deepEqual(await store.collectionInfo('count'), { name: 'count', retention: { count: 2 }, indexes: [] })
  t.is(await store.collectionInfo('nobody'), undefined)

  using past = store.at(12)
  t.is((await past.collection<Row>('all').get('a'))?.n, 2)
  const error = await fails(t, () => past.collection<Row>('latest').get('a'), {
    code: 'ERR_HISTORY_TRUNCATED',
    collection: 'latest',
  })
  t.is(error.details.floor, 20)
})

test('settings are changed one by one, and given once only when a collection is created', async (t) => {
  const store = await newStore(t)
  const settings = { schemaVersion: 1, retention: { maxAge: 1000 } } as const
  await store.createCollection('c', settings)
  await store.createCollection('c', settings)
  await store.createCollection('c')
  await fails(t, () => store.createCollection('c', { retention: 'unbounded' }), { code: 'ERR_EXISTS', collection: 'c' })
  await store.alterCollection('c', { retention: null, schemaVersion: 2 })
  await store.collection('c').defineIndex('byN', { kind: 'multi', on: 'n' })
  const info = await store.collectionInfo('c')
  t.deepEqual(
    { ...info, indexes: info?.indexes.map(({ name }) => name) },
    { name: 'c', schemaVersion: 2, indexes: ['byN'] },
  )
  await fails(t, () => store.alterCollection('nobody', { schemaVersion: 1 }), { code: 'ERR_NOT_FOUND' })
})

test('a dropped collection keeps its past and its space, unless its retention was altered before', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const bytes = () => store.metrics().levelBytes.reduce((sum, level) => sum + level, 0)
  for (const name of ['kept', 'forgotten']) {
    const rows = store.collection<Row & { text: string }>(name)
    const texts = Array.from({ length: 200 }, (_, n) => ({
      put: { id: `${n}`, n, text: randomBytes(2500).toString('hex') },
    }))
    await rows.batch(texts)
  }
  const { sequence } = store
  await store.compact()
  const full = bytes()
  await store.alterCollection('forgotten', { retention: 'latestOnly' })
  await store.dropCollection('forgotten')
  await store.compact()
  const half = bytes()
  t.true(half < full * 0.6, `${half} of ${full}`)
  await store.dropCollection('kept')
  await store.compact()
  t.true(bytes() > half * 0.9, `${bytes()} of ${half}`)
  using past = store.at(sequence)
  t.is((await past.collection<Row>('kept').get('7'))?.n, 7)
  await fails(t, () => past.collection<Row>('forgotten').get('7'), { code: 'ERR_HISTORY_TRUNCATED' })
})

test('an altered retention holds from its commit on', async (t) => {
  const store = await newStore(t, { durability: 'memory', retention: { count: 1 } })
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  await rows.put({ id: 'a', n: 2 })
  await store.alterCollection('rows', { retention: { since: new Date(Date.now() + 60_000) } })
  for (const n of [3, 4]) {
    await rows.put({ id: 'a', n })
    await store.compact()
  }
  t.deepEqual(await sequences(store, 'rows'), [5, 4, 2])
})

test('what is no setting is refused', async (t) => {
  const store = await newStore(t)
  const refused = (settings: object) =>
    fails(t, () => store.createCollection('c', settings), { code: 'ERR_INVALID_ARGUMENT' })
  for (const retention of ['all', 1, {}, { count: 0 }, { count: 1, since: 2 }, { since: -1 }, { maxAge: 0.5 }]) {
    await refused({ retention })
  }
  await refused({ since: new Date(Number.NaN) })
  await refused({ ttl: 5 })
  await refused({ ttl: { path: 'a' } })
  await refused({ colour: 'red' })
  await fails(t, () => store.createCollection('c', { ttl: 'a[]' }), { code: 'ERR_VALIDATION' })
  await fails(t, () => FountainStore.open(join(directory(t), 's'), { retention: { since: new Date() } }), {
    code: 'ERR_INVALID_ARGUMENT',
  })
})

test('a program that declares another version of the schema than the store has is told so', async (t) => {
  const path = directory(t)
  const store = await FountainStore.open(path)
  const schema = type<Row>()
  const declared = (schemaVersion: number) => store.collection('rows', { schema, schemaVersion })
  const first = declared(1)
  await first.put({ id: 'a', n: 1 })
  t.is((await store.collectionInfo('rows'))?.schemaVersion, undefined)
  await first.ready()
  await first.ready()
  t.is((await store.collectionInfo('rows'))?.schemaVersion, 1)
  t.is(declared(1).getSync('a')?.n, 1)
  const error = await fails(t, () => declared(2), { code: 'ERR_DEFINITION', collection: 'rows', says: /version 1/ })
  t.like(error.details, { requested: 2, found: 1 })
  // Without a version any is fine.
  using snapshot = store.snapshot()
  await store.collection<Row>('rows').put({ id: 'b', n: 1 })
  await store.alterCollection('rows', { schemaVersion: 2 })
  await fails(t, () => first.ready(), { code: 'ERR_DEFINITION' })
  // The past is read as it was.
  t.is(snapshot.collection(declared(2)).getSync('a')?.n, 1)
  await declared(2).ready()
  const fresh = store.collection('fresh', { schema, schemaVersion: 7 })
  await fresh.ready()
  t.is((await store.collectionInfo('fresh'))?.schemaVersion, 7)
  await fails(t, () => store.collection('rows', { schema, schemaVersion: -1 }), { code: 'ERR_INVALID_ARGUMENT' })
  await store.close()
})
