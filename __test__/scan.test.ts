/** Scans: bounds, prefixes, both directions, paging, and the snapshot that each of them holds. */
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import type { Collection, FountainStore, Key, ScanOptions } from '../index.mjs'
import { collectGarbage, fails, heldUntil, newStore } from './support.js'

interface Item {
  id: string
  n: number
}

const ids = async (items: { toArray(): Promise<{ id: Key }[]> }) => (await items.toArray()).map(({ id }) => id)

/** A store with `count` items named 0000, 0001 and so on. */
async function filled(t: ExecutionContext, count: number): Promise<[FountainStore, Collection<Item, string>]> {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  await items.batch(Array.from({ length: count }, (_, n) => ({ put: { id: String(n).padStart(4, '0'), n } })))
  return [store, items]
}

test('bounds include and exclude as they say, in both directions', async (t) => {
  const [, items] = await filled(t, 6)
  const scan = (options: ScanOptions<string>) => ids(items.scan(options))
  t.deepEqual(await scan({}), ['0000', '0001', '0002', '0003', '0004', '0005'])
  t.deepEqual(await scan({ gt: '0001', lt: '0004' }), ['0002', '0003'])
  t.deepEqual(await scan({ gte: '0001', lte: '0004' }), ['0001', '0002', '0003', '0004'])
  t.deepEqual(await scan({ gte: '0001', lte: '0003', reverse: true }), ['0003', '0002', '0001'])
  t.deepEqual(await scan({ gt: '00015' }), ['0002', '0003', '0004', '0005'])
  t.deepEqual(await scan({ lt: '0002', reverse: true }), ['0001', '0000'])
  t.deepEqual(await scan({ gt: '0004', lt: '0001' }), [])
  t.deepEqual(await scan({ reverse: true, limit: 2 }), ['0005', '0004'])
  t.deepEqual(await scan({ limit: 0 }), [])
})

test('documents come back whole whatever text lies beside theirs: short, none, wide, long', async (t) => {
  const store = await newStore(t)
  const texts = store.collection<{ id: number; a: string; b: { c: string } }>('texts')
  const long = 'long '.repeat(500)
  const kinds = [
    '',
    'short',
    'this one is not so short',
    'wide \u00e9\u{1f600}',
    long,
    `${long}\u00e9`,
    'x'.repeat(2040),
  ]
  const documents = Array.from({ length: 400 }, (_, id) => {
    const text = kinds[(id * id + (id >> 3)) % kinds.length] as string
    return { id, a: `${text}${id}`, b: { c: kinds[id % kinds.length] as string } }
  })
  await texts.batch(documents.map((put) => ({ put })))
  t.deepEqual(await texts.scan({ pageSize: 100 }).toArray(), documents)
  t.deepEqual(await texts.scan({ pageSize: 7, reverse: true }).toArray(), documents.toReversed())
  t.deepEqual(await texts.find().toArray(), documents)
  const selected = documents.map(({ a, b }) => ({ a, b: { c: b.c } }))
  t.deepEqual(await texts.find({ select: ['a', 'b.c'] }).toArray(), selected)
})

test('a prefix of elements does not select arrays whose element only begins like its last', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: string[] }>('things')
  const keys = [['a'], ['a', 'b'], ['a\0'], ['a\0b', 'c'], ['ab']]
  for (const id of keys) await things.put({ id })
  t.deepEqual(await things.scan({ prefix: ['a'] }).toArray(), [{ id: ['a'] }, { id: ['a', 'b'] }])
  t.deepEqual((await things.scan({ prefix: [] }).toArray()).length, keys.length)
})

test('a prefix selects strings, bytes and arrays that begin with it, and nothing else', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: Key }>('things')
  const bytes = (...all: number[]) => new Uint8Array(all)
  const keys = [
    'a',
    'ab',
    'a\0',
    'a\0b',
    'a\uffff',
    'b',
    bytes(1),
    bytes(1, 0),
    bytes(1, 255),
    bytes(2),
    bytes(255, 255),
  ]
  const arrays = [['a'], ['a', 1], ['a', 'b', 2n], ['ab'], ['b'], [['a'], 1]]
  await things.batch([...keys, ...arrays, 1, 2n].map((id) => ({ put: { id } })))
  const scan = (prefix: ScanOptions['prefix'], reverse = false) => ids(things.scan({ prefix, reverse }))
  t.deepEqual(await scan('a'), ['a', 'a\0', 'a\0b', 'ab', 'a\uffff'])
  t.deepEqual(await scan('a', true), ['a\uffff', 'ab', 'a\0b', 'a\0', 'a'])
  t.deepEqual(await scan('a\0'), ['a\0', 'a\0b'])
  t.deepEqual(await scan(''), ['a', 'a\0', 'a\0b', 'ab', 'a\uffff', 'b'])
  t.deepEqual(await scan(bytes(1)), [bytes(1), bytes(1, 0), bytes(1, 255)])
  t.deepEqual(await scan(bytes(255)), [bytes(255, 255)])
  t.deepEqual(await scan(['a']), [['a'], ['a', 1], ['a', 'b', 2n]])
  t.deepEqual(await scan([['a']]), [[['a'], 1]])
  t.is((await scan([])).length, arrays.length)
})

test('pages have at most pageSize documents and together are the scan', async (t) => {
  const [, items] = await filled(t, 10)
  for (const reverse of [false, true]) {
    const pages: Item[][] = []
    for await (const page of items.scan({ pageSize: 4, reverse }).pages()) pages.push(page)
    t.deepEqual(
      pages.map((page) => page.length),
      [4, 4, 2],
    )
    t.deepEqual(pages.flat(), await items.scan({ reverse }).toArray())
  }
  const limited = []
  for await (const page of items.scan({ pageSize: 4, limit: 6 }).pages()) limited.push(page.length)
  t.deepEqual(limited, [4, 2])
  for await (const _ of items.scan({ gt: '9' }).pages()) t.fail('an empty scan has no pages')
})

test('a page ends early when its documents are large, and one of any size still fits', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number; s: string }>('things')
  for (let id = 0; id < 6; id++) await things.put({ id, s: 'x'.repeat(id === 3 ? 3_000_000 : 100_000) })
  for (const flushed of [false, true]) {
    if (flushed) await store.flush()
    const sizes: number[] = []
    const found: number[] = []
    for await (const page of things.scan().pages()) {
      sizes.push(page.length)
      found.push(...page.map(({ s }) => s.length))
    }
    t.deepEqual(found, [100_000, 100_000, 100_000, 3_000_000, 100_000, 100_000])
    t.true(sizes.length > 1, String(sizes))
  }
})

test('random bounds give what filtering all documents gives, from memory and from disk', async (t) => {
  const store = await newStore(t, { cacheBytes: 0, pageCacheReads: false })
  const numbers = store.collection<{ id: number }>('numbers')
  const all = Array.from({ length: 300 }, (_, i) => i * 2)
  await numbers.batch(all.slice(0, 150).map((id) => ({ put: { id } })))
  await store.flush()
  await numbers.batch(all.slice(150).map((id) => ({ put: { id } })))
  const bound = fc.option(fc.integer({ min: -2, max: 602 }), { nil: undefined })
  const options = fc.record({
    low: bound,
    high: bound,
    lowOpen: fc.boolean(),
    highOpen: fc.boolean(),
    reverse: fc.boolean(),
    pageSize: fc.integer({ min: 1, max: 400 }),
    limit: fc.option(fc.integer({ min: 0, max: 400 }), { nil: undefined }),
  })
  await fc.assert(
    fc.asyncProperty(options, async ({ low, high, lowOpen, highOpen, reverse, pageSize, limit }) => {
      const expected = all
        .filter((id) => low === undefined || (lowOpen ? id > low : id >= low))
        .filter((id) => high === undefined || (highOpen ? id < high : id <= high))
      if (reverse) expected.reverse()
      const bounds = { [lowOpen ? 'gt' : 'gte']: low, [highOpen ? 'lt' : 'lte']: high }
      const found = await ids(numbers.scan({ ...bounds, reverse, pageSize, limit }))
      t.deepEqual(found, expected.slice(0, limit))
    }),
  )
})

test('a scan sees one moment, whatever is written while it runs', async (t) => {
  const [, items] = await filled(t, 100)
  const seen: Item[] = []
  for await (const item of items.scan({ pageSize: 10 })) {
    seen.push(item)
    if (seen.length === 5) {
      await items.batch(Array.from({ length: 100 }, (_, n) => ({ put: { id: String(n).padStart(4, '0'), n: -1 } })))
      await items.put({ id: '00505', n: -1 })
      await items.delete('0099')
    }
  }
  t.deepEqual(
    seen.map(({ n }) => n),
    Array.from({ length: 100 }, (_, n) => n),
  )
})

test('a scan can be iterated again and then sees the newer moment', async (t) => {
  const [, items] = await filled(t, 2)
  const scan = items.scan()
  t.is((await scan.toArray()).length, 2)
  await items.put({ id: '0002', n: 2 })
  t.is((await scan.toArray()).length, 3)
})

test('a scan releases its snapshot at its end, on break, on throw and on return', async (t) => {
  const [store, items] = await filled(t, 50)
  const open = () => store.metrics().openSnapshots
  for await (const { n } of items.scan({ pageSize: 5 })) if (n === 0) t.is(open(), 1)
  t.is(open(), 0)
  for await (const _ of items.scan({ pageSize: 5 })) break
  t.is(open(), 0)
  for await (const _ of items.scan({ pageSize: 5 }).pages()) break
  t.is(open(), 0)
  await t.throwsAsync(async () => {
    for await (const _ of items.scan({ pageSize: 5 })) throw new Error('stop')
  })
  t.is(open(), 0)
  const iterator = items.scan({ pageSize: 5 })[Symbol.asyncIterator]()
  await iterator.next()
  t.is(open(), 1)
  t.deepEqual(await iterator.return?.(), { done: true, value: undefined })
  t.is(open(), 0)
  t.deepEqual(await iterator.next(), { done: true, value: undefined })
  items.scan()[Symbol.asyncIterator]()
  items.scan().pages()
  t.is(open(), 0)
})

test('overlapping calls of next are answered in order', async (t) => {
  const [store, items] = await filled(t, 7)
  await store.flush()
  const iterator = items.scan({ pageSize: 2 })[Symbol.asyncIterator]()
  const results = await Promise.all(Array.from({ length: 9 }, () => iterator.next()))
  t.deepEqual(
    results.map(({ value }) => value?.n),
    [0, 1, 2, 3, 4, 5, 6, undefined, undefined],
  )
})

test('scans that overlap each give their own documents', async (t) => {
  const store = await newStore(t)
  const collections = [1, 2, 3].map((n) => store.collection<Item>(`items${n}`))
  for (const [n, items] of collections.entries()) {
    await items.batch(Array.from({ length: 7 }, (_, i) => ({ put: { id: String(i), n: 10 * n + i } })))
    await items.defineIndex('byN', { kind: 'multi', on: 'n' })
  }
  const expected = collections.map((_, n) => Array.from({ length: 7 }, (_, i) => 10 * n + i))
  const found = async (read: (items: Collection<Item, string>) => Promise<Item[]>) =>
    (await Promise.all(collections.map(read))).map((items) => items.map(({ n }) => n))
  for (const flushed of [false, true]) {
    if (flushed) await store.flush()
    t.deepEqual(await found((items) => items.scan().toArray()), expected)
    t.deepEqual(await found((items) => items.scan({ pageSize: 2 }).toArray()), expected)
    t.deepEqual(await found((items) => items.rangeIndex('byN', { pageSize: 2 }).toArray()), expected)
    t.deepEqual(await found((items) => items.scanIndex('byN', []).toArray()), expected)
    const seventh = (await Promise.all(collections.map((items, n) => items.byIndex('byN', 10 * n + 6)))).flat()
    t.deepEqual(
      seventh.map(({ n }) => n),
      [6, 16, 26],
    )
  }
})

test('whatever is called between a page being asked for and its coming does not change it', async (t) => {
  const [store, items] = await filled(t, 4)
  await items.defineIndex('byN', { kind: 'multi', on: 'n' })
  const between: Record<string, () => unknown> = {
    getSync: () => items.getSync('0003'),
    get: () => items.get('0003'),
    history: () => items.history('0003').next(),
    putJson: () => items.putJson('{"id":"0003","n":3}'),
    scan: () => items.scan({ reverse: true }).toArray(),
    diff: () => store.diff(0).next(),
  }
  for (const [name, call] of Object.entries(between)) {
    for (const scan of [items.scan({ pageSize: 2 }), items.rangeIndex('byN', { pageSize: 2 })]) {
      const iterator = scan[Symbol.asyncIterator]()
      const seen: unknown[] = []
      for (let n = 0; n < 5; n++) {
        const next = iterator.next()
        await Promise.all([call(), next.then(({ value }) => seen.push(value?.n))])
      }
      t.deepEqual(seen, [0, 1, 2, 3, undefined], name)
    }
  }
})

test('an abandoned scan gives its snapshot back when it is garbage-collected', async (t) => {
  const [store, items] = await filled(t, 50)
  await heldUntil([items.scan({ pageSize: 5 })[Symbol.asyncIterator](), items.scan({ pageSize: 5 }).pages()], () =>
    t.is(store.metrics().openSnapshots, 2),
  )
  await collectGarbage(() => store.metrics().openSnapshots === 0)
  t.is(store.metrics().openSnapshots, 0)
})

test('a signal ends a running scan with its reason and releases the snapshot', async (t) => {
  const [store, items] = await filled(t, 50)
  const controller = new AbortController()
  const reason = new Error('enough')
  const seen: Item[] = []
  const error = await t.throwsAsync(async () => {
    for await (const item of items.scan({ pageSize: 5, signal: controller.signal })) {
      if (seen.push(item) === 7) controller.abort(reason)
    }
  })
  t.is(error, reason)
  t.is(seen.length, 10)
  t.is(store.metrics().openSnapshots, 0)
})

test('bad bounds and options are refused by name, at once', async (t) => {
  const [store, items] = await filled(t, 1)
  const wrong = (options: object, place: string) =>
    fails(t, () => items.scan(options as never), { code: 'ERR_INVALID_ARGUMENT', place })
  await wrong({ prefix: 'a', gt: 'b' }, 'options.gt')
  await wrong({ gt: 'a', gte: 'b' }, 'options.gte')
  await wrong({ lt: 'a', lte: 'b' }, 'options.lte')
  await wrong({ limit: -1 }, 'options.limit of scan')
  await wrong({ limit: 1.5 }, 'options.limit of scan')
  await wrong({ pageSize: 0 }, 'options.pageSize of scan')
  await wrong({ pageSize: 10_001 }, 'options.pageSize of scan')
  await wrong({ reverse: 1 }, 'options.reverse of scan')
  await wrong({ start: 'a' }, 'options.start')
  const bad = { code: 'ERR_INVALID_KEY', collection: 'items' } as const
  await fails(t, () => items.scan({ prefix: 7 as never }), { ...bad, place: 'options.prefix', says: /a prefix is/ })
  await fails(t, () => items.scan({ lte: {} as never }), { ...bad, place: 'options.lte' })
  t.is(store.metrics().openSnapshots, 0)
})
