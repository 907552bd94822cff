/** Reading and writing documents: get, getSync, getMany, put, delete, batch. */
import test from 'ava'
import { FountainStore } from '../index.mjs'
import { MAX_BATCH_BYTES } from '../lib/limits.js'
import { directory, fails, newStore } from './support.js'

interface User {
  id: string
  age: number
}

test('a get after an awaited put sees it, and sequences count commits', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  t.is(store.sequence, 0)
  t.deepEqual(await users.put({ id: 'ada', age: 36 }), { sequence: 1 })
  t.deepEqual(await users.get('ada'), { id: 'ada', age: 36 })
  t.deepEqual(await users.put({ id: 'ada', age: 37 }), { sequence: 2 })
  t.deepEqual(users.getSync('ada'), { id: 'ada', age: 37 })
  t.deepEqual(await users.delete('ada'), { sequence: 3 })
  t.is(await users.get('ada'), undefined)
  t.is(users.getSync('ada'), undefined)
  t.is(store.sequence, 3)
})

test('deleting what does not exist is a commit like any other', async (t) => {
  const store = await newStore(t)
  t.deepEqual(await store.collection('users').delete('nobody'), { sequence: 1 })
})

test('the key may be in another property, and is type-checked there', async (t) => {
  const store = await newStore(t)
  const users = store.collection<{ email: string; age: number }, 'email'>('users', { key: 'email' })
  await users.put({ email: 'ada@example.org', age: 36 })
  t.deepEqual(await users.get('ada@example.org'), { email: 'ada@example.org', age: 36 })
  await fails(t, () => users.put({ age: 1 } as never), {
    code: 'ERR_INVALID_KEY',
    collection: 'users',
    place: '$.email',
    key: undefined,
    says: /not undefined/,
  })
  const odd = store.collection<{ 'e mail': string }, 'e mail'>('users', { key: 'e mail' })
  await fails(t, () => odd.put({} as never), { code: 'ERR_INVALID_KEY', place: '$["e mail"]' })
})

const badKeys: [name: string, key: unknown, trail: string, says: RegExp][] = [
  ['null', null, '', /not null/],
  ['a boolean', true, '', /not true/],
  ['an object', { a: 1 }, '', /not an object/],
  ['a Date', new Date(), '', /not a Date/],
  ['NaN', Number.NaN, '', /NaN is not a key/],
  ['a lone surrogate', 'a\ud800', '', /lone surrogate/],
  ['a string that is too long', 'x'.repeat(5000), '', /5000 characters is over the limit of 4096 bytes/],
  ['bytes that are too long', new Uint8Array(5000), '', /5000 bytes is over the limit of 4096 bytes/],
  ['a bigint that is too long', 1n << 512n, '', /65 bytes is over the limit of 64 bytes/],
  ['an array with a bad element', [1, ['a', undefined]], '[1][1]', /not undefined/],
  ['an array with NaN', [[0], [Number.NaN]], '[1][0]', /NaN is not a key/],
  ['an array that is too deep', [[[[[[[[[1]]]]]]]]], '[0][0][0][0][0][0][0][0]', /at most 8 deep/],
  ['an array that is too long', new Array(3000).fill(1), '', /over the limit/],
]

for (const [name, key, trail, says] of badKeys) {
  test(`${name} is refused as a key by reads and writes, with its place`, async (t) => {
    const store = await newStore(t)
    const users = store.collection<{ id: never }>('users')
    const expected = { code: 'ERR_INVALID_KEY', collection: 'users', key, says } as const
    await fails(t, () => users.put({ id: key as never }), { ...expected, place: `$.id${trail}` })
    await fails(t, () => users.putOp({ id: key as never }), { ...expected, place: `$.id${trail}` })
    await fails(t, () => users.get(key as never), { ...expected, place: `key${trail}` })
    await fails(t, () => users.getSync(key as never), { ...expected, place: `key${trail}` })
    await fails(t, () => users.delete(key as never), { ...expected, place: `key${trail}` })
    await fails(t, () => users.deleteOp(key as never), { ...expected, place: `key${trail}` })
    if (key !== undefined) {
      await fails(t, () => users.scan({ gte: key as never }), { ...expected, place: `options.gte${trail}` })
    }
    t.is(store.sequence, 0)
  })
}

test('a refused write leaves the writes of its tick untouched', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  const outcomes = await Promise.allSettled([
    users.put({ id: 'a', age: 1 }),
    users.put({ id: 'x'.repeat(5000), age: 1 }),
    users.batch([{ put: { id: 'b', age: 1 } }, { delete: 'y'.repeat(5000) }]),
    users.put({ id: 'c', age: 1 }),
  ])
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  )
  t.deepEqual(
    (await users.scan().toArray()).map(({ id }) => id),
    ['a', 'c'],
  )
})

test('the caller may change document, key and key bytes as soon as the call returns', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: Uint8Array; list: number[] }>('things')
  const document = { id: new Uint8Array([1, 2]), list: [1] }
  const put = things.put(document)
  document.id[0] = 9
  document.list.push(2)
  await put
  t.deepEqual(await things.get(new Uint8Array([1, 2])), { id: new Uint8Array([1, 2]), list: [1] })
})

test('getMany answers whole, however much it is: over the block of a thread, over what one call answers, from the disk', async (t) => {
  const dir = directory(t)
  let store = await FountainStore.open(dir, { cacheBytes: 1 << 20, durability: 'memory' })
  const text = (id: number) => `${id} `.repeat(id % 50 === 0 ? 400_000 : 300)
  const ids = Array.from({ length: 2500 }, (_, id) => id)
  const before = store.collection<{ id: number; text: string }>('texts')
  for (const id of ids) before.put({ id, text: text(id) })
  await store.close()
  store = await FountainStore.open(dir, { cacheBytes: 1 << 20 })
  t.teardown(() => store.close())
  const texts = store.collection<{ id: number; text: string }>('texts')
  const wanted = ids.toReversed().flatMap((id) => [id, id + 1_000_000])
  const found = await texts.getMany(wanted)
  t.is(found.length, wanted.length)
  t.true(found.every((document, at) => (at % 2 === 1 ? document === undefined : document?.id === wanted[at])))
  t.true(found.every((document) => document === undefined || document.text === text(document.id)))
  t.deepEqual(await texts.getMany([]), [])
})

test('getMany answers in the order of its keys, with undefined for misses, as of one moment', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  await users.batch([{ put: { id: 'a', age: 1 } }, { put: { id: 'b', age: 1 } }])
  await store.flush()
  const found = users.getMany(['b', 'nobody', 'a', 'b'])
  await users.batch([{ put: { id: 'a', age: 2 } }, { put: { id: 'b', age: 2 } }])
  const b = { id: 'b', age: 1 }
  t.deepEqual(await found, [b, undefined, { id: 'a', age: 1 }, b])
  await fails(t, () => users.getMany(['a', null as never]), { code: 'ERR_INVALID_KEY', place: 'keys[1]' })
  await fails(t, () => users.getMany('a' as never), { code: 'ERR_INVALID_ARGUMENT', place: 'keys' })
  t.is(store.metrics().openSnapshots, 0)
})

test('documents are found after they have left memory', async (t) => {
  const store = await newStore(t, { cacheBytes: 0, pageCacheReads: false, memtableBytes: 64 * 1024 })
  const users = store.collection<User>('users')
  await Promise.all(Array.from({ length: 5000 }, (_, age) => users.put({ id: `u${age}`, age })))
  await store.flush()
  t.true(store.metrics().flushes > 0)
  const found = await Promise.all(Array.from({ length: 5000 }, (_, age) => users.get(`u${age}`)))
  t.true(found.every((user, age) => user?.age === age))
  t.deepEqual(users.getSync('u42'), { id: 'u42', age: 42 })
  t.is(await users.get('u5000'), undefined)
})

test('what the operating system has in memory is read at once, unless the store is told not to', async (t) => {
  /** Whether a read of a document that the store's own cache does not have is answered before anything else has its turn. */
  const isAnsweredAtOnce = async (pageCacheReads: boolean | undefined) => {
    const store = await newStore(t, { cacheBytes: 0, pageCacheReads })
    const users = store.collection<User>('users')
    await users.put({ id: 'a', age: 1 })
    await store.flush()
    await users.get('a')
    let answered = false
    const reading = users.get('a').then((user) => {
      answered = true
      return user
    })
    for (let turn = 0; turn < 10; turn++) await undefined
    const atOnce = answered
    t.deepEqual(await reading, { id: 'a', age: 1 })
    await store.close()
    return atOnce
  }
  t.false(await isAnsweredAtOnce(false))
  if (await isAnsweredAtOnce(undefined)) t.true(await isAnsweredAtOnce(true))
  else t.log('NOT PROVED: the file system of temporary files cannot be asked for what is in memory')
})

test('timers have their turn while answers come without end', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const users = store.collection<User>('users')
  let going = true
  const client = async (id: number) => {
    for (let age = 0; going; age++) await users.put({ id: `u${id}`, age })
  }
  const clients = Promise.all(Array.from({ length: 64 }, (_, id) => client(id)))
  // Each of these needs turns of its own; without them this does not end.
  for (let n = 0; n < 50; n++) await new Promise((resolve) => setTimeout(resolve, 1))
  going = false
  await clients
  t.is((await users.scan().toArray()).length, 64)
})

test('a batch across collections is one commit', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  const logins = store.collection<{ at: number; user: string }, 'at'>('logins', { key: 'at' })
  await users.put({ id: 'old', age: 1 })
  const operations = [users.putOp({ id: 'ada', age: 36 }), logins.putOp({ at: 7, user: 'ada' }), users.deleteOp('old')]
  t.is(operations[1]?.collection, 'logins')
  t.deepEqual(await store.batch(operations), { sequence: 2 })
  t.deepEqual(await logins.get(7), { at: 7, user: 'ada' })
  t.is(await users.get('old'), undefined)
  const before = store.at(1)
  t.is(await before.collection<User>('users').get('ada'), undefined)
  t.deepEqual(await before.collection<User>('users').get('old'), { id: 'old', age: 1 })
  t.deepEqual(await store.collections(), ['logins', 'users'])
})

test('the last operation on a key wins, and an empty batch writes nothing', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  const put = (age: number) => ({ put: { id: 'a', age } })
  t.deepEqual(await users.batch([put(1), { delete: 'a' }, put(2)]), { sequence: 1 })
  t.deepEqual(await users.get('a'), { id: 'a', age: 2 })
  t.deepEqual(await users.batch([]), { sequence: 1 })
  t.deepEqual(await store.batch([]), { sequence: 1 })
})

test('a bad item of a batch is named, and nothing of the batch happens', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  const good = { put: { id: 'a', age: 1 } }
  const batch = (item: unknown) => () => users.batch([good, item as never])
  await fails(t, batch({ put: { id: 'b', age: () => 1 } }), {
    code: 'ERR_VALIDATION',
    place: '$.age',
    says: /^items\[1\]/,
  })
  await fails(t, batch({ delete: null }), { code: 'ERR_INVALID_KEY', place: 'key', says: /^items\[1\]/ })
  for (const wrong of [null, {}, { put: good, delete: 'a' }, { patch: 1 }, []]) {
    await fails(t, batch(wrong), { code: 'ERR_INVALID_ARGUMENT', place: 'items[1]' })
  }
  await fails(t, () => users.batch({} as never), { code: 'ERR_INVALID_ARGUMENT', place: 'items' })
  t.is(store.sequence, 0)
})

test('a batch that is refused at its last item leaves nothing to the next one', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number; n: number }>('things')
  const items = [{ put: { id: 1, n: 1 } }, { delete: 2 }, { put: { id: 3, n: Number.NaN } }]
  await fails(t, () => things.batch(items), { code: 'ERR_VALIDATION', place: '$.n', says: /items\[2\]/ })
  await things.batch([{ put: { id: 4, n: 4 } }])
  t.deepEqual(await things.scan().toArray(), [{ id: 4, n: 4 }])
  t.like(store.metrics(), { puts: 1, deletes: 0 })
})

test('getters of a batch may write, batches too, and disturb neither what they write nor the batch', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string; n: number }>('things')
  await things.put({ id: 'known', n: 0 })
  const inner: Promise<{ sequence: number }>[] = []
  const writing = (id: string) => ({
    id,
    get n() {
      const name = `inner${inner.length}`
      inner.push(things.put({ id: name, n: 1 }), things.batch([{ put: { id: `${name}b`, n: 2 } }, { delete: 'known' }]))
      return 3
    },
  })
  const outer = await things.batch([{ put: writing('a') }, { insert: writing('b') }, { put: { id: 'c', n: 4 } }])
  const sequences = (await Promise.all(inner)).map(({ sequence }) => sequence)
  // What was called first is committed first.
  t.deepEqual(
    sequences,
    [...sequences].sort((a, b) => a - b),
  )
  t.is(outer.sequence, Math.max(...sequences) + 1)
  const found = (await things.scan().toArray()).map(({ id, n }) => [id, n])
  const written = Array.from({ length: inner.length / 2 }, (_, i) => [
    [`inner${2 * i}`, 1],
    [`inner${2 * i}b`, 2],
  ]).flat()
  t.deepEqual(found, [['a', 3], ['b', 3], ['c', 4], ...written])
})

test('a batch is as long as its array was when it was called', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number; n: number }>('things')
  const items: { put: { id: number; n: number } }[] = []
  const growing = {
    id: 1,
    get n() {
      if (items.length < 5) items.push({ put: { id: items.length + 1, n: 0 } })
      return 1
    },
  }
  items.push({ put: growing })
  await things.batch(items)
  t.deepEqual(await things.scan().toArray(), [{ id: 1, n: 1 }])
})

test('store.batch takes operations of its own store only', async (t) => {
  const store = await newStore(t)
  const other = await newStore(t)
  const foreign = other.collection<User>('users').putOp({ id: 'a', age: 1 })
  await fails(t, () => store.batch([foreign]), {
    code: 'ERR_INVALID_ARGUMENT',
    place: 'operations[0]',
    says: /this store/,
  })
  await fails(t, () => store.batch([{} as never]), { code: 'ERR_INVALID_ARGUMENT', place: 'operations[0]' })
  await fails(t, () => store.batch(foreign as never), { code: 'ERR_INVALID_ARGUMENT', place: 'operations' })
})

test('requireSequenceAtLeast refuses a store that is behind', async (t) => {
  const store = await newStore(t)
  const operation = store.collection<User>('users').putOp({ id: 'a', age: 1 })
  const batch = (requireSequenceAtLeast: number) => store.batch([operation], { requireSequenceAtLeast })
  const error = await fails(t, () => batch(1), { code: 'ERR_SEQUENCE', says: /at sequence 0 and has not reached 1/ })
  t.deepEqual(error.details, { requested: 1, newest: 0 })
  await batch(0)
  await batch(1)
  t.is(store.sequence, 2)
})

test('a batch over the limit in bytes is refused alone', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number; s: string }>('things')
  const s = 'x'.repeat(15 * 1024 * 1024)
  const items = Array.from({ length: Math.ceil(MAX_BATCH_BYTES / s.length) }, (_, id) => ({ put: { id, s } }))
  const small = things.put({ id: -1, s: '' })
  await fails(t, () => things.batch(items), {
    code: 'ERR_TOO_LARGE',
    collection: 'things',
    says: /over the limit of 67108864/,
  })
  t.deepEqual(await small, { sequence: 1 })
})

test('collection names are checked', async (t) => {
  const store = await newStore(t)
  for (const name of ['', 'a/b', 'x'.repeat(129), 'naïve', '..\0']) {
    await fails(t, () => store.collection(name), { code: 'ERR_INVALID_NAME' })
  }
  await fails(t, () => store.collection(7 as never), { code: 'ERR_INVALID_ARGUMENT', place: 'name' })
  await fails(t, () => store.collection('a', { key: '' } as never), {
    code: 'ERR_INVALID_ARGUMENT',
    says: /options.key of collection must be the name of a property/,
  })
  await fails(t, () => store.collection('a', { keys: 'id' } as never), {
    code: 'ERR_INVALID_ARGUMENT',
    place: 'options.keys',
  })
})

test('wrong options are refused by name', async (t) => {
  const store = await newStore(t)
  const users = store.collection<User>('users')
  const wrong = (work: () => unknown, place: string) => fails(t, work, { code: 'ERR_INVALID_ARGUMENT', place })
  await wrong(() => users.get('a', { snapshots: 1 } as never), 'options.snapshots')
  await wrong(() => users.get('a', { snapshot: {} } as never), 'options.snapshot of get')
  await wrong(() => users.get('a', 7 as never), 'the options of get')
  await wrong(() => users.getSync('a', { signal: 1 } as never), 'options.signal')
  await wrong(() => users.put({ id: 'a', age: 1 }, { durability: 'forever' } as never), 'options.durability of put')
  await wrong(() => users.put({ id: 'a', age: 1 }, { signal: {} } as never), 'options.signal of put')
  await wrong(() => users.delete('a', { constructor: 1 } as never), 'options.constructor')
  await wrong(() => store.batch([], { requireSequenceAtLeast: -1 }), 'options.requireSequenceAtLeast of batch')
  t.is(store.sequence, 0)
})

test('an aborted signal refuses a call, and ends a wait, with its reason', async (t) => {
  const store = await newStore(t, { cacheBytes: 0, pageCacheReads: false })
  const users = store.collection<User>('users')
  await users.put({ id: 'a', age: 1 })
  await store.flush()
  const reason = new Error('enough')
  const aborted = { signal: AbortSignal.abort(reason) }
  for (const call of [
    () => users.get('a', aborted),
    () => users.getMany(['a'], aborted),
    () => users.put({ id: 'b', age: 1 }, aborted),
    () => users.delete('a', aborted),
    () => users.batch([{ delete: 'a' }], aborted),
    () => store.batch([users.deleteOp('a')], aborted),
    () => users.scan(aborted).toArray(),
  ]) {
    t.is(await t.throwsAsync(call), reason)
  }
  t.is(store.sequence, 1)
  const controller = new AbortController()
  const waiting = users.get('a', { signal: controller.signal })
  controller.abort(reason)
  t.is(await t.throwsAsync(waiting), reason)
})

test('a key in JSON text that is none is told with its place', async (t) => {
  const users = (await newStore(t)).collection<{ id: string }>('users')
  for (const json of ['{}', '{"id":null}', '{"id":{}}', `{"id":"${'x'.repeat(5000)}"}`]) {
    const says = /^\$\.id is not a key of collection "users": /
    await fails(t, () => users.putJson(json), { code: 'ERR_INVALID_KEY', collection: 'users', place: '$.id', says })
  }
})
