/** What must and must not compile. Checked by `tsc`, never run: an expected error that does not occur is an error. */
import {
  type Collection,
  type Commit,
  FountainStore,
  type Key,
  type ReadCollection,
  type TransactionCollection,
} from '../index.mjs'

interface User {
  id: string
  email: string
  age: number
  tags?: string[]
}

/** Equality of types, as the compiler sees it. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const assert = <_ extends true>() => {}

export async function compiles(): Promise<void> {
  await using store = await FountainStore.open('./data', { durability: 'os', retention: 'latestOnly' })
  const users = store.collection<User>('users')
  assert<Same<typeof users, Collection<User, string>>>()
  const byEmail = store.collection<User, 'email'>('users', { key: 'email' })
  assert<Same<typeof byEmail, Collection<User, string>>>()
  const pairs = store.collection<{ at: readonly [number, string]; n: 1 }, 'at'>('pairs', { key: 'at' })
  await pairs.get([1, 'a'])
  const loose = store.collection('anything')
  await loose.put({ id: 7n, whatever: [1, { a: null }] })
  assert<Same<Parameters<typeof loose.get>[0], Key>>()

  const found = await users.get('a')
  assert<Same<typeof found, User | undefined>>()
  const many = await users.getMany(['a'])
  assert<Same<typeof many, (User | undefined)[]>>()
  for await (const user of users.scan({ gte: 'a', prefix: undefined })) assert<Same<typeof user, User>>()
  for await (const page of users.scan().pages()) assert<Same<typeof page, User[]>>()
  await using snapshot = store.snapshot()
  const view = snapshot.collection<User>('users')
  assert<Same<typeof view, ReadCollection<User, string>>>()
  await store.batch([users.putOp({ id: 'a', email: 'e', age: 1 }), pairs.deleteOp([1, 'a'])])

  const answer = await store.transaction(
    async (transaction) => {
      const inside = transaction.collection<User>('users')
      assert<Same<typeof inside, TransactionCollection<User, string>>>()
      inside.put({ id: 'b', email: 'e', age: 2 })
      const seen = await inside.get('b')
      assert<Same<typeof seen, User | undefined>>()
      // @ts-expect-error a transaction has no feed and no promise of a write
      inside.batch
      return 42 as const
    },
    { isolation: 'serializable', retries: 3, timeoutMs: 1000 },
  )
  assert<Same<typeof answer, 42>>()
  const inserted = await users.putIfAbsent({ id: 'a', email: 'e', age: 1 })
  assert<Same<typeof inserted, Commit | undefined>>()
  await users.delete('a', { ifSequence: (await users.insert({ id: 'a', email: 'e', age: 1 })).sequence })
  // @ts-expect-error an insert replaces nothing
  await users.insert({ id: 'a', email: 'e', age: 1 }, { ifSequence: 1 })
  // @ts-expect-error unknown level
  await store.transaction(() => 1, { isolation: 'dirty' })

  // @ts-expect-error the key is a string
  await users.get(1)
  // @ts-expect-error a bound is a key
  users.scan({ gt: 1 })
  // @ts-expect-error a member is missing
  await users.put({ id: 'a', email: 'e' })
  // @ts-expect-error a member has the wrong type
  await users.put({ id: 'a', email: 'e', age: '1' })
  // @ts-expect-error a delete takes a key
  await users.batch([{ delete: 7 }])
  // @ts-expect-error unknown durability
  await users.put({ id: 'a', email: 'e', age: 1 }, { durability: 'forever' })
  // @ts-expect-error unknown option
  await FountainStore.open('./data', { cacheByte: 1 })
  // @ts-expect-error a document needs its key
  store.collection<{ name: string }>('nameless')
  // @ts-expect-error an optional member is no key
  store.collection<User, 'tags'>('users', { key: 'tags' })
  // @ts-expect-error no such member
  store.collection<User, 'name'>('users', { key: 'name' })
  // @ts-expect-error a Date is no key
  store.collection<{ id: Date }>('dates')
  // @ts-expect-error a snapshot is not written to
  view.put
  // @ts-expect-error the constructor is private
  new FountainStore()
}
