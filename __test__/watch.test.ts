/** Following the store: every change once and in order, from now or from the past, until told to stop. */
import { join } from 'node:path'
import test from 'ava'
import { type Change, type CollectionChange, FountainStore, type StoreChange } from '../index.mjs'
import { Collection } from '../lib/collection.js'
import { StoreCore } from '../lib/core.js'
import { runtime } from '../lib/runtime.js'
import { followStore } from '../lib/watch.js'
import { child, collectGarbage, directory, fails, heldUntil, newStore } from './support.js'

interface Row {
  id: string
  n: number
}

/** The first `count` of what comes. */
async function take<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = []
  for await (const item of items) if (taken.push(item) === count) break
  return taken
}

const brief = ({ collection, change }: StoreChange) => `${collection} ${change.op} ${change.id} ${change.sequence}`

test('changes come in the order of commits, from now on', async (t) => {
  const store = await newStore(t)
  const [rows, others] = [store.collection<Row>('rows'), store.collection<Row>('others')]
  await rows.put({ id: 'before', n: 0 })
  const seen = take(store.watch(), 5)
  await rows.batch([{ put: { id: 'b', n: 1 } }, { put: { id: 'a', n: 1 } }, { put: { id: 'b', n: 2 } }])
  await others.put({ id: 'x', n: 1 })
  await rows.delete('a')
  await rows.put({ id: 'c', n: 1 })
  const changes = await seen
  t.deepEqual(changes.map(brief), ['rows put a 2', 'rows put b 2', 'others put x 3', 'rows delete a 4', 'rows put c 5'])
  t.deepEqual(changes[1]?.change, { op: 'put', id: 'b', doc: { id: 'b', n: 2 }, sequence: 2 })
})

test('a collection is followed by itself, from the past into the present', async (t) => {
  const path = directory(t)
  const first = await FountainStore.open(path)
  await first.collection<Row>('rows').put({ id: 'a', n: 1 })
  await first.collection<Row>('others').put({ id: 'a', n: 1 })
  await first.collection<Row>('rows').put({ id: 'a', n: 2 })
  await first.close()
  await using store = await FountainStore.open(path)
  const rows = store.collection<Row>('rows')
  const show = (change: Change<Row, string>) => [change.sequence, change.op === 'put' ? change.doc.n : undefined]
  const seen = take(rows.watch({ from: 0 }), 4)
  await store.collection<Row>('others').put({ id: 'b', n: 1 })
  await rows.put({ id: 'b', n: 3 })
  await rows.delete('b')
  t.deepEqual((await seen).map(show), [
    [1, 1],
    [3, 2],
    [5, 3],
    [6, undefined],
  ])
  t.deepEqual((await take(rows.watch({ from: 3 }), 1)).map(show), [[5, 3]])
})

test('a watcher misses nothing and sees nothing twice, however it keeps up', async (t) => {
  const store = await newStore(t, { durability: 'memory', memtableBytes: 64 * 1024 })
  const rows = store.collection<Row & { text: string }>('rows')
  const text = 'x'.repeat(2000)
  const count = 3000
  const sequences = async (pause: number) => {
    const seen: number[] = []
    for await (const { change } of store.watch({ from: 0 })) {
      seen.push(change.sequence)
      if (seen.length === count) break
      if (pause > 0 && seen.length % pause === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    return seen
  }
  const watchers = [sequences(0), sequences(50), sequences(7)]
  for (let n = 0; n < count; n += 100) {
    const writes = Array.from({ length: 100 }, (_, index) => rows.put({ id: String((n + index) % 37), n, text }))
    await Promise.all(writes)
    if (n === 1500) await store.flush()
  }
  const expected = Array.from({ length: count }, (_, index) => index + 1)
  for (const seen of await Promise.all(watchers)) t.deepEqual(seen, expected)
})

test('a signal and closing the store end a watch, also one that waits', async (t) => {
  const store = await newStore(t)
  const controller = new AbortController()
  const aborted = take(store.watch({ signal: controller.signal }), 1)
  const closed = take(store.watch(), 1)
  await new Promise((resolve) => setTimeout(resolve, 50))
  controller.abort(new RangeError('enough'))
  await t.throwsAsync(aborted, { instanceOf: RangeError, message: 'enough' })
  const ended = fails(t, () => closed, { code: 'ERR_CLOSED' })
  await store.close()
  await ended
})

test('leaving a watch ends it at once, also while it waits', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  for (const watch of [store.watch({ from: 0 }), rows.watch({ from: 0 })] as AsyncGenerator<unknown, void>[]) {
    t.false((await watch.next()).done)
    const waiting = watch.next()
    t.deepEqual(await watch.return(), { done: true, value: undefined })
    t.deepEqual(await waiting, { done: true, value: undefined })
    t.deepEqual(await watch.next(), { done: true, value: undefined })
  }
  const disposed = store.watch()
  const waiting = disposed.next()
  await disposed[Symbol.asyncDispose]()
  t.deepEqual(await waiting, { done: true, value: undefined })
  const thrown = store.watch()
  const ended = thrown.next()
  await t.throwsAsync(thrown.throw(new RangeError('mine')), { message: 'mine' })
  t.deepEqual(await ended, { done: true, value: undefined })
  t.is(store.sequence, 1)
})

test('an abandoned watch ends when it is garbage-collected, and not while somebody waits for it', async (t) => {
  const thread = runtime()
  const core = new StoreCore(thread, await thread.open(join(directory(t), 'store'), {}), {
    durability: 'memory',
    defaultScanLimit: 1,
    logger: undefined,
  })
  t.teardown(() => core.close())
  const rows = new Collection<Row, string>(core, 'rows')
  const { signal } = new AbortController()
  await rows.put({ id: 'a', n: 1 })
  const waiting = (() => rows.watch({ from: 1 }).next())()
  await heldUntil([followStore(core, 0, signal), rows.watch({ from: 0 })], () => t.is(core.watches.size, 3))
  await collectGarbage(() => core.watches.size === 1)
  t.is(core.watches.size, 1)
  await rows.put({ id: 'b', n: 2 })
  t.like((await waiting).value, { op: 'put', id: 'b' })
  await collectGarbage(() => core.watches.size === 0)
  t.is(core.watches.size, 0)
})

test('history that is gone and sequences to come are errors', async (t) => {
  const store = await newStore(t, { retention: 'latestOnly' })
  const rows = store.collection<Row>('rows')
  for (let n = 1; n <= 5; n++) await rows.put({ id: 'a', n })
  await store.compact()
  await fails(t, () => take(store.watch({ from: 2 }), 1), { code: 'ERR_HISTORY_TRUNCATED' })
  await fails(t, () => take(store.watch({ from: 6 }), 1), { code: 'ERR_SEQUENCE' })
  await fails(t, () => store.watch({ from: -1 }), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => rows.watch({ since: 1 } as never), { code: 'ERR_INVALID_ARGUMENT', says: /since/ })
  const next = take(store.watch({ from: 5 }), 1)
  await rows.put({ id: 'a', n: 6 })
  t.is((await next)[0]?.change.sequence, 6)
})

test('transactions are followed as one commit', async (t) => {
  const store = await newStore(t)
  const seen = take(store.watch(), 2)
  await store.transaction((transaction) => {
    transaction.collection<Row>('b').put({ id: 'x', n: 1 })
    transaction.collection<Row>('a').put({ id: 'x', n: 1 })
  })
  t.deepEqual((await seen).map(brief).sort(), ['a put x 1', 'b put x 1'])
})

test('who watches is told of a drop, and of what came before it', async (t) => {
  const store = await newStore(t)
  const [rows, others] = [store.collection<Row>('rows'), store.collection<Row>('others')]
  const live = take(store.watch(), 5)
  await rows.put({ id: 'a', n: 1 })
  await others.put({ id: 'b', n: 1 })
  await store.dropCollection('rows')
  await store.collection<Row>('rows').put({ id: 'c', n: 1 })
  await others.put({ id: 'd', n: 1 })
  const told = ['rows put a 1', 'others put b 2', 'rows drop undefined 3', 'rows put c 4', 'others put d 5']
  t.deepEqual((await live).map(brief), told)
  t.deepEqual((await take(store.watch({ from: 0 }), 5)).map(brief), told)
  // The loop over the collection that was dropped ends; nothing more can happen to it.
  const ended: string[] = []
  for await (const { op, sequence } of rows.watch({ from: 0 })) ended.push(`${op} ${sequence}`)
  t.deepEqual(ended, ['put 1', 'drop 3'])
  const differences: string[] = []
  for await (const change of store.diff(2, 5)) differences.push(brief(change))
  t.deepEqual(differences, ['rows delete a 3', 'others put d 5', 'rows put c 4'])
})

/** What is kept by one who follows: documents by id. */
async function keep(changes: AsyncIterable<CollectionChange<Row, string>>, last: number): Promise<Map<string, number>> {
  const kept = new Map<string, number>()
  for await (const change of changes) {
    if (change.op === 'put') kept.set(change.id, change.doc.n)
    else if (change.op === 'delete' || change.op === 'leave') kept.delete(change.id)
    if (change.sequence === last && !('initial' in change)) break
  }
  return kept
}

test('a collection is followed by conditions, with what was before', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const seen = take(rows.watch({ where: { n: { $lt: 3 } }, prev: true }), 6)
  await rows.put({ id: 'a', n: 1 })
  await rows.batch([{ put: { id: 'b', n: 5 } }, { put: { id: 'a', n: 2 } }])
  await store.collection<Row>('others').put({ id: 'a', n: 1 })
  await rows.put({ id: 'a', n: 7 })
  await rows.delete('b')
  await rows.put({ id: 'a', n: 0 })
  await rows.delete('a')
  await store.dropCollection('rows')
  t.deepEqual(await seen, [
    { op: 'put', id: 'a', doc: { id: 'a', n: 1 }, sequence: 1 },
    { op: 'put', id: 'a', doc: { id: 'a', n: 2 }, prev: { id: 'a', n: 1 }, sequence: 2 },
    { op: 'leave', id: 'a', doc: { id: 'a', n: 7 }, prev: { id: 'a', n: 2 }, sequence: 4 },
    { op: 'put', id: 'a', doc: { id: 'a', n: 0 }, prev: { id: 'a', n: 7 }, sequence: 6 },
    { op: 'delete', id: 'a', prev: { id: 'a', n: 0 }, sequence: 7 },
    { op: 'drop', sequence: 8 },
  ])
})

test('deletes are told from puts, and bad conditions are refused at once', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  const deletes = take(rows.watch({ where: { $deleted: true } }), 1)
  const late = take(rows.watch({ where: { $seq: { $gt: 2 }, $id: { $regex: '^a' } }, allowRegex: true }), 1)
  await rows.put({ id: 'a', n: 1 })
  await rows.delete('a')
  await rows.put({ id: 'a', n: 2 })
  t.deepEqual([await deletes, (await late)[0]?.sequence], [[{ op: 'delete', id: 'a', sequence: 2 }], 3])
  for (const where of [{ n: { $near: 1 } }, { $createdSeq: 1 }, { n: undefined }, { $id: { $regex: 'a' } }]) {
    await fails(t, () => rows.watch({ where: where as never }), { code: 'ERR_VALIDATION' })
  }
  await fails(t, () => rows.watch({ prev: 1 } as never), { code: 'ERR_INVALID_ARGUMENT', says: /prev/ })
  await fails(t, () => rows.watch({ initial: true, from: 9 }), { code: 'ERR_SEQUENCE' })
})

test('what is there is told first, and whoever applies what comes has what matches', async (t) => {
  const store = await newStore(t, { durability: 'memory', retention: 'latestOnly', memtableBytes: 64 * 1024 })
  const rows = store.collection<Row>('rows')
  await rows.batch(Array.from({ length: 500 }, (_, n) => ({ put: { id: `${n}`, n: n % 10 } })))
  const where = { n: { $between: [3, 6] as const } }
  const followed = rows.watch({ where, initial: true })
  const first = await followed.next()
  t.like(first.value, { op: 'put', sequence: 1, initial: true })
  // What is written while the first documents are being told comes after them.
  for (let round = 0; round < 20; round++) {
    await rows.batch(
      Array.from({ length: 50 }, (_, n) => ({ put: { id: `${(n * 7 + round) % 600}`, n: (n + round) % 10 } })),
    )
    if (round % 7 === 3) await store.flush()
  }
  await rows.deleteWhere({ n: 4 })
  const { sequence } = await rows.put({ id: 'last', n: 3 })
  const kept = await keep(followed, sequence)
  const { doc } = first.value as { doc: Row }
  if (!kept.has(doc.id) && (await rows.get(doc.id))?.n === doc.n) kept.set(doc.id, doc.n)
  const matching = await rows.find({ where }).toArray()
  t.deepEqual([...kept].sort(), matching.map(({ id, n }) => [id, n] as [string, number]).sort())
  const [ready] = await take(rows.watch({ where: { n: 100 }, initial: true }), 1)
  t.deepEqual(ready, { op: 'ready', sequence })
})

test('what is there first is told of the collection that is followed, not of one that had its name', async (t) => {
  const store = await newStore(t)
  const before = store.collection<Row>('rows')
  await before.put({ id: 'gone', n: 1 })
  const from = store.sequence
  await store.dropCollection('rows')
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 2 })
  const told = await take(rows.watch({ from, initial: true }), 2)
  t.deepEqual(
    told.map((one) => [one.op, 'id' in one ? one.id : undefined]),
    [
      ['ready', undefined],
      ['put', 'a'],
    ],
  )
})

test('one who is so slow that memory does not hold what came is told all of it, once and in order', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const rows = store.collection<Row & { text: string }>('rows')
  const slow = [store.watch(), rows.watch(), rows.watch({ prev: true })]
  const text = 'x'.repeat(500_000)
  // Twice what is kept for watchers.
  const count = 70
  for (let n = 1; n <= count; n++) await rows.put({ id: String(n % 5), n, text })
  for (const watch of slow as AsyncIterable<StoreChange | Change<Row>>[]) {
    const told = (await take(watch, count)).map((one) => ('change' in one ? one.change : one) as Change<Row>)
    t.deepEqual(
      told.map((one) => [one.sequence, one.op === 'put' && one.doc.n]),
      Array.from({ length: count }, (_, at) => [at + 1, at + 1]),
    )
    if (told.some((one) => 'prev' in one)) {
      const prevs = told.map((one) => (one.op === 'put' ? one.prev?.n : undefined))
      t.deepEqual(
        prevs,
        Array.from({ length: count }, (_, at) => (at < 5 ? undefined : at - 4)),
      )
    }
  }
})

test('a watch of a collection that was dropped before says so instead of waiting for ever', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<Row>('rows')
  await rows.put({ id: 'a', n: 1 })
  await store.dropCollection('rows')
  const gone = { code: 'ERR_NOT_FOUND', collection: 'rows' } as const
  await fails(t, () => rows.watch().next(), gone)
  await fails(t, () => rows.watch({ prev: true }).next(), gone)
  t.deepEqual(await take(rows.watch({ from: 1 }), 5), [{ op: 'drop', sequence: 2 }])
  // One who waits for the next change of another collection is not concerned.
  const next = take(store.collection<Row>('others').watch(), 1)
  await store.collection<Row>('others').put({ id: 'a', n: 1 })
  t.is((await next).length, 1)
})

test('one who was killed while following durable writes goes on without a gap and without seeing anything twice', async (t) => {
  const path = directory(t)
  const watching = child(
    path,
    `const store = await FountainStore.open(path)
     const rows = store.collection('rows')
     const write = async () => { for (let n = 0; ; n++) await rows.put({ id: String(n % 7), n }) }
     for (let writer = 0; writer < 4; writer++) write()
     for await (const { change } of store.watch({ from: 0 })) await say(String(change.sequence))`,
  )
  await watching.said('40')
  watching.kill()
  const { stdout, stderr } = await watching.ended
  // What is behind the last line end was cut off.
  const seen = stdout.split('\n').slice(0, -1).map(Number)
  await using store = await FountainStore.open(path)
  await store.collection<Row>('rows').put({ id: 'last', n: 0 })
  for await (const { change } of store.watch({ from: seen.at(-1) ?? 0 })) {
    seen.push(change.sequence)
    if (change.sequence === store.sequence) break
  }
  t.true(store.sequence > 40, stderr)
  t.deepEqual(
    seen,
    Array.from({ length: store.sequence }, (_, n) => n + 1),
  )
})
