/** Bad input of every kind is defined: a typed error that says what and where, or a stored value that is what it was. */
import test from 'ava'
import { type Cursor, Index, type Key, path } from '../index.mjs'
import { fails, newStore } from './support.js'

interface Item {
  id: string
  email?: string
  n?: number
}

test('unknown operators, bad paths and values of wrong types are refused with their places', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  const places: [where: Record<string, unknown>, pointer: string][] = [
    [{ a: { $near: 1 } }, '/where/a/$near'],
    [{ $where: 'this.a' }, '/where/$where'],
    [{ 'a..b': 1 }, '/where/a..b'],
    [{ 'a[': 1 }, '/where/a['],
    [{ '': 1 }, '/where/'],
    [{ a: { $in: 1 } }, '/where/a/$in'],
    [{ a: { $size: 'x' } }, '/where/a/$size'],
    [{ a: { $exists: 1 } }, '/where/a/$exists'],
    [{ a: { $type: 'text' } }, '/where/a/$type'],
    [{ a: { $gt: null } }, '/where/a/$gt'],
    [{ a: { $between: [1] } }, '/where/a/$between'],
    [{ $or: {} }, '/where/$or'],
  ]
  for (const [where, pointer] of places) {
    const error = await fails(t, () => loose.find({ where }).toArray(), { code: 'ERR_VALIDATION' })
    t.true(String(error.details.pointer).startsWith(pointer), `${error.details.pointer} of ${JSON.stringify(where)}`)
  }
  await fails(t, () => loose.updateWhere({}, { n: Number.NaN } as never), { code: 'ERR_VALIDATION' })
  await fails(t, () => loose.find().orderBy(path('a..b')).toArray(), { code: 'ERR_VALIDATION' })
})

test('an index that is not there is named, and a collection that is not there is empty', async (t) => {
  const store = await newStore(t)
  const none = store.collection<Item>('none')
  const says = /byNothing/
  await fails(t, () => none.byIndex('byNothing', 'x'), { code: 'ERR_NO_INDEX', collection: 'none', says })
  await fails(t, () => none.rangeIndex('byNothing').toArray(), { code: 'ERR_NO_INDEX', says })
  await fails(t, () => none.find({ hint: { index: 'byNothing' } }).toArray(), { code: 'ERR_NO_INDEX', says })
  await fails(t, () => none.dropIndex('byNothing'), { code: 'ERR_NO_INDEX', says })
  t.deepEqual(await none.find().toArray(), [])
  t.deepEqual(await store.collections(), [])
  for (const name of ['', 'a b', 'a/b', 'ä', '../x', 'x'.repeat(129)]) {
    await fails(t, () => store.collection(name), { code: 'ERR_INVALID_NAME' })
  }
})

test('a second document with a unique key is told index, key and holder', async (t) => {
  const items = (await newStore(t)).collection<Item>('items')
  await items.define(Index.unique('byEmail', 'email'))
  await items.put({ id: 'a', email: 'x' })
  const error = await fails(t, () => items.put({ id: 'b', email: 'x' }), { code: 'ERR_UNIQUE', key: 'b' })
  t.like(error.details, { index: 'byEmail', indexKey: 'x', holder: 'a' })
})

test('holder and key of a unique index come as the values that they are', async (t) => {
  const store = await newStore(t)
  const bytes = new Uint8Array([1, 0, 255])
  const values = ['10', 10, 10n, new Date(10), bytes, true, null, [1, '10', 10n, [new Date(0)]], -0.5, 'Infinity']
  const keys = ['10', 10, 10n, bytes, ['a', 10n, [bytes]], Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  const loose = store.collection<{ id: Key; v: unknown; w?: unknown }>('loose')
  await loose.define(Index.unique('byV', 'v'))
  await loose.define(Index.unique('byBoth', ['w', 'v'], { sparse: true }))
  for (const v of values) {
    for (const holder of keys) {
      await loose.put({ id: holder, v })
      const error = await fails(t, () => loose.put({ id: 'second', v }), { code: 'ERR_UNIQUE', key: 'second' })
      t.deepEqual(error.details, { ...error.details, index: 'byV', indexKey: v, holder })
      await loose.delete(holder)
    }
  }
  await loose.put({ id: 'first', v: 1, w: 10n })
  const definition = { kind: 'unique', on: ['w', 'v'] } as const
  const both = await fails(
    t,
    () => loose.batch([{ put: { id: 'a', v: 2, w: 10n } }, { put: { id: 'b', v: 1, w: 10n } }]),
    {
      code: 'ERR_UNIQUE',
    },
  )
  t.like(both.details, { holder: 'first' })
  await loose.dropIndex('byV')
  await loose.dropIndex('byBoth')
  await loose.put({ id: 7n, v: 1, w: 10n })
  const built = await fails(t, () => loose.defineIndex('again', definition).ready(), { code: 'ERR_UNIQUE' })
  t.deepEqual(built.details.indexKey, [10n, 1])
  t.true(built.details.holder === 'first' || built.details.holder === 7n)
})

test('two definitions of one name conflict, and the same one twice does not', async (t) => {
  const items = (await newStore(t)).collection<Item>('items')
  await items.define(Index.unique('byEmail', 'email'))
  await items.define(Index.unique('byEmail', 'email'))
  for (const other of [
    Index.multi('byEmail', 'email'),
    Index.unique('byEmail', 'n'),
    Index.unique('byEmail', 'email', { sparse: true }),
  ]) {
    await fails(t, () => items.define(other).ready(), { code: 'ERR_EXISTS', says: /byEmail/ })
  }
  t.is(items.indexes().length, 1)
})

test('a transaction that is too large or takes too long writes nothing', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item & { text?: string }>('items')
  const text = 'x'.repeat(8 << 20)
  const large = store.transaction((tx) => {
    for (let n = 0; n < 20; n++) tx.collection<{ id: string; text: string }>('items').put({ id: `${n}`, text })
  })
  await fails(t, () => large, { code: 'ERR_TOO_LARGE' })
  const late = store.transaction(
    async (tx) => {
      tx.collection<Item>('items').put({ id: 'late' })
      await new Promise(() => {})
    },
    { timeoutMs: 5 },
  )
  await fails(t, () => late, { code: 'ERR_TIMEOUT' })
  t.deepEqual(await items.scan().toArray(), [])
})

test('names that mean something in JavaScript are names like any other, and pollute nothing', async (t) => {
  const store = await newStore(t)
  const loose = store.collection('loose')
  const json = '{"id":"a","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}},"toString":3}'
  await loose.putJson(json)
  await loose.put({ ...JSON.parse(json), id: 'b' })
  for (const id of ['a', 'b']) {
    const found = (await loose.get(id)) as Record<string, unknown>
    t.is(Object.getPrototypeOf(found), Object.prototype)
    t.deepEqual(Object.keys(found), ['id', '__proto__', 'constructor', 'toString'])
    t.is((await loose.getJson(id))?.replace(`"id":"${id}"`, '"id":"a"'), json)
  }
  await loose.updateWhere({}, JSON.parse('{"__proto__":{"polluted":3}}'))
  t.is(({} as { polluted?: number }).polluted, undefined)
  const where = JSON.parse('{"__proto__.polluted":3}')
  t.is(await loose.find({ where }).count(), 2)
  for (const id of ['__proto__', 'constructor', 'hasOwnProperty']) {
    await store.collection(id).put({ id })
    t.deepEqual(await store.collection(id).get(id), { id })
  }
  await loose.defineIndex('__proto__', { kind: 'multi', on: 'toString' })
  t.is((await loose.byIndex('__proto__', 3)).length, 2)
  const options = JSON.parse('{"__proto__":{"limit":1}}')
  t.throws(() => loose.scan(options), { code: 'ERR_INVALID_ARGUMENT' })
})

/** An array in an array and so on. */
function nest(depth: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

/** An array in itself. */
function cycle(): unknown {
  const array: unknown[] = [1]
  array.push(array)
  return array
}

/** Arrays of twice the same array: a few bytes here, endless as text. */
function doubled(depth: number): unknown {
  let value: unknown = 'x'
  for (let i = 0; i < depth; i++) value = [value, value]
  return value
}

test('what nests without end is refused in documents, keys, JSON text and queries', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  await fails(t, () => loose.put({ id: 'a', bomb: nest(100_000) }), { code: 'ERR_VALIDATION', collection: 'loose' })
  await fails(t, () => loose.put({ id: nest(100) as never }), { code: 'ERR_INVALID_KEY' })
  const text = `{"id":"a","bomb":${'['.repeat(100_000)}1${']'.repeat(100_000)}}`
  await fails(t, () => loose.putJson(text), { code: 'ERR_VALIDATION', collection: 'loose' })
  await fails(t, () => loose.find({ where: { a: nest(100_000) } }), { code: 'ERR_VALIDATION' })
  let where: Record<string, unknown> = { a: 1 }
  for (let i = 0; i < 10_000; i++) where = { $not: where }
  await fails(t, () => loose.find({ where }).toArray(), { code: 'ERR_VALIDATION' })
  t.deepEqual(await loose.scan().toArray(), [])
})

test('what nests without end is refused in keys of indexes, updates, orders and selections', async (t) => {
  const store = await newStore(t)
  const loose = store.collection('loose')
  await loose.define(Index.multi('byN', 'n'))
  const argument = { code: 'ERR_INVALID_ARGUMENT' } as const
  for (const bomb of [nest(9), nest(100_000), cycle(), doubled(100)] as never[]) {
    await fails(t, () => loose.byIndex('byN', [bomb] as never), { ...argument, place: 'key' })
    await fails(t, () => loose.rangeIndex('byN', { gte: [bomb] as never }), { ...argument, place: 'options.gte' })
    await fails(t, () => loose.scanIndex('byN', [bomb] as never), { ...argument, place: 'prefix' })
  }
  t.deepEqual(await loose.byIndex('byN', [nest(8) as never]), [])
  for (const bomb of [nest(100_000), cycle()] as never[]) {
    await fails(t, () => loose.updateWhere({}, { n: bomb }), { code: 'ERR_VALIDATION' })
    await fails(t, () => loose.find({ orderBy: bomb }), { code: 'ERR_VALIDATION' })
    await fails(t, () => loose.find({ select: bomb }), { code: 'ERR_VALIDATION' })
  }
  const endless = doubled(100) as never
  await fails(t, () => loose.find({ where: { n: endless } }), { code: 'ERR_TOO_LARGE' })
  await fails(t, () => loose.updateWhere({}, { n: endless }), { code: 'ERR_TOO_LARGE' })
  const long = path(Array.from({ length: 100_000 }, () => 'a').join('.'))
  for (const query of [loose.find().orderBy(long), loose.find().select(long), loose.find({ where: { [long]: 1 } })]) {
    await fails(t, () => query.toArray(), { code: 'ERR_TOO_LARGE' })
  }
  await fails(t, () => loose.find().distinct(long), { code: 'ERR_TOO_LARGE' })
})

test.serial('what is large by its bytes is refused before it is written down', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  await loose.define(Index.multi('byN', 'n'))
  await loose.put({ id: 'a', n: 'old' })
  const bytes = new Uint8Array(1 << 20)
  const text = 'x'.repeat(1 << 20)
  const fill = (value: unknown) => Array.from({ length: 200 }, () => value)
  const before = process.memoryUsage().rss
  for (const large of [fill(bytes), fill(text), bytes, text, fill({ [text]: 1 })]) {
    const tooLarge = { code: 'ERR_TOO_LARGE' } as const
    const error = await fails(t, () => loose.find({ where: { n: { $in: large } } } as never), tooLarge)
    t.regex(error.message, /^a query is over the limit of 1048576 bytes, at where\["n"\]\["\$in"\]/)
    t.is(error.details.limit, 1 << 20)
    await fails(t, () => loose.updateWhere({}, { n: large }), tooLarge)
    await fails(t, () => loose.deleteWhere({ n: { $nin: large } } as never), tooLarge)
  }
  const wide = Array.from({ length: 50 }, () => Array.from({ length: 50 }, () => 1))
  for (const large of [fill(bytes), fill(text), bytes, text, [wide], 'x'.repeat(2049)] as never[]) {
    const tooLarge = { code: 'ERR_TOO_LARGE', details: { limit: 2048 } } as const
    await fails(t, () => loose.byIndex('byN', large), { ...tooLarge, place: 'key' })
    await fails(t, () => loose.rangeIndex('byN', { lt: large }), { ...tooLarge, place: 'options.lt' })
    await fails(t, () => loose.scanIndex('byN', large), { ...tooLarge, place: 'prefix' })
  }
  const long = 1n << 40_000_000n
  await fails(t, () => loose.find({ where: { n: long } }), { code: 'ERR_VALIDATION', place: 'where["n"]' })
  await fails(t, () => loose.byIndex('byN', -long), { code: 'ERR_INVALID_ARGUMENT', place: 'key' })
  const other = (await newStore(t)).collection('other')
  let values: unknown[] = []
  await other.define(Index.multiValues<{ id: unknown }>('byLarge', () => values as never, { version: 1 }) as never)
  for (values of [fill(bytes), fill(text)]) {
    await fails(t, () => other.put({ id: 'a' }), {
      code: 'ERR_TOO_LARGE',
      says: /"byLarge".*over the limit of 1048576 bytes/,
    })
  }
  t.true(process.memoryUsage().rss - before < 64 << 20)
  t.deepEqual(await loose.scan().toArray(), [{ id: 'a', n: 'old' }])
  const most = 2n ** 512n - 1n
  await loose.put({ id: 'b', n: [most, -most] })
  t.is(await loose.find({ where: { n: [most, -most] } }).count(), 1)
  t.is((await loose.byIndex('byN', [[most, -most]])).length, 1)
})

test('a hole in an array is no value, wherever the array stands', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  await loose.define(Index.multi('byN', 'n'))
  await loose.put({ id: 'a', n: null })
  const gap: unknown[] = []
  gap[2] = 'x'
  for (const holes of [gap, Object.assign([], { length: 2 ** 32 - 1 })]) {
    await fails(t, () => loose.find({ where: { n: { $in: holes } } }), { code: 'ERR_VALIDATION' })
    await fails(t, () => loose.deleteWhere({ n: { $in: holes } }), { code: 'ERR_VALIDATION' })
    await fails(t, () => loose.updateWhere({}, { n: holes }), { code: 'ERR_VALIDATION' })
    await fails(t, () => loose.byIndex('byN', [holes] as never), { code: 'ERR_INVALID_ARGUMENT', place: 'key' })
    await fails(t, () => loose.byIndex('byN', holes as never), { code: 'ERR_INVALID_ARGUMENT', place: 'key' })
    const computed = Index.multiValues<{ id: unknown }>('byHole', () => [holes] as never, { version: 1 })
    const other = (await newStore(t)).collection('other')
    await other.define(computed as never)
    await fails(t, () => other.put({ id: 'a' }), { code: 'ERR_VALIDATION', collection: 'other' })
  }
  t.deepEqual(await loose.scan().toArray(), [{ id: 'a', n: null }])
})

test('what nests without end is no value of a computed index', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  let bomb: unknown = 1
  const index = Index.multiValues<{ id: unknown }>('byBomb', () => [bomb] as never, { version: 1 })
  await loose.define(index as never)
  for (bomb of [nest(9), nest(100_000), cycle(), [doubled(7), doubled(100)]]) {
    const error = await fails(t, () => loose.put({ id: 'a' }), { code: 'ERR_VALIDATION', collection: 'loose' })
    t.is(error.details.index, 'byBomb')
  }
  const wide = Array.from({ length: 100 }, () => 1)
  bomb = Array.from({ length: 100 }, () => Array.from({ length: 200 }, () => wide))
  await fails(t, () => loose.put({ id: 'a' }), { code: 'ERR_TOO_LARGE', collection: 'loose' })
  bomb = nest(8)
  await loose.put({ id: 'a' })
  t.is((await loose.byIndex('byBomb', [nest(8) as never])).length, 1)
})

test('half of a surrogate pair is text nowhere', async (t) => {
  const store = await newStore(t)
  const loose = store.collection('loose')
  const half = 'x\ud800'
  await fails(t, () => loose.put({ id: 'a', text: half }), { code: 'ERR_VALIDATION', place: '$.text' })
  await fails(t, () => loose.put({ id: 'a', [half]: 1 }), { code: 'ERR_VALIDATION' })
  await fails(t, () => loose.put({ id: half }), { code: 'ERR_INVALID_KEY', place: '$.id' })
  await fails(t, () => loose.get(half), { code: 'ERR_INVALID_KEY', place: 'key' })
  await fails(t, () => store.collection(half), { code: 'ERR_INVALID_NAME' })
  t.is(store.sequence, 0)
  await loose.put({ id: 'a', text: 'x' })
  const bad = { code: 'ERR_VALIDATION' } as const
  for (const where of [{ text: half }, { [half]: 1 }, { text: { $in: ['x', half] } }, { text: { $regex: half } }]) {
    await fails(t, () => loose.find({ where, allowRegex: true } as never).toArray(), bad)
    await fails(t, () => loose.deleteWhere(where as never), bad)
  }
  const somewhere = path(half)
  await fails(t, () => loose.updateWhere({}, { text: half }), bad)
  await fails(t, () => loose.updateWhere({}, { [half]: 1 }), bad)
  await fails(t, () => loose.find().orderBy(somewhere).toArray(), bad)
  await fails(t, () => loose.find().select(somewhere).toArray(), bad)
  await fails(t, () => loose.find().distinct(somewhere), bad)
  await fails(t, () => loose.find({ hint: { index: half } }).toArray(), bad)
  await fails(t, () => loose.find().hint({ index: half }).toArray(), bad)
  await fails(t, () => loose.byIndex('byN', half), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => loose.watch({ where: { text: half } }), bad)
  t.is(await loose.find({ where: { text: 'x' } }).count(), 1)
})

test('NaN and infinities are no values, and −0 is 0', async (t) => {
  const loose = (await newStore(t)).collection('loose')
  await loose.define(Index.multi('byN', 'n'))
  for (const n of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    await fails(t, () => loose.put({ id: 'a', n }), { code: 'ERR_VALIDATION', place: '$.n' })
    await fails(t, () => loose.find({ where: { n } }), { code: 'ERR_VALIDATION' })
    await fails(t, () => loose.byIndex('byN', n), { code: 'ERR_INVALID_ARGUMENT' })
  }
  await fails(t, () => loose.put({ id: Number.NaN }), { code: 'ERR_INVALID_KEY' })
  await loose.put({ id: -0, n: -0 })
  t.true(Object.is((await loose.get(0))?.id, 0))
  t.true(Object.is((await loose.byIndex('byN', -0))[0]?.n, 0))
  t.is(await loose.find({ where: { n: -0 } }).count(), 1)
})

test('a cursor that was changed, of another query, collection or store is refused', async (t) => {
  const [store, other] = [await newStore(t), await newStore(t)]
  const fill = async (name: string, of = store) => {
    const items = of.collection<Item>(name)
    await items.batch([1, 2, 3].map((n) => ({ put: { id: `${n}`, n } })))
    return items
  }
  const [items, twin, far] = [await fill('items'), await fill('twin'), await fill('items', other)]
  const { next } = await items.find().page(1)
  const cursor = next as Cursor
  t.deepEqual((await items.find().after(cursor).page(1)).items, [{ id: '2', n: 2 }])
  const says = /cursor/
  for (let at = 0; at < cursor.length; at++) {
    const changed = cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1)
    await fails(
      t,
      () =>
        items
          .find()
          .after(changed as Cursor)
          .page(1),
      { code: 'ERR_BAD_CURSOR', says },
    )
  }
  await fails(
    t,
    () =>
      items
        .find()
        .after(cursor.slice(0, -4) as Cursor)
        .page(1),
    { code: 'ERR_BAD_CURSOR' },
  )
  await fails(
    t,
    () =>
      items
        .find({ where: { n: 1 } })
        .after(cursor)
        .page(1),
    { code: 'ERR_BAD_CURSOR' },
  )
  await fails(t, () => twin.find().after(cursor).page(1), { code: 'ERR_BAD_CURSOR' })
  await fails(t, () => far.find().after(cursor).page(1), { code: 'ERR_BAD_CURSOR' })
})
