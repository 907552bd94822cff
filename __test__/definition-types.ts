/** What must and must not compile of collections with schemas and indexes. Checked by `tsc`, never run. */
import { type as ark } from 'arktype'
import * as v from 'valibot'
import { z } from 'zod'
import { type AnyIndexes, type Collection, FountainStore, Index, path, type Query, type } from '../index.mjs'

interface User {
  id: string
  email: string
  age: number
  vip?: boolean
  nick?: string | null
  tags: string[]
  address: { city: string; zip?: string }
  orders: { sku: string; qty: number }[]
  born: Date
  name: string[]
}

/** Equality of types, as the compiler sees it. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const assert = <_ extends true>() => {}

export async function indexesAreInferred(store: FountainStore): Promise<void> {
  const users = store.collection('users', {
    schema: type<User>(),
    indexes: {
      byEmail: { kind: 'unique', on: 'email' },
      byTag: { kind: 'multi', on: 'tags[]' },
      bySku: { kind: 'multi', on: 'orders[].sku', sparse: true },
      byBorn: { kind: 'multi', on: 'born' },
      byName: { kind: 'multi', on: 'name' },
      byNick: { kind: 'multi', on: 'nick' },
      cityAge: { kind: 'multi', on: ['address.city', 'age'] },
      deep: { kind: 'multi', on: path('a.b.c.d.e') },
      byYear: { version: 1, values: (user: User) => [user.id.length] },
    },
  })
  assert<Same<Parameters<typeof users.put>[0], User>>()
  assert<Same<Parameters<typeof users.get>[0], string>>()
  await users.ready()
  const found = await users.byIndex('byEmail', 'a@x')
  assert<Same<typeof found, User[]>>()
  await users.byIndex('byEmail', ['a@x'])
  await users.byIndex('byTag', 'x')
  await users.byIndex('bySku', 'x')
  await users.byIndex('byBorn', new Date())
  await users.byIndex('byName', [['Ada', 'Lovelace']])
  await users.byIndex('byNick', null)
  await users.byIndex('cityAge', ['Oslo', 30])
  await users.byIndex('cityAge', ['Oslo'])
  await users.byIndex('cityAge', 'Oslo')
  await users.byIndex('deep', 1n)
  await users.byIndex('byYear', 1900)
  // @ts-expect-error the function computes numbers
  await users.byIndex('byYear', '1900')
  await users.rangeIndex('cityAge', { gte: ['Oslo', 18], lt: 'Paris' }).toArray()
  await users.scanIndex('byEmail', 'a').toArray()
  const query = users.find({ where: { vip: true }, hint: { index: 'byEmail' } }).hint({ index: 'byTag' })
  assert<Same<Query<User, User, typeof users extends Collection<User, string, infer I> ? I : never>, typeof query>>()
  await users.find({ select: ['id'], hint: { index: 'byTag' } }).toArray()
  await users.find().where({ age: 3 }).orderBy('age').limit(3).hint({ index: 'cityAge' }).toArray()
  const inThePast = store.snapshot().collection(users)
  await inThePast.byIndex('cityAge', ['Oslo', 30])
  await store.transaction(async (tx) => {
    const inside = tx.collection(users)
    for (const user of await inside.byIndex('byTag', 'x')) inside.put({ ...user, vip: true })
    // @ts-expect-error unknown index
    await inside.byIndex('byNothing', 'x')
  })

  // @ts-expect-error unknown index
  await users.byIndex('byNothing', 'x')
  // @ts-expect-error wrong type of key
  await users.byIndex('byEmail', 3)
  // @ts-expect-error a list of elements is not a tag
  await users.byIndex('byTag', ['x', 'y'])
  // @ts-expect-error a value that is a list is written as a list with one element
  await users.byIndex('byName', 'Ada')
  // @ts-expect-error wrong type of the second value
  await users.byIndex('cityAge', ['Oslo', '30'])
  // @ts-expect-error too many values
  await users.byIndex('cityAge', ['Oslo', 30, 1])
  // @ts-expect-error wrong type of bound
  users.rangeIndex('cityAge', { gte: 30 })
  // @ts-expect-error unknown index in a hint
  users.find({ hint: { index: 'byNothing' } })
  // @ts-expect-error unknown index in a hint
  users.find().hint({ index: 'byNothing' })
  // @ts-expect-error misspelt path
  store.collection('users', { schema: type<User>(), indexes: { x: { kind: 'unique', on: 'emial' } } })
  // @ts-expect-error misspelt path among several
  store.collection('users', { schema: type<User>(), indexes: { x: { kind: 'multi', on: ['email', 'nope'] } } })
  // @ts-expect-error unknown kind
  store.collection('users', { schema: type<User>(), indexes: { x: { kind: 'fts', on: 'email' } } })
  // @ts-expect-error documents of this collection have no such member
  store.collection('users', {
    schema: type<User>(),
    indexes: { x: { version: 1, values: (one: { nope: 1 }) => [one.nope] } },
  })
  // @ts-expect-error no index can hold what the function computes
  store.collection('users', { schema: type<User>(), indexes: { x: { version: 1, values: () => [{}] } } })
  // @ts-expect-error unknown option
  store.collection('users', { schema: type<User>(), index: {} })

  // A function's parameter has the type of the documents, declared or defined.
  const computed = store.collection('users', {
    schema: type<User>(),
    indexes: { byDomain: { version: 1, values: (user) => user.email.split('@') } },
  })
  await computed.byIndex('byDomain', 'example.org')
  // @ts-expect-error the function computes text
  await computed.byIndex('byDomain', 3)
  store.collection('users', {
    schema: type<User>(),
    // @ts-expect-error documents of this collection have no such member
    indexes: { x: { version: 1, values: (user) => [user.nope] } },
  })
  await users.define(Index.multiValues('x', (user) => user.tags, { version: 1 }))
  await users.define(Index.unique('x', 'email'))
  await users.defineIndex('x', { version: 1, values: (user) => [user.age] })
  // @ts-expect-error documents of this collection have no such member
  await users.define(Index.multiValues('x', (user) => [user.nope], { version: 1 }))
  // @ts-expect-error the function is for other documents
  await users.define(Index.multiValues('x', (one: { nope: string }) => [one.nope], { version: 1 }))

  // Without a declaration any name may be an index.
  const loose = store.collection<User>('users')
  assert<Same<typeof loose, Collection<User, string, AnyIndexes, User>>>()
  await loose.byIndex('byAnything', ['x', 1])
  const plain = store.collection('users', { schema: type<User>() })
  // @ts-expect-error no index was declared
  await plain.byIndex('byEmail', 'x')
}

export async function keysAreInferred(store: FountainStore): Promise<void> {
  const posts = store.collection('posts', { schema: type<{ slug: string; n: 1 }>(), key: 'slug' })
  assert<Same<Parameters<typeof posts.get>[0], string>>()
  const pairs = store.collection('pairs', { schema: type<{ at: [number, string] }>(), key: 'at' })
  await pairs.get([1, 'a'])
  // @ts-expect-error there is no id, so the key must be named
  store.collection('posts', { schema: type<{ slug: string }>() })
  // @ts-expect-error an optional member is no key
  store.collection('posts', { schema: type<{ slug?: string }>(), key: 'slug' })
  // @ts-expect-error the key is text
  await posts.get(1)
}

export async function schemasAreInferred(store: FountainStore): Promise<void> {
  const Zod = z.object({ id: z.string(), age: z.number().default(3), at: z.coerce.date(), tags: z.array(z.string()) })
  const zods = store.collection('zods', { schema: Zod, indexes: { byTag: { kind: 'multi', on: 'tags[]' } } })
  const one = await zods.get('a')
  assert<Same<typeof one, { id: string; age: number; at: Date; tags: string[] } | undefined>>()
  await zods.put({ id: 'a', at: '2026-01-01', tags: [] })
  await zods.batch([{ put: { id: 'a', at: 0, tags: [] } }, { delete: 'b' }])
  await zods.byIndex('byTag', 'x')
  await zods.find({ where: { at: { $gt: new Date() } } }).first()
  // @ts-expect-error a member is missing
  await zods.put({ id: 'a', at: 0 })
  // @ts-expect-error wrong type
  await zods.put({ id: 'a', at: 0, tags: [], age: '3' })
  // @ts-expect-error wrong type of key
  await zods.byIndex('byTag', 3)

  const Valibot = v.object({ slug: v.string(), n: v.optional(v.number(), 1) })
  const valibots = store.collection('valibots', {
    schema: Valibot,
    key: 'slug',
    indexes: { byN: { kind: 'multi', on: 'n' } },
  })
  const two = await valibots.get('a')
  assert<Same<typeof two, { slug: string; n: number } | undefined>>()
  await valibots.insert({ slug: 'a' })
  await valibots.byIndex('byN', 1)
  // @ts-expect-error wrong type
  await valibots.insert({ slug: 'a', n: 'x' })

  const Ark = ark({ id: 'string', n: 'number', 'nick?': 'string' })
  const arks = store.collection('arks', { schema: Ark, indexes: { byNick: { kind: 'unique', on: 'nick' } } })
  const three = await arks.get('a')
  assert<Same<typeof three, { id: string; n: number; nick?: string } | undefined>>()
  await arks.put({ id: 'a', n: 1 })
  await arks.byIndex('byNick', 'x')
  // @ts-expect-error a member is missing
  await arks.put({ id: 'a' })

  // @ts-expect-error an array is no document
  store.collection('arrays', { schema: z.array(z.string()) })
  // @ts-expect-error this is no schema
  store.collection('none', { schema: {} })
}

export const opened = FountainStore.open
