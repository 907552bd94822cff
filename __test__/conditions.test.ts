/** Writes under conditions: each is judged when it is its turn, and what is refused hinders nothing else. */
import test from 'ava'
import { FountainStore, StoreError } from '../index.mjs'
import { directory, fails, newStore } from './support.js'

interface Row {
  id: string
  n: number
}

test('an insert is for keys that have no document', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const { sequence } = await rows.insert({ id: 'a', n: 1 })
  const error = await fails(t, () => rows.insert({ id: 'a', n: 2 }), {
    code: 'ERR_EXISTS',
    collection: 'rows',
    key: 'a',
  })
  t.deepEqual([error.details.found, error.retryable], [sequence, false])
  t.is(await rows.putIfAbsent({ id: 'a', n: 3 }), undefined)
  t.deepEqual(await rows.putIfAbsent({ id: 'b', n: 1 }), { sequence: 2 })
  await rows.delete('a')
  await rows.insert({ id: 'a', n: 4 })
  t.is(rows.getSync('a')?.n, 4)
})

test('of inserts of one key in one tick the first succeeds, and the writes around them do', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const settled = await Promise.allSettled([
    rows.put({ id: 'x', n: 0 }),
    rows.insert({ id: 'a', n: 1 }),
    rows.insert({ id: 'a', n: 2 }),
    rows.put({ id: 'y', n: 0 }),
    rows.insert({ id: 'a', n: 3 }),
    rows.delete('x'),
  ])
  const outcomes = settled.map((one) => (one.status === 'fulfilled' ? one.value.sequence : one.reason.code))
  t.deepEqual(outcomes, [1, 2, 'ERR_EXISTS', 3, 'ERR_EXISTS', 4])
  t.is(rows.getSync('a')?.n, 1)
  t.is(store.metrics().refusedCommits, 2)
})

test('a write may demand the document of a certain commit', async (t) => {
  const path = directory(t)
  await using store = await FountainStore.open(path)
  const rows = store.collection<Row>('rows')
  const { sequence } = await rows.put({ id: 'a', n: 1 })
  await rows.put({ id: 'other', n: 1 })
  const second = await rows.put({ id: 'a', n: 2 }, { ifSequence: sequence })
  const stale = { code: 'ERR_CONFLICT', collection: 'rows', key: 'a' } as const
  const error = await fails(t, () => rows.put({ id: 'a', n: 3 }, { ifSequence: sequence }), stale)
  t.deepEqual([error.details.found, error.retryable], [second.sequence, true])
  await fails(t, () => rows.delete('a', { ifSequence: sequence }), stale)
  await store.flush()
  await rows.delete('a', { ifSequence: second.sequence })
  await fails(t, () => rows.delete('a', { ifSequence: second.sequence }), stale)
  await fails(t, () => rows.put({ id: 'a', n: 1 }, { ifSequence: -1 }), { code: 'ERR_INVALID_ARGUMENT' })
})

test('keys of every type are named as they were given', async (t) => {
  const store = await newStore(t)
  const any = store.collection('any')
  for (const id of [7, -1.5, 10n ** 30n, new Uint8Array([0, 255]), ['a', [1n]], 'ü']) {
    await any.insert({ id })
    await fails(t, () => any.insert({ id }), { code: 'ERR_EXISTS', key: id })
  }
})

test('a batch with one condition that fails writes nothing and names the document', async (t) => {
  const store = await newStore(t)
  const [rows, others] = [store.collection<Row>('rows'), store.collection<Row>('others')]
  await rows.put({ id: 'a', n: 1 })
  const operations = [others.putOp({ id: 'x', n: 1 }), rows.deleteOp('nothing'), rows.insertOp({ id: 'a', n: 2 })]
  const error = await fails(t, () => store.batch(operations), { code: 'ERR_EXISTS', collection: 'rows', key: 'a' })
  t.is(error.details.item, 2)
  t.is(others.getSync('x'), undefined)
  await fails(t, () => store.batch([rows.putOp({ id: 'a', n: 2 }, { ifSequence: 9 })]), { code: 'ERR_CONFLICT' })
  await store.batch([rows.deleteOp('a', { ifSequence: 1 }), rows.insertOp({ id: 'a', n: 3 })])
  const again = [{ insert: { id: 'b', n: 1 } }, { insert: { id: 'b', n: 2 } }]
  await fails(t, () => rows.batch(again), { code: 'ERR_EXISTS', key: 'b' })
  await rows.batch([{ insert: { id: 'b', n: 1 } }, { put: { id: 'b', n: 2 } }])
  t.deepEqual([rows.getSync('a')?.n, rows.getSync('b')?.n], [3, 2])
})

test('a required sequence is judged when it is the turn of the batch', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const put = (n: number) => [rows.putOp({ id: 'a', n })]
  const settled = await Promise.allSettled([
    store.batch(put(1), { requireSequenceAtLeast: 1 }),
    store.batch(put(2)),
    store.batch(put(3), { requireSequenceAtLeast: 1 }),
    store.batch(put(4), { requireSequenceAtLeast: 3 }),
  ])
  t.deepEqual(
    settled.map((one) => (one.status === 'fulfilled' ? one.value.sequence : one.reason.code)),
    ['ERR_SEQUENCE', 1, 2, 'ERR_SEQUENCE'],
  )
  const error = await fails(t, () => store.batch(put(5), { requireSequenceAtLeast: 9 }), { code: 'ERR_SEQUENCE' })
  t.deepEqual(error.details, { requested: 9, newest: 2 })
  await fails(t, () => store.batch([], { requireSequenceAtLeast: 9 }), { code: 'ERR_SEQUENCE' })
  t.deepEqual(await store.batch([], { requireSequenceAtLeast: 2 }), { sequence: 2 })
})

test('a required sequence is judged for the batch of a collection, too', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const settled = await Promise.allSettled([
    rows.batch([{ put: { id: 'a', n: 1 } }], { requireSequenceAtLeast: 1 }),
    rows.batch([{ insert: { id: 'a', n: 2 } }], { requireSequenceAtLeast: 0 }),
    rows.batch([{ put: { id: 'a', n: 3 } }, { delete: 'b' }], { requireSequenceAtLeast: 1 }),
  ])
  t.deepEqual(
    settled.map((one) => (one.status === 'fulfilled' ? one.value.sequence : one.reason.code)),
    ['ERR_SEQUENCE', 1, 2],
  )
  const one = [{ put: { id: 'a', n: 4 } }]
  const error = await fails(t, () => rows.batch(one, { requireSequenceAtLeast: 9 }), { code: 'ERR_SEQUENCE' })
  t.deepEqual(error.details, { requested: 9, newest: 2 })
  await fails(t, () => rows.batch([], { requireSequenceAtLeast: 9 }), { code: 'ERR_SEQUENCE' })
  await fails(t, () => rows.batch(one, { requireSequenceAtLeast: -1 }), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => rows.put({ id: 'a', n: 4 }, { requireSequenceAtLeast: 1 } as never), {
    code: 'ERR_INVALID_ARGUMENT',
  })
  t.is(rows.getSync('a')?.n, 3)
})

test('many who increment by sequence lose nothing', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row>('rows')
  const first = await rows.insert({ id: 'a', n: 0 })
  let known = { n: 0, sequence: first.sequence }
  const increment = async () => {
    for (;;) {
      const { n, sequence } = known
      try {
        const commit = await rows.put({ id: 'a', n: n + 1 }, { ifSequence: sequence })
        known = { n: n + 1, sequence: commit.sequence }
        return
      } catch (error) {
        if (!StoreError.is(error, 'ERR_CONFLICT')) throw error
      }
    }
  }
  await Promise.all(Array.from({ length: 50 }, increment))
  t.is(rows.getSync('a')?.n, 50)
})
