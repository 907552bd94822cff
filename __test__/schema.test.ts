/** Schemas judge what is written, whichever way, with any validator that follows Standard Schema. */
import { type as ark } from 'arktype'
import test from 'ava'
import * as v from 'valibot'
import { z } from 'zod'
import { type Schema, type } from '../index.mjs'
import { collect, fails, newStore } from './support.js'

const Zod = z.object({ id: z.string(), age: z.number().min(0).default(1), tags: z.array(z.string()).optional() })
const Valibot = v.object({
  id: v.string(),
  age: v.optional(v.pipe(v.number(), v.minValue(0)), 1),
  tags: v.optional(v.array(v.string())),
})
const Ark = ark({ id: 'string', age: 'number >= 0 = 1', 'tags?': 'string[]' })

for (const [vendor, schema] of Object.entries({ zod: Zod, valibot: Valibot, arktype: Ark })) {
  test(`${vendor}: what it makes of a document is stored, and what it refuses is not`, async (t) => {
    const store = await newStore(t)
    const users = store.collection('users', { schema: schema as typeof Zod })
    await users.put({ id: 'a' })
    t.deepEqual(await users.get('a'), { id: 'a', age: 1 })
    const error = await fails(t, () => users.put({ id: 'b', age: -1, tags: ['x', 7 as never] }), {
      code: 'ERR_VALIDATION',
      collection: 'users',
      key: 'b',
      says: /users/,
    })
    const places = error.issues?.map(({ place }) => place).sort()
    t.deepEqual(places, ['$.age', '$.tags[1]'])
    t.true(places?.includes(error.place ?? ''))
    t.deepEqual(error.issues?.find(({ place }) => place === '$.tags[1]')?.path, ['tags', 1])
    t.true(error.issues?.every(({ message }) => message.length > 0))
    t.is(await users.get('b'), undefined)
  })
}

test('every way of writing is judged', async (t) => {
  const store = await newStore(t)
  const users = store.collection('users', { schema: Zod })
  await users.put({ id: 'old', age: 5 })
  const bad = { id: 'bad', age: -1 }
  const ways: Record<string, () => unknown> = {
    put: () => users.put(bad),
    putJson: () => users.putJson(JSON.stringify(bad)),
    insert: () => users.insert(bad),
    putIfAbsent: () => users.putIfAbsent(bad),
    batch: () => users.batch([{ put: { id: 'good' } }, { put: bad }]),
    'batch with insert': () => users.batch([{ insert: bad }]),
    putOp: () => store.batch([users.putOp(bad)]),
    insertOp: () => store.batch([users.insertOp(bad)]),
    transaction: () => store.transaction((tx) => tx.collection(users).put(bad)),
    'transaction with insert': () => store.transaction((tx) => tx.collection(users).insert(bad)),
    updateWhere: () => users.updateWhere({ age: 5 }, { age: -1 }),
  }
  for (const [way, write] of Object.entries(ways)) {
    const error = await fails(t, write, { code: 'ERR_VALIDATION', collection: 'users' })
    t.is(error.issues?.length, 1, way)
    t.is(error.issues?.[0]?.place, '$.age', way)
  }
  t.deepEqual(await users.scan().toArray(), [{ id: 'old', age: 5 }])
  t.is(store.sequence, 1)
})

test('an update of all that match is one commit of documents that were judged', async (t) => {
  const store = await newStore(t)
  const Upper = z.object({ id: z.string(), name: z.string().transform((name) => name.toUpperCase()), n: z.number() })
  const users = store.collection('users', { schema: Upper })
  await users.batch(['a', 'b', 'c'].map((id) => ({ put: { id, name: id, n: id === 'c' ? 2 : 1 } })))
  t.deepEqual(await users.updateWhere({ n: 1 }, { name: 'x' }, { dryRun: true }), { changed: 2 })
  t.deepEqual(await users.updateWhere({ n: 1 }, { name: 'x', n: undefined as never }), { changed: 2, sequence: 2 })
  t.deepEqual(await users.scan().toArray(), [
    { id: 'a', name: 'X', n: 1 },
    { id: 'b', name: 'X', n: 1 },
    { id: 'c', name: 'C', n: 2 },
  ])
  t.is((await users.updateWhere({ n: 1 }, { name: 'y' }, { limit: 1 })).changed, 1)
  t.deepEqual(await users.updateWhere({ n: 99 }, { name: 'y' }), { changed: 0 })
  await fails(t, () => users.updateWhere({ n: 1 }, { id: 'z' }), { code: 'ERR_VALIDATION', place: 'set' })
})

test('an update of all that match begins anew when a document was changed meanwhile', async (t) => {
  const store = await newStore(t)
  let judged = 0
  const Counting: Schema<{ id: string; n: number; m?: number }> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => {
        if ((value as { m?: number }).m !== undefined && judged++ === 0) void loose.put({ id: 'a', n: 7 })
        return { value: value as { id: string; n: number } }
      },
    },
  }
  const loose = store.collection<{ id: string; n: number; m?: number }>('users')
  const users = store.collection('users', { schema: Counting })
  await users.put({ id: 'a', n: 1 })
  const { changed } = await users.updateWhere({}, { m: 1 })
  t.is(changed, 1)
  t.deepEqual(await users.get('a'), { id: 'a', n: 7, m: 1 })
  t.is((await collect(users.history('a'))).length, 3)
})

test('a validator that answers with a promise is refused, and its rejection harms nobody', async (t) => {
  const store = await newStore(t)
  const Later = z.object({ id: z.string() }).refine(async () => true)
  const Never: Schema<{ id: string }> = {
    '~standard': { version: 1, vendor: 'test', validate: () => Promise.reject(new Error('no')) },
  }
  for (const schema of [Later, Never]) {
    const users = store.collection('users', { schema })
    await fails(t, () => users.put({ id: 'a' }), { code: 'ERR_INVALID_ARGUMENT', place: 'schema', says: /at once/ })
    t.throws(() => users.putOp({ id: 'a' }), { code: 'ERR_INVALID_ARGUMENT' })
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.is(store.sequence, 0)
})

test('a validator that throws, or makes something else of a document, stores nothing', async (t) => {
  const store = await newStore(t)
  const make = (validate: (value: unknown) => { value: { id: string } }): Schema<{ id: string }> => ({
    '~standard': { version: 1, vendor: 'test', validate },
  })
  const boom = new RangeError('boom')
  const throws = store.collection('users', {
    schema: make(() => {
      throw boom
    }),
  })
  const error = await fails(t, () => throws.put({ id: 'a' }), { code: 'ERR_VALIDATION', key: 'a', says: /boom/ })
  t.is(error.cause, boom)
  const text = store.collection('users', { schema: make(() => ({ value: 'x' as never })) })
  await fails(t, () => text.put({ id: 'a' }), { code: 'ERR_VALIDATION', place: '$' })
  const keyless = store.collection('users', { schema: make(() => ({ value: {} as never })) })
  await fails(t, () => keyless.put({ id: 'a' }), { code: 'ERR_INVALID_KEY', place: '$.id' })
  t.is(store.sequence, 0)
})

test('a schema of types only checks nothing, and what is no schema is refused', async (t) => {
  const store = await newStore(t)
  const users = store.collection('users', { schema: type<{ id: string; n: number }>() })
  await users.put({ id: 'a', n: 'x' as never })
  t.deepEqual(await users.get('a'), { id: 'a', n: 'x' as never })
  for (const schema of [null, 7, {}, { '~standard': { version: 2, validate: () => ({}) } }, { '~standard': null }]) {
    t.throws(() => store.collection('users', { schema: schema as never }), { code: 'ERR_INVALID_ARGUMENT' })
  }
})

test('JSON text that is written with a schema is read as JSON, then judged', async (t) => {
  const store = await newStore(t)
  const users = store.collection('users', { schema: z.object({ id: z.string(), at: z.coerce.date() }) })
  await users.putJson('{"id":"a","at":"2026-01-02T03:04:05Z"}')
  t.deepEqual(await users.get('a'), { id: 'a', at: new Date('2026-01-02T03:04:05Z') })
  await fails(t, () => users.putJson('{"id":'), { code: 'ERR_VALIDATION', collection: 'users', says: /JSON/ })
})

test('reading trusts what is stored, and snapshots and transactions of a collection know its schema and indexes', async (t) => {
  const store = await newStore(t)
  await store.collection<{ id: string; age: number }>('users').put({ id: 'a', age: -5 })
  const users = store.collection('users', { schema: Zod, indexes: { byAge: { kind: 'multi', on: 'age' } } })
  await users.ready()
  t.deepEqual(await users.get('a'), { id: 'a', age: -5 })
  await using snapshot = store.snapshot()
  await users.put({ id: 'b', age: 5 })
  t.deepEqual(await snapshot.collection(users).byIndex('byAge', 5), [])
  t.deepEqual(await snapshot.collection(users).byIndex('byAge', -5), [{ id: 'a', age: -5 }])
  const other = await newStore(t)
  t.throws(() => other.snapshot().collection(users), { code: 'ERR_INVALID_ARGUMENT' })
})

test('declared indexes are defined once, and kept over restarts', async (t) => {
  const store = await newStore(t)
  const indexes = { byEmail: { kind: 'unique', on: 'email' } } as const
  const users = store.collection('users', { schema: type<{ id: string; email: string }>(), indexes })
  await fails(t, () => users.byIndex('byEmail', 'x'), { code: 'ERR_NO_INDEX' })
  await users.ready()
  await users.ready()
  t.is(users.indexes().length, 1)
  const other = store.collection('users', {
    schema: type<{ id: string; email: string }>(),
    indexes: { byEmail: { kind: 'multi', on: 'email' } },
  })
  await fails(t, () => other.ready(), { code: 'ERR_EXISTS', says: /byEmail/ })
  t.throws(() => store.collection('users', { indexes: { x: { kind: 'fts', on: 'a' } } } as never), {
    code: 'ERR_INVALID_ARGUMENT',
  })
})
