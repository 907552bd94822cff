/** Queries through the facade: what is asked for comes back, typed values included, and the event loop goes on meanwhile. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type AnyPath, type Cursor, type FountainStore, Index } from '../index.mjs'
import { collectGarbage, fails, heldUntil, letsLoopTurn, newStore, root } from './support.js'

interface Item {
  id: number
  n: number
  city: string
  tags: string[]
  at?: Date
  big?: bigint
  bytes?: Uint8Array
  vector?: Float32Array
  parts?: { sku: string; qty: number }[]
}

const CITIES = ['Oslo', 'Bonn', 'Rome']

async function items(store: FountainStore, count = 30) {
  const collection = store.collection<Item>('items')
  const all = Array.from({ length: count }, (_, id): Item => {
    return { id, n: (id * 7) % count, city: CITIES[id % 3] as string, tags: [`t${id % 4}`, 'all'] }
  })
  await collection.batch(
    all.map((put) => ({ put })),
    { durability: 'memory' },
  )
  return collection
}

test('conditions, order, selection and limit', async (t) => {
  const collection = await items(await newStore(t))
  const found = await collection
    .find({ where: { city: 'Oslo', n: { $gte: 3 }, 'tags[]': 't0' } })
    .orderBy('n', 'desc')
    .select('id', 'n')
    .toArray()
  t.deepEqual(
    found,
    [
      { id: 24, n: 18 },
      { id: 12, n: 24 },
    ].sort((a, b) => b.n - a.n),
  )
  t.is(await collection.find({ where: { city: 'Bonn' } }).count(), 10)
  t.deepEqual(await collection.find().distinct('city'), ['Bonn', 'Oslo', 'Rome'])
  t.is((await collection.find({ orderBy: [{ path: 'n' }] }).first())?.n, 0)
  t.is(await collection.find({ where: { city: 'Paris' } }).first(), undefined)
  t.is((await collection.find({ limit: 7 }).toArray()).length, 7)
})

test('a count is exact, or about right by what is known without reading', async (t) => {
  const store = await newStore(t)
  const collection = await items(store, 3000)
  await collection.define(Index.multi('byN', 'n'))
  const other = store.collection<{ id: number }>('other')
  await other.put({ id: 1 })
  t.is(await other.find().count('estimate'), 1)
  t.is(await collection.find({ where: { n: 5 } }).count('estimate'), 1)
  const about = await collection.find({ where: { n: { $lt: 1000 } } }).count('estimate')
  t.true(about > 500 && about < 2000, `${about} of 1000`)
  t.is(await collection.find({ where: { n: { $lt: 1000 } } }).count('exact'), 1000)
  const error = await t.throwsAsync(async () => collection.find().count('roughly' as 'exact'))
  t.is((error as { code?: string }).code, 'ERR_INVALID_ARGUMENT')
})

/** Documents with members here and there. */
function mixedDocuments() {
  return Array.from({ length: 300 }, (_, id) => ({
    id,
    ...(id % 2 === 0 && { a: { b: id, c: 'é', d: [id] } }),
    ...(id % 3 === 0 && { list: [{ x: id, y: 1 }, 5, { y: 2 }] }),
    ...(id % 5 === 0 && { a: id }),
    [`own${id % 7}`]: 'wide 😀',
  }))
}

test('what is selected has the shape that is left, whatever the documents were like', async (t) => {
  const mixed = (await newStore(t)).collection<{ id: number; [member: string]: unknown }>('mixed')
  const documents = mixedDocuments()
  await mixed.batch(
    documents.map((put) => ({ put })),
    { durability: 'memory' },
  )
  const object = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
  const expected = documents.map((document: Record<string, unknown>) => {
    const a = document.a as { b: number; d: number[] } | undefined
    const list = document.list as unknown[] | undefined
    return {
      id: document.id,
      ...(object(a) && { a: { b: a?.b, d: a?.d } }),
      ...(list && { list: list.filter(object).map((item) => ('x' in (item as object) ? { x: document.id } : {})) }),
      ...(document.own3 !== undefined && { own3: document.own3 }),
    }
  })
  const select = ['id', 'a.b', 'a.d', 'list[].x', 'own3']
  const found = await mixed.find({ select: select as never }).toArray()
  const byId = (one: { id?: unknown }, other: { id?: unknown }) => Number(one.id) - Number(other.id)
  t.deepEqual(found.map((document) => ({ ...(document as object) })).sort(byId), expected.sort(byId as never))
  const text = JSON.parse(await mixed.find({ select: select as never }).json()) as { items: { id: number }[] }
  t.deepEqual(text.items.sort(byId), expected)
})

test('what is omitted is left out, whatever the documents were like', async (t) => {
  const mixed = (await newStore(t)).collection<{ id: number; [member: string]: unknown }>('mixed')
  const documents = mixedDocuments()
  await mixed.batch(
    documents.map((put) => ({ put })),
    { durability: 'memory' },
  )
  const without = (value: unknown, ...names: string[]): unknown => {
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)))
  }
  const expected = documents.map((document: Record<string, unknown>) => {
    const { own3: _, ...rest } = document
    if ('a' in rest) rest.a = without(rest.a, 'b', 'd')
    if ('list' in rest) rest.list = (rest.list as unknown[]).map((item) => without(item, 'x'))
    return rest as { id: number }
  })
  const omit = ['own3', 'a.b', 'a.d', 'list[].x', 'nothing.there']
  const byId = (one: { id: number }, other: { id: number }) => one.id - other.id
  const found = (await mixed.find({ select: { omit } }).toArray()) as { id: number }[]
  t.deepEqual(found.sort(byId), expected)
  t.deepEqual(
    (
      (await mixed
        .find()
        .omit(...omit)
        .toArray()) as { id: number }[]
    ).sort(byId),
    expected,
  )
  const text = JSON.parse(await mixed.find({ select: { omit } }).json()) as { items: { id: number }[] }
  t.deepEqual(text.items.sort(byId), expected)
  t.deepEqual(
    Object.keys(
      (await mixed
        .find({ where: { id: 2 } })
        .omit('id')
        .first()) ?? {},
    ),
    ['a', 'own2'],
  )
  for (const select of [
    { omit: 'id' },
    { omit: ['a..b'] },
    { omitted: ['id'] },
    'id',
    { omit: ['id'], paths: ['a'] },
  ]) {
    await fails(t, () => mixed.find({ select } as never).toArray(), { code: 'ERR_VALIDATION' })
  }
})

test('a page says how many match altogether if it is asked to', async (t) => {
  const collection = await items(await newStore(t), 300)
  const where = { city: 'Oslo' } as const
  const exact = collection.find({ where, count: 'exact' })
  const page = await exact.page(7)
  t.deepEqual([page.items.length, page.count], [7, 100])
  const later = await exact
    .after(page.next as Cursor)
    .limit(3)
    .page()
  t.deepEqual([later.items.length, later.count], [3, 100])
  t.is(JSON.parse(await exact.limit(2).json()).count, 100)
  t.is((await collection.find({ where: { $id: { $lt: 0 } }, count: 'exact' }).page()).count, 0)
  t.is((await collection.find({ count: 'estimate' }).page(1)).count, 300)
  for (const without of [collection.find(), collection.find({ count: 'none' })]) {
    t.false('count' in (await without.page(1)))
  }
  t.is((await exact.toArray()).length, 100)
  t.deepEqual([await exact.count(), (await exact.distinct('city')).length], [100, 1])
  await fails(t, () => collection.find({ count: 'roughly' } as never), { code: 'ERR_INVALID_ARGUMENT' })
})

test('of what the language has find takes everything but what its methods do', async (t) => {
  const collection = await items(await newStore(t))
  const { next: cursor } = await collection.find().page(1)
  const taken: Record<string, unknown> = {
    where: { n: 1 },
    orderBy: [{ path: 'n', dir: 'desc' }],
    select: ['n'],
    limit: 1,
    cursor,
    count: 'exact',
    asOf: 1,
    hint: { index: 'byN' },
    requireIndex: true,
    maxScanned: 1000,
    timeoutMs: 60_000,
  }
  const table = readFileSync(join(root, 'docs/query.md'), 'utf8').split('\n## ')[1] as string
  const members = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name as string)
  t.deepEqual(members.sort(), [...Object.keys(taken), 'type', 'explain'].sort())
  await collection.define(Index.multi('byN', 'n'))
  for (const [name, value] of Object.entries(taken)) {
    // These two belong together with conditions.
    const rest = name === 'hint' || name === 'requireIndex' ? { where: { n: 1 } } : {}
    await t.notThrowsAsync(collection.find({ ...rest, [name]: value }).page(1), name)
  }
  for (const name of ['type', 'explain']) {
    await fails(t, () => collection.find({ [name]: 'find' } as never), { code: 'ERR_INVALID_ARGUMENT' })
  }
})

test('different values are found even if they nest as deep as documents may, and all of them are large', async (t) => {
  const deep = (await newStore(t)).collection<{ id: number; at: unknown }>('deep')
  let nested: unknown = 1
  for (let depth = 0; depth < 126; depth++) nested = [nested]
  await deep.put({ id: 1, at: nested })
  for (let id = 2; id < 22; id++) await deep.put({ id, at: `${id}`.repeat(500_000) }, { durability: 'memory' })
  const found = await deep.find().distinct('at')
  t.is(found.length, 21)
  t.true(found.some((value) => Array.isArray(value)))
})

test('values of all types are asked for as they are stored', async (t) => {
  const collection = (await newStore(t)).collection<Item>('items')
  const item = { id: 1, n: 1, city: 'é', tags: [], at: new Date(5), big: 12n, bytes: new Uint8Array([1, 2]) }
  const other = { id: 2, n: 1, city: 'é', tags: [], vector: new Float32Array([0.5]), parts: [{ sku: 'a', qty: 2 }] }
  await collection.batch([{ put: item }, { put: other }])
  t.deepEqual(
    await collection.find({ where: { at: new Date(5), big: 12n, bytes: new Uint8Array([1, 2]) } }).toArray(),
    [item],
  )
  t.deepEqual(await collection.find({ where: { at: { $gt: new Date(5) } } }).toArray(), [])
  t.deepEqual(await collection.find({ where: { big: { $between: [11n, 13n] } } }).toArray(), [item])
  t.deepEqual(await collection.find({ where: { parts: { $elem: { sku: 'a', qty: { $gt: 1 } } } } }).toArray(), [other])
  t.deepEqual(await collection.find({ where: { $id: 2 } }).toArray(), [other])
  t.deepEqual(await collection.find().distinct('at'), [new Date(5)])
  t.deepEqual(
    await collection
      .find({ where: { $id: 2 } })
      .select('vector', 'parts[].qty')
      .toArray(),
    [{ vector: new Float32Array([0.5]), parts: [{ qty: 2 }] }],
  )
})

test('a query is a value: its methods and later changes to what it was given leave it as it was', async (t) => {
  const collection = await items(await newStore(t))
  const where = { city: 'Oslo' }
  const base = collection.find({ where })
  where.city = 'Bonn'
  const narrowed = base.where({ n: { $lt: 5 } }).limit(1)
  t.is(await base.count(), 10)
  t.true((await narrowed.count()) < 10)
  t.true((await base.toArray()).every(({ city }) => city === 'Oslo'))
})

test('pages go on where they ended, in one state, whatever is written meanwhile', async (t) => {
  const collection = await items(await newStore(t), 100)
  for (const query of [collection.find(), collection.find().orderBy('n', 'desc')]) {
    const seen: number[] = []
    let next: Cursor | undefined
    do {
      const page: { items: Item[]; next?: Cursor } = await (next ? query.after(next) : query).page(7)
      seen.push(...page.items.map(({ id }) => id))
      next = page.next
      await collection.put({ id: 1000 + seen.length, n: 50, city: 'new', tags: [] }, { durability: 'memory' })
    } while (next)
    t.is(new Set(seen).size, seen.length)
    for (const id of seen) if (id >= 1000) await collection.delete(id)
    t.deepEqual(
      seen.filter((id) => id < 1000).toSorted((a, b) => a - b),
      Array.from({ length: 100 }, (_, id) => id),
    )
    await collection.deleteWhere({ city: 'new' })
  }
})

test('iteration reads one state', async (t) => {
  const collection = await items(await newStore(t), 1000)
  const seen: number[] = []
  for await (const { id } of collection.find({ where: { city: { $in: CITIES } } })) {
    if (seen.length === 10) await collection.updateWhere({}, { city: 'gone' })
    seen.push(id)
  }
  t.is(seen.length, 1000)
  const sizes = []
  for await (const page of collection.find().orderBy('n').pages({ size: 300 })) sizes.push(page.length)
  t.deepEqual(sizes, [300, 300, 300, 100])
})

test('snapshots and transactions are queried as they are', async (t) => {
  const store = await newStore(t)
  const collection = await items(store)
  await using snapshot = store.snapshot()
  await collection.deleteWhere({ city: 'Oslo' })
  t.is(await collection.find({ where: { city: 'Oslo' } }).count(), 0)
  t.is(await collection.find({ where: { city: 'Oslo' }, snapshot }).count(), 10)
  t.is(
    (
      await snapshot
        .collection<Item>('items')
        .find({ where: { city: 'Oslo' } })
        .toArray()
    ).length,
    10,
  )
  await store.transaction(async (transaction) => {
    const own = transaction.collection<Item>('items')
    own.put({ id: 99, n: 5, city: 'Oslo', tags: [] })
    t.deepEqual(
      (await own.find({ where: { city: 'Oslo' } }).toArray()).map(({ id }) => id),
      [99],
    )
  })
})

test('conditions that are added one after another are counted together', async (t) => {
  const collection = await items(await newStore(t))
  let query = collection.find({ where: { n: { $gte: 0 } } })
  for (let n = 0; n < 100; n++) query = query.where({ n: { $ne: 100 + n } })
  t.is((await query.where({ city: 'Oslo' }).toArray()).length, 10)
  let many = query
  for (let n = 0; n < 1000; n++) many = many.where({ n })
  const limit = await fails(t, () => many.first(), { code: 'ERR_LIMIT' })
  t.is(limit.details.limit, 1000)
  const large = 'x'.repeat(1_000_000)
  const tooLarge = await fails(
    t,
    () => {
      let query = collection.find()
      for (let n = 0; n < 500; n++) query = query.where({ city: large })
      return query.first()
    },
    { code: 'ERR_TOO_LARGE', place: 'where["city"]' },
  )
  t.is(tooLarge.details.limit, 1 << 20)
  const path = large as AnyPath
  await fails(t, () => collection.find().orderBy(`${path}${path}` as AnyPath), { code: 'ERR_TOO_LARGE' })
  // Each may be, and all together are more than a string can be.
  let all = collection.find()
  for (let n = 0; n < 600; n++) all = all.orderBy(path)
  const noString = await fails(t, () => all.first(), { code: 'ERR_TOO_LARGE', place: 'query' })
  t.is(noString.details.limit, 1 << 20)
})

test('updates and deletes of all that match are one commit, or only counted', async (t) => {
  const store = await newStore(t)
  const collection = await items(store)
  const before = store.sequence
  t.deepEqual(await collection.updateWhere({ city: 'Oslo' }, { at: new Date(1) }, { dryRun: true }), { changed: 10 })
  const changed = await collection.updateWhere({ city: 'Oslo' }, { at: new Date(1), n: -1 })
  t.deepEqual(changed, { changed: 10, sequence: before + 1 })
  t.deepEqual(collection.getSync(0)?.at, new Date(1))
  t.is(await collection.find({ where: { n: -1 } }).count(), 10)
  t.is((await collection.deleteWhere({ n: -1 }, { limit: 4 })).changed, 4)
  t.is(await collection.find({ where: { n: -1 } }).count(), 6)
  t.deepEqual(await collection.deleteWhere({ n: 1e9 }), { changed: 0 })
  const place = { code: 'ERR_VALIDATION', place: 'set' } as const
  await fails(t, () => collection.updateWhere({}, { id: 5 }), place)
})

test('a page can be had as JSON text', async (t) => {
  const collection = await items(await newStore(t))
  const json = JSON.parse(
    await collection
      .find({ where: { city: 'Rome' }, limit: 2 })
      .select('id', 'city')
      .json(),
  )
  t.deepEqual(json.items, [
    { id: 2, city: 'Rome' },
    { id: 5, city: 'Rome' },
  ])
  t.is(typeof json.next, 'string')
})

test('how documents are found is explained', async (t) => {
  const collection = await items(await newStore(t))
  const plan = await collection.find({ where: { city: 'Rome' } }).explain()
  t.is(plan.analyze, undefined)
  t.regex(plan.warnings.join(), /an index on \[city\]/)
  const analysed = await collection.find({ where: { city: 'Rome' } }).explain('analyze')
  t.like(analysed.analyze, { keysRead: 30, docsRead: 30, returned: 10 })
})

test('what is no query is refused with its place', async (t) => {
  const collection = await items(await newStore(t))
  const loose = (await newStore(t)).collection('loose')
  const pointer = async (work: () => unknown) => {
    const error = await fails(t, work, { code: 'ERR_VALIDATION' })
    return error.details.pointer ?? error.place
  }
  t.is(await pointer(() => loose.find({ where: { a: { $near: 1 } } }).toArray()), '/where/a/$near')
  t.is(await pointer(() => loose.find({ where: { 'a..b': 1 } }).count()), '/where/a..b')
  t.is(await pointer(() => loose.find({ where: { a: Number.NaN } })), 'where["a"]')
  t.is(await pointer(() => loose.find({ where: { a: () => 1 } })), 'where["a"]')
  t.is(
    await pointer(() =>
      collection
        .find()
        .orderBy('tags[]' as AnyPath)
        .toArray(),
    ),
    '/orderBy/0/path',
  )
  t.is(await pointer(() => loose.find({ where: { a: { $regex: 'x' } } }).toArray()), '/where/a/$regex')
  t.is((await loose.find({ where: { a: { $regex: 'x' } }, allowRegex: true }).toArray()).length, 0)
  await fails(
    t,
    () =>
      collection
        .find()
        .after('abc' as Cursor)
        .toArray(),
    { code: 'ERR_BAD_CURSOR' },
  )
  await fails(t, () => collection.find({ limit: 0 }), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => collection.find({ requireIndex: true, where: { n: 1 } }).first(), { code: 'ERR_NO_INDEX' })
  await fails(t, () => collection.find({ maxScanned: 3, where: { n: 1 } }).toArray(), { code: 'ERR_LIMIT' })
  const signal = AbortSignal.abort(new Error('enough'))
  await t.throwsAsync(collection.find({ signal }).toArray(), { message: 'enough' })
})

test('a condition without its value is refused, and does not match everything', async (t) => {
  const store = await newStore(t)
  const collection = await items(store)
  const before = await collection.find().count()
  const { name } = {} as { name?: string }
  const wrong = (place: string) => ({ code: 'ERR_VALIDATION', place, says: /undefined/ }) as const
  await fails(t, () => collection.deleteWhere({ name } as never), wrong('where["name"]'))
  await fails(t, () => collection.updateWhere({ name } as never, { n: 1 }), wrong('where["name"]'))
  await fails(t, () => collection.find({ where: { name } as never }), wrong('where["name"]'))
  await fails(t, () => collection.find().where({ $or: [{ name }] } as never), wrong('where["$or"][0]["name"]'))
  await fails(t, () => collection.find({ where: { n: { $gt: undefined } } as never }), wrong('where["n"]["$gt"]'))
  t.is(await collection.find({ where: undefined, limit: undefined }).count(), before)
})

test('what an update stores is what it was given', async (t) => {
  const store = await newStore(t)
  const loose = store.collection('loose')
  await loose.put({ id: 1, kept: 'kept' })
  for (const value of [new Date(5), 7n, new Uint8Array([1]), { date: 5, bigint: '7' }, { at: new Date(6) }]) {
    await loose.updateWhere({ id: 1 }, { value, kept: undefined })
    t.deepEqual(await loose.get(1), { id: 1, kept: 'kept', value })
  }
  const looks = [{ $date: 5 }, { $bigint: '7' }, { $bytes: 'AQ==' }]
  for (const value of looks) {
    const wrong = { code: 'ERR_VALIDATION', says: /would not be stored as it is/ } as const
    await fails(t, () => loose.updateWhere({ id: 1 }, { value }), { ...wrong, place: 'set["value"]' })
    await fails(t, () => loose.updateWhere({}, { list: [{ value }] }), { ...wrong, place: 'set["list"][0]["value"]' })
  }
  t.is(await loose.find({ where: { 'value.at': { $date: 6 } } }).count(), 1)
})

test('an abandoned query gives its snapshot back when it is garbage-collected', async (t) => {
  const store = await newStore(t)
  const collection = await items(store)
  await heldUntil([collection.find().pages({ size: 5 }), collection.find()[Symbol.asyncIterator]()], () =>
    t.is(store.metrics().openSnapshots, 2),
  )
  await collectGarbage(() => store.metrics().openSnapshots === 0)
  t.is(store.metrics().openSnapshots, 0)
})

test('the event loop turns while a query reads', async (t) => {
  const collection = await items(await newStore(t), 50_000)
  const query = collection.find({ where: { 'tags[]': { $contains: 'none' } } })
  await letsLoopTurn(t, () => query.count())
})
