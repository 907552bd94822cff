/** Indexes and collections as users see them: defining, reading, refusing, dropping. */
import test from 'ava'
import { Index } from '../index.mjs'
import { fails, newStore } from './support.js'

interface Person {
  id: string
  email?: string | null
  city?: string
  born?: Date
  tags?: string[]
}

test('documents are found by their keys in an index, of every type', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  await people.put({ id: 'ada', email: 'a@x', city: 'London', born: new Date(5), tags: ['maths', 'poetry'] })
  await people.put({ id: 'bob', email: 'b@x', city: 'Oslo', born: new Date(9), tags: ['maths'] })
  await people.define(Index.unique('byEmail', 'email'))
  await people.define(Index.multi('byTag', 'tags[]'))
  await people.defineIndex('byCityBorn', { kind: 'multi', on: ['city', 'born'] })
  await people.put({ id: 'eve', city: 'Oslo', born: new Date(1) })
  const ids = async (found: Promise<Person[]>) => (await found).map((person) => person.id)
  t.deepEqual(await ids(people.byIndex('byEmail', 'b@x')), ['bob'])
  t.deepEqual(await ids(people.byIndex('byTag', 'maths')), ['ada', 'bob'])
  t.deepEqual(await ids(people.byIndex('byCityBorn', ['Oslo', new Date(1)])), ['eve'])
  t.deepEqual(await ids(people.byIndex('byCityBorn', 'Oslo')), ['eve', 'bob'])
  t.deepEqual(await ids(people.byIndex('byEmail', 'nobody')), [])
  const range = people.rangeIndex('byCityBorn', { gt: ['Oslo', new Date(1)], lte: 'Oslo' })
  t.deepEqual(await ids(range.toArray()), ['bob'])
  const reverse = people.rangeIndex('byTag', { gte: 'm', reverse: true, pageSize: 1 })
  t.deepEqual(await ids(reverse.toArray()), ['ada', 'bob', 'ada'])
  t.deepEqual(await ids(people.scanIndex('byEmail', 'a').toArray()), ['ada'])
  t.deepEqual(
    people.indexes().map(({ name, kind, on, state }) => ({ name, kind, on, state })),
    [
      { name: 'byCityBorn', kind: 'multi', on: ['city', 'born'], state: 'ready' },
      { name: 'byEmail', kind: 'unique', on: ['email'], state: 'ready' },
      { name: 'byTag', kind: 'multi', on: ['tags[]'], state: 'ready' },
    ],
  )
})

test('a snapshot reads the index as it was, also before it was defined', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  const { sequence } = await people.put({ id: 'ada', city: 'London' })
  await people.define(Index.multi('byCity', 'city'))
  await people.put({ id: 'ada', city: 'Oslo' })
  const before = store.at(sequence)
  t.deepEqual(await before.collection<Person>('people').byIndex('byCity', 'London'), [{ id: 'ada', city: 'London' }])
  t.deepEqual(await people.byIndex('byCity', 'London'), [])
  await before.close()
})

test('a transaction finds what it has written', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  await people.define(Index.multi('byCity', 'city'))
  await people.put({ id: 'ada', city: 'Oslo' })
  const found = await store.transaction(async (tx) => {
    const mine = tx.collection<Person>('people')
    mine.put({ id: 'bob', city: 'Oslo' })
    mine.put({ id: 'ada', city: 'Rome' })
    return mine.byIndex('byCity', 'Oslo')
  })
  t.deepEqual(found, [{ id: 'bob', city: 'Oslo' }])
})

test('a second document with a unique key is refused and told whose it is', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  await people.define(Index.unique('byEmail', 'email'))
  const both = [people.put({ id: 'ada', email: 'a@x' }), people.put({ id: 'bob', email: 'a@x' })]
  const [first, second] = await Promise.allSettled(both)
  t.is(first?.status, 'fulfilled')
  t.is(second?.status, 'rejected')
  await fails(t, () => people.put({ id: 'bob', email: 'a@x' }), {
    code: 'ERR_UNIQUE',
    collection: 'people',
    says: /byEmail key="a@x" is held by record "ada"/,
  })
  await people.put({ id: 'eve' })
  await people.put({ id: 'eva' })
})

test('an index over duplicates is not built, and its name is free again', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  await people.batch([{ put: { id: 'a', city: 'Oslo' } }, { put: { id: 'b', city: 'Oslo' } }])
  const build = people.define(Index.unique('byCity', 'city'))
  await fails(t, () => build.ready(), { code: 'ERR_UNIQUE', collection: 'people', says: /"Oslo"/ })
  t.deepEqual(people.indexes(), [])
  await people.define(Index.multi('byCity', 'city'))
  await fails(t, () => people.define(Index.multi('byCity', 'email')).ready(), { code: 'ERR_EXISTS', says: /byCity/ })
  await people.dropIndex('byCity')
  await fails(t, () => people.byIndex('byCity', 'Oslo'), { code: 'ERR_NO_INDEX', collection: 'people', says: /byCity/ })
})

test('a dropped collection is gone, but not from its past', async (t) => {
  const store = await newStore(t)
  await store.createCollection('empty')
  const { sequence } = await store.collection('people').put({ id: 'ada' })
  t.deepEqual(await store.collections(), ['empty', 'people'])
  const before = store.at(sequence).collection('people')
  await store.dropCollection('people')
  t.deepEqual(await store.collections(), ['empty'])
  t.deepEqual(await before.get('ada'), { id: 'ada' })
  t.is(await store.collection('people').get('ada'), undefined)
  // By its name, too, and not what has the name now.
  await store.collection('people').put({ id: 'bob' })
  using past = store.at(sequence)
  t.deepEqual(await past.collection('people').getMany(['ada', 'bob']), [{ id: 'ada' }, undefined])
  const people = store.collection('people')
  t.deepEqual(people.getSync('ada', { snapshot: past }), { id: 'ada' })
  t.deepEqual(await people.scan({ snapshot: past }).toArray(), [{ id: 'ada' }])
  t.deepEqual(await people.find({ snapshot: past }).toArray(), [{ id: 'ada' }])
  t.is((await past.collection('people').getMeta('ada'))?.sequence, sequence)
  t.is(await past.collection('nobody').get('ada'), undefined)
  await store.dropCollection('people')
  await fails(t, () => store.dropCollection('people'), { code: 'ERR_NOT_FOUND', collection: 'people', says: /people/ })
})

test('a key that is missing is refused, and does not stand for all', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  await people.define(Index.multi('byCity', 'city'))
  await people.batch([{ put: { id: 'ada', city: 'Oslo' } }, { put: { id: 'bob', city: 'Rome' } }])
  const { city } = {} as { city: string }
  const wrong = { code: 'ERR_INVALID_ARGUMENT', says: /not undefined/ } as const
  await fails(t, () => people.byIndex('byCity', city), { ...wrong, place: 'key' })
  await fails(t, () => people.byIndex('byCity', [city]), { ...wrong, place: 'key' })
  await fails(t, () => people.scanIndex('byCity', city).toArray(), { ...wrong, place: 'prefix' })
  await fails(t, () => people.rangeIndex('byCity', { gte: [city] }), { ...wrong, place: 'options.gte' })
  await fails(t, () => people.byIndex('byCity', 'half of a pair: \ud83d'), {
    code: 'ERR_INVALID_ARGUMENT',
    place: 'key',
  })
  t.is((await people.rangeIndex('byCity').toArray()).length, 2)
  t.is((await people.rangeIndex('byCity', { gte: undefined, lt: 'Rome' }).toArray()).length, 1)
})

test('a name that is no text is refused by everything that takes one', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  const name = 'half of a pair: \ud83d'
  const wrong = { code: 'ERR_INVALID_NAME' } as const
  await fails(t, () => store.collection(name), wrong)
  await fails(t, () => store.createCollection(name), wrong)
  await fails(t, () => store.dropCollection(name), wrong)
  await fails(t, () => people.defineIndex(name, { kind: 'multi', on: 'city' }).ready(), wrong)
  await fails(t, () => people.dropIndex(name), wrong)
  t.deepEqual(await store.collections(), [])
})

test('what is no definition and no key is refused at once', async (t) => {
  const store = await newStore(t)
  const people = store.collection<Person>('people')
  t.throws(() => people.define({} as never), { code: 'ERR_INVALID_ARGUMENT' })
  t.throws(() => people.defineIndex('x', { kind: 'fts' as never, on: 'a' }), { code: 'ERR_INVALID_ARGUMENT' })
  t.throws(() => Index.multi('x', []), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => people.define(Index.multi('x', 'a..b')).ready(), { code: 'ERR_VALIDATION', says: /a\.\.b/ })
  await fails(t, () => people.byIndex('x', Number.NaN), { code: 'ERR_INVALID_ARGUMENT', says: /index/ })
})

test('reading under names that nobody has written to uses up nothing, and finds what comes', async (t) => {
  const store = await newStore(t)
  const late = store.collection('late')
  for (let n = 0; n < 70_000; n++) store.collection(`nobody-${n}`).getSync('a')
  t.is(late.getSync('a'), undefined)
  t.deepEqual(await late.scan().toArray(), [])
  await store.collection('late').put({ id: 'a' })
  t.deepEqual(late.getSync('a'), { id: 'a' })
  t.deepEqual(await late.find().toArray(), [{ id: 'a' }])
})

test('a transaction uses up nothing for names that it only reads, and sees what it writes under them', async (t) => {
  const store = await newStore(t)
  const ids = new Set<number>()
  for (const name of ['unknown1', 'unknown2']) {
    await store.transaction(async (tx) => {
      t.is(await tx.collection(name).get('a'), undefined)
      t.deepEqual(await tx.collection(name).find().toArray(), [])
    })
  }
  await store.transaction(async (tx) => {
    const [one, other] = [tx.collection('new'), tx.collection('new')]
    t.is(await other.get('a'), undefined)
    one.put({ id: 'a' })
    t.deepEqual([await other.get('a'), (await other.scan().toArray()).length], [{ id: 'a' }, 1])
  })
  await store.collection('next').put({ id: 'a' })
  for (const name of ['new', 'next']) ids.add(Reflect.get(store.collection(name), 'source').id)
  t.deepEqual([...ids], [16, 17])
  t.deepEqual(await store.collections(), ['new', 'next'])
})

test('a transaction reads a collection that is dropped meanwhile, and conflicts when it writes', async (t) => {
  const store = await newStore(t)
  await store.collection('people').put({ id: 'ada' })
  const seen: unknown[] = []
  await store.transaction(async (transaction) => {
    if (seen.length === 0) await store.dropCollection('people')
    const people = transaction.collection('people')
    seen.push(await people.get('ada'))
    people.put({ id: 'bob' })
  })
  t.deepEqual(seen, [{ id: 'ada' }, undefined])
  t.deepEqual(await store.collection('people').scan().toArray(), [{ id: 'bob' }])
})

test('a key of more values than the index has paths is refused, as nothing can have it', async (t) => {
  const rows = (await newStore(t)).collection<{ id: string; at: number[] }>('rows')
  await rows.defineIndex('byAt', { kind: 'multi', on: 'at' })
  await rows.put({ id: 'a', at: [1, 2] })
  const refused = { code: 'ERR_INVALID_ARGUMENT', collection: 'rows', says: /byAt has 1/ } as const
  await fails(t, () => rows.byIndex('byAt', [1, 2]), refused)
  await fails(t, () => rows.rangeIndex('byAt', { gte: [1, 2] }).toArray(), refused)
  await fails(t, () => rows.scanIndex('byAt', ['a', 'b']).toArray(), refused)
  t.is((await rows.byIndex('byAt', [[1, 2]])).length, 1)
})
