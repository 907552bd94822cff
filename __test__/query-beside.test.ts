/** Queries of what is known of documents beside them: their keys, and the commits that made them. */
import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import { type Cursor, Index } from '../index.mjs'
import { fails, newStore } from './support.js'

test('the key and the commits of documents are selected beside what they have', async (t) => {
  const store = await newStore(t)
  const users = store.collection<{ name: string; n: number }, 'name'>('users', { key: 'name' })
  const first = await users.put({ name: 'Zoë', n: 1 })
  const second = await users.put({ name: 'Ann', n: 2 })
  const third = await users.put({ name: 'Zoë', n: 3 })
  await users.define(Index.multi('byN', 'n'))
  const ann = { n: 2, $id: 'Ann', $seq: second.sequence, $createdSeq: second.sequence }
  const zoe = { n: 3, $id: 'Zoë', $seq: third.sequence, $createdSeq: first.sequence }
  const query = users.find().select('n', '$createdSeq', '$seq', '$id')
  t.deepEqual(await query.toArray(), [ann, zoe])
  t.deepEqual(
    await query
      .hint({ index: 'byN' })
      .where({ n: { $gt: 0 } })
      .orderBy('$seq', 'desc')
      .toArray(),
    [zoe, ann],
  )
  t.deepEqual(JSON.parse(await query.json()).items, [ann, zoe])
  t.deepEqual(await users.find({ select: ['$id'], orderBy: [{ path: '$seq' }] }).toArray(), [
    { $id: 'Ann' },
    { $id: 'Zoë' },
  ])
  t.deepEqual(await users.find({ select: ['$seq'], where: { $id: 'Zoë' }, asOf: second.sequence }).first(), {
    $seq: first.sequence,
  })
  await using snapshot = store.snapshot()
  await users.put({ name: 'Ann', n: 4 })
  t.deepEqual(
    await snapshot
      .collection(users)
      .find({ select: ['$id', '$seq'] })
      .toArray(),
    [
      { $id: 'Ann', $seq: second.sequence },
      { $id: 'Zoë', $seq: third.sequence },
    ],
  )
  await store.transaction(async (transaction) => {
    const own = transaction.collection(users)
    own.put({ name: 'Zoë', n: 5 })
    const found = await own.find({ select: ['n', '$id', '$seq', '$createdSeq'], where: { $id: 'Zoë' } }).first()
    // No commit has put it yet.
    t.deepEqual(found, { n: 5, $id: 'Zoë' })
  })
})

test('pages in the order of commits go on where they ended while documents are put again', async (t) => {
  const collection = (await newStore(t)).collection<{ id: number; again?: boolean }>('items')
  for (let id = 0; id < 20; id++) await collection.put({ id }, { durability: 'memory' })
  for (let id = 19; id >= 0; id -= 3) await collection.put({ id, again: true })
  const query = collection.find().orderBy('$seq', 'desc').select('$id', '$seq')
  const seen: { $id: number; $seq?: number }[] = []
  let next: Cursor | undefined
  do {
    const page = await (next ? query.after(next) : query).page(6)
    seen.push(...page.items)
    next = page.next
    await collection.put({ id: seen.length })
  } while (next)
  t.is(new Set(seen.map(({ $id }) => $id)).size, 20)
  const sequences = seen.map(({ $seq }) => $seq as number)
  t.deepEqual(
    sequences,
    sequences.toSorted((a, b) => b - a),
  )
  t.deepEqual(
    seen.slice(0, 7).map(({ $id }) => $id),
    [1, 4, 7, 10, 13, 16, 19],
  )
})

test('keys of all types are selected as they are', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  const keys = [
    -1.5,
    7n,
    'é😀',
    new Uint8Array([0, 255]),
    [1, 'ü', [2n]],
    Number.POSITIVE_INFINITY,
    [Number.NEGATIVE_INFINITY],
  ]
  for (const id of keys) await loose.put({ id, text: 'plain' })
  const found = await loose.find({ select: ['text', '$id'] }).toArray()
  t.is(found.length, keys.length)
  for (const key of keys) {
    t.true(
      found.some(({ $id, text }) => text === 'plain' && isDeepStrictEqual($id, key)),
      String(key),
    )
  }
  const texts = JSON.parse(await loose.find({ select: ['$id'], where: { $id: { $type: 'number' } } }).json())
  // JSON has no infinities.
  t.deepEqual(texts.items, [{ $id: -1.5 }, { $id: null }])
})

test('members that are called as what is beside a document are asked for in brackets', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  await loose.put({ id: 1, $id: 'own', $seq: { a: 5 }, b: true })
  await loose.put({ id: 2, $id: 'other', $seq: 3 })
  t.deepEqual(await loose.get(1), { id: 1, $id: 'own', $seq: { a: 5 }, b: true })
  const own = loose.find({ where: { '["$id"]': 'own' } })
  t.deepEqual(await own.select('["$id"]', '["$seq"].a').toArray(), [{ $id: 'own', $seq: { a: 5 } }])
  t.deepEqual(await own.select('$id', 'b', '$seq').toArray(), [{ b: true, $id: 1, $seq: 1 }])
  t.deepEqual(await own.omit('["$seq"]', 'b').toArray(), [{ id: 1, $id: 'own' }])
  t.deepEqual(await loose.find().orderBy('["$id"]').select('id').toArray(), [{ id: 2 }, { id: 1 }])
  const pointer = async (select: unknown) =>
    (await fails(t, () => loose.find({ select } as never).toArray(), { code: 'ERR_VALIDATION' })).details.pointer
  t.is(await pointer(['b', '$deleted']), '/select/1')
  t.is(await pointer(['$seq', '["$seq"]']), '/select')
  t.is(await pointer({ omit: ['$id'] }), '/select/omit/0')
})
