/** Batches that say what collections and indexes there are, together with documents: all of it happens, or nothing. */
import test from 'ava'
import { FountainStore, Index } from '../index.mjs'
import { directory, fails, newStore } from './support.js'

interface Item {
  id: number
  n: number
}

const byN = { kind: 'multi', on: 'n' } as const
const uniqueN = { kind: 'unique', on: 'n' } as const

test('a collection with its settings, indexes and first documents is one commit', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const other = store.collection<Item>('other')
  // Definitions come first, wherever they stand.
  const { sequence } = await store.batch([
    items.putOp({ id: 1, n: 5 }),
    store.createCollectionOp('items', { schemaVersion: 3, retention: { count: 2 } }),
    items.putOp({ id: 2, n: 7 }),
    items.defineIndexOp('byN', uniqueN),
  ])
  await store.batch([
    other.defineIndexOp('byN', byN),
    other.putOp({ id: 1, n: 5 }),
    store.createCollectionOp('other', { ttl: 'at' }),
  ])
  t.is(sequence, 1)
  // There was nothing to be built.
  t.is(store.sequence, 2)
  t.deepEqual(await other.byIndex('byN', 5), [{ id: 1, n: 5 }])
  t.deepEqual(await items.byIndex('byN', 7), [{ id: 2, n: 7 }])
  t.like(await store.collectionInfo('items'), { schemaVersion: 3, retention: { count: 2 } })
  await fails(t, () => items.put({ id: 3, n: 5 }), { code: 'ERR_UNIQUE' })
  // It is there already, and fine so.
  await store.batch([
    store.createCollectionOp('items'),
    items.defineIndexOp('byN', uniqueN),
    items.putOp({ id: 3, n: 9 }),
  ])
  t.is((await store.collectionInfo('items'))?.schemaVersion, 3)
  const twice = [
    store.createCollectionOp('twice', { schemaVersion: 1 }),
    store.createCollectionOp('twice', { schemaVersion: 2 }),
  ]
  await fails(t, () => store.batch(twice), { code: 'ERR_EXISTS' })
  t.deepEqual(await store.collections(), ['items', 'other'])
})

test('an index that is defined with documents has those of before, too, once it is built', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  for (let id = 0; id < 50; id++) await items.put({ id, n: id % 5 }, { durability: 'memory' })
  await store.batch([items.defineIndexOp('byN', byN), items.putOp({ id: 50, n: 3 }), items.deleteOp(3)])
  await items.defineIndex('byN', byN)
  const found = (await items.byIndex('byN', 3)).map(({ id }) => id)
  t.deepEqual(found, [8, 13, 18, 23, 28, 33, 38, 43, 48, 50])
})

test('what is refused in a batch takes its definitions with it', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const fresh = store.collection<Item>('fresh')
  await items.put({ id: 1, n: 5 })
  await items.defineIndex('byN', byN)
  const before = store.sequence
  const nothing = async (operations: () => Parameters<FountainStore['batch']>[0], code: string) => {
    await fails(t, () => store.batch(operations()), { code: code as 'ERR_UNIQUE' })
    t.is(store.sequence, before)
    t.deepEqual(await store.collections(), ['items'])
    t.deepEqual(
      items.indexes().map(({ name, kind }) => [name, kind]),
      [['byN', 'multi']],
    )
    t.is(await fresh.get(1), undefined)
  }
  const others = () => [store.createCollectionOp('fresh'), fresh.putOp({ id: 1, n: 1 }), items.dropIndexOp('byN')]
  await nothing(() => [...others(), fresh.defineIndexOp('byN', uniqueN), fresh.putOp({ id: 2, n: 1 })], 'ERR_UNIQUE')
  await nothing(() => [...others(), items.insertOp({ id: 1, n: 6 })], 'ERR_EXISTS')
  await nothing(() => [...others(), items.putOp({ id: 1, n: 6 }, { ifSequence: 99 })], 'ERR_CONFLICT')
  await nothing(() => [...others(), items.dropIndexOp('none')], 'ERR_NO_INDEX')
  await nothing(() => [fresh.putOp({ id: 1, n: 1 }), items.defineIndexOp('byN', uniqueN)], 'ERR_EXISTS')
  await nothing(() => [fresh.putOp({ id: 1, n: 1 }), store.createCollectionOp('items', { ttl: 'n' })], 'ERR_EXISTS')
  await nothing(
    () => [fresh.putOp({ id: 1, n: 1 }), items.defineIndexOp('bad', { kind: 'multi', on: 'a..b' })],
    'ERR_VALIDATION',
  )
})

test('a collection is dropped and its documents move to another one in one commit', async (t) => {
  const store = await newStore(t)
  const drafts = store.collection<Item>('drafts')
  const items = store.collection<Item>('items')
  await drafts.put({ id: 1, n: 5 })
  await using snapshot = store.snapshot()
  // Nothing can be put into what the batch drops.
  await fails(t, () => store.batch([store.dropCollectionOp('drafts'), drafts.putOp({ id: 2, n: 1 })]), {
    code: 'ERR_NOT_FOUND',
    collection: 'drafts',
    says: /was dropped/,
  })
  t.deepEqual(await drafts.get(1), { id: 1, n: 5 })
  await store.batch([
    store.createCollectionOp('items'),
    items.defineIndexOp('byN', byN),
    items.putOp({ id: 1, n: 5 }),
    store.dropCollectionOp('drafts'),
  ])
  t.deepEqual(await store.collections(), ['items'])
  t.deepEqual(await items.byIndex('byN', 5), [{ id: 1, n: 5 }])
  t.deepEqual(await snapshot.collection<Item>('drafts').get(1), { id: 1, n: 5 })
  t.is(await store.collection<Item>('drafts').get(1), undefined)
  await fails(t, () => store.dropCollectionOp('drafts'), { code: 'ERR_NOT_FOUND', collection: 'drafts' })
})

test('definitions that make no sense are refused before there is a batch', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const computed = Index.multiValues<Item>('byHalf', ({ n }) => [n / 2], { version: 1 })
  const code = 'ERR_INVALID_ARGUMENT'
  await fails(t, () => items.defineIndexOp('byHalf', computed.definition as never), { code, place: 'definition' })
  await fails(t, () => items.defineIndexOp('byN', { kind: 'some', on: 'n' } as never), { code })
  await fails(t, () => items.dropIndexOp(5 as never), { code })
  await fails(t, () => store.createCollectionOp('items', { tl: 'n' } as never), { code })
  await fails(t, () => store.createCollectionOp('no name'), { code: 'ERR_INVALID_NAME' })
  // What only the engine can tell, while a write of somebody else waits to be handed over.
  const other = items.put({ id: 1, n: 5 })
  const collection = 'items'
  await fails(t, () => items.defineIndexOp('bad', { kind: 'multi', on: 'a..b' }), {
    code: 'ERR_VALIDATION',
    collection,
  })
  await fails(t, () => items.defineIndexOp('', byN), { code: 'ERR_INVALID_NAME', collection })
  await fails(t, () => items.defineIndexOp('half \ud800', byN), { code: 'ERR_INVALID_NAME', collection })
  await fails(t, () => items.dropIndexOp('half \ud800'), { code: 'ERR_INVALID_NAME', collection })
  const paths = Array.from({ length: 100 }, (_, n) => `n${n}`)
  await fails(t, () => items.defineIndexOp('wide', { kind: 'multi', on: paths } as never), { code: 'ERR_LIMIT' })
  await fails(t, () => store.createCollectionOp('fresh', { ttl: 'a[]' }), { code: 'ERR_VALIDATION' })
  t.is((await other).sequence, 1)
  t.deepEqual(await store.collections(), ['items'])
  t.deepEqual(items.indexes(), [])
})

test('what a batch has defined is there when the store is opened again', async (t) => {
  const path = directory(t)
  const first = await FountainStore.open(path)
  const items = first.collection<Item>('items')
  await first.batch([items.defineIndexOp('byN', byN), items.putOp({ id: 1, n: 5 })])
  await first.batch([items.dropIndexOp('byN'), items.defineIndexOp('other', byN), items.putOp({ id: 2, n: 5 })])
  await first.close()
  await using again = await FountainStore.open(path)
  const same = again.collection<Item>('items')
  t.deepEqual(
    same.indexes().map(({ name }) => name),
    ['other'],
  )
  await same.defineIndex('other', byN)
  t.deepEqual(
    (await same.byIndex('other', 5)).map(({ id }) => id),
    [1, 2],
  )
})

test('a batch drops a collection once', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.put({ id: 1, n: 5 })
  const drop = store.dropCollectionOp('items')
  const twice = {
    code: 'ERR_INVALID_ARGUMENT',
    collection: 'items',
    place: 'operations[2]',
    says: /operations\[0\]/,
  } as const
  await fails(t, () => store.batch([drop, items.deleteOp(2), store.dropCollectionOp('items')]), twice)
  await fails(t, () => store.batch([drop, items.deleteOp(2), drop]), twice)
  t.deepEqual(await items.get(1), { id: 1, n: 5 })
  await store.batch([drop])
  await fails(t, () => store.batch([drop]), { code: 'ERR_NOT_FOUND', collection: 'items' })
})

test('who writes to a collection that was dropped is told which', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.put({ id: 1, n: 5 })
  const [put, index] = [items.putOp({ id: 2, n: 5 }), items.defineIndexOp('byN', byN)]
  await store.dropCollection('items')
  const gone = { code: 'ERR_NOT_FOUND', collection: 'items', says: /items was dropped/ } as const
  await fails(t, () => items.put({ id: 2, n: 5 }), gone)
  await fails(t, () => items.delete(1), gone)
  await fails(t, () => items.batch([{ put: { id: 2, n: 5 } }]), gone)
  await fails(t, () => store.batch([put]), gone)
  await fails(t, () => store.batch([index]), gone)
  t.is((await store.collection<Item>('items').put({ id: 3, n: 5 })).sequence, store.sequence)
  await fails(t, () => items.put({ id: 2, n: 5 }), gone)
  const none = store.collection('items').dropIndexOp('none')
  await fails(t, () => store.batch([none]), { code: 'ERR_NO_INDEX', collection: 'items' })
})
