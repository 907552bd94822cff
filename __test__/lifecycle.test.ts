/** Opening, sharing and closing stores. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import test from 'ava'
import { FountainStore, StoreError } from '../index.mjs'
import { child, directory, fails, newStore } from './support.js'

interface Item {
  id: string
  n: number
}

test('a new store is created, and reopening finds what was written', async (t) => {
  const path = join(directory(t), 'deep', 'store')
  const first = await FountainStore.open(path)
  t.is(first.path, path)
  t.true(first.recovery.created)
  await first.collection<Item>('items').put({ id: 'a', n: 1 })
  await first.close()
  await using second = await FountainStore.open(path)
  t.false(second.recovery.created)
  t.true(second.recovery.clean)
  t.deepEqual(second.recovery.discarded, [])
  t.deepEqual(await second.collection<Item>('items').get('a'), { id: 'a', n: 1 })
  t.deepEqual(await second.collections(), ['items'])
})

test('answers come though the global timers and the clock were replaced by some that never run', async (t) => {
  const { ended } = child(
    join(directory(t), 'store'),
    `for (const name of ['setImmediate', 'setTimeout', 'setInterval', 'queueMicrotask']) globalThis[name] = () => 0
    performance.now = () => 0
    const store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false })
    const items = store.collection('items')
    for (let n = 0; n < 20; n++) await items.put({ id: 'a' + n, n })
    await store.flush()
    const found = []
    for (let n = 0; n < 20; n++) found.push((await items.get('a' + n)).n)
    await store.close()
    await say('sum ' + found.reduce((sum, n) => sum + n, 0))`,
  )
  const { code, stdout, stderr } = await ended
  t.is(stdout, 'sum 190\n', stderr)
  t.is(code, 0)
})

test('bad arguments of open are refused by name', async (t) => {
  const path = join(directory(t), 'store')
  const wrong = (options: unknown, place: string) =>
    fails(t, () => FountainStore.open(path, options as never), { code: 'ERR_INVALID_ARGUMENT', place })
  await wrong({ cacheByte: 1 }, 'options.cacheByte')
  await wrong({ logger: 'console' }, 'options.logger of open')
  await wrong({ defaultScanLimit: 0 }, 'options.defaultScanLimit of open')
  await wrong({ cacheBytes: -1 }, 'options.cacheBytes of open')
  await wrong({ cacheBytes: '1' }, 'options.cacheBytes of open')
  await wrong({ memtableBytes: 1.5 }, 'options.memtableBytes of open')
  await wrong({ walSegmentBytes: Number.POSITIVE_INFINITY }, 'options.walSegmentBytes of open')
  await wrong({ readThreads: 0 }, 'options.readThreads of open')
  await wrong({ retention: 'some' }, 'options.retention of open')
  await wrong({ durability: 'none' }, 'options.durability of open')
  await wrong({ createIfMissing: 'yes' }, 'options.createIfMissing of open')
  await wrong('options', 'the options of open')
  for (const bad of [undefined, 7, '', 'a\0b', new URL('file:///tmp')]) {
    await fails(t, () => FountainStore.open(bad as string), { code: 'ERR_INVALID_ARGUMENT', place: 'path' })
  }
})

test('without createIfMissing a missing store is an error, and nothing is created', async (t) => {
  const path = join(directory(t), 'store')
  const open = () => FountainStore.open(path, { createIfMissing: false })
  await fails(t, open, { code: 'ERR_NOT_FOUND', path })
  await fails(t, open, { code: 'ERR_NOT_FOUND', path })
})

test('a directory of something else is not a store, and is left alone', async (t) => {
  const path = directory(t)
  writeFileSync(join(path, 'precious.txt'), 'mine')
  await fails(t, () => FountainStore.open(path), { code: 'ERR_NOT_A_STORE', path })
  const file = join(path, 'precious.txt')
  const error = await fails(t, () => FountainStore.open(file), { code: (await openError(file)).code })
  t.true(['ERR_NOT_A_STORE', 'ERR_IO'].includes(error.code), error.code)
})

async function openError(path: string): Promise<StoreError> {
  return FountainStore.open(path).then(
    () => Promise.reject(new Error('opened')),
    (error) => error,
  )
}

test('two opens of one directory share one engine, however it is spelt', async (t) => {
  const base = directory(t)
  const path = join(base, 'store')
  const link = join(base, 'link')
  const [first, second] = await Promise.all([FountainStore.open(path), FountainStore.open(path)])
  symlinkSync(path, link, 'junction')
  const third = await FountainStore.open(link)
  const fourth = await FountainStore.open(relative(process.cwd(), path))
  await first.collection<Item>('items').put({ id: 'a', n: 1 })
  for (const store of [second, third, fourth]) {
    t.is(store.sequence, 1)
    t.deepEqual(store.collection<Item>('items').getSync('a'), { id: 'a', n: 1 })
    t.is(store.metrics().commits, 1)
  }
  await first.close()
  await second.close()
  await third.close()
  t.deepEqual(await fourth.collection<Item>('items').get('a'), { id: 'a', n: 1 })
  await fourth.close()
  await (await FountainStore.open(path)).close()
})

test('a shared engine keeps its options: asking for others is an error that names the option', async (t) => {
  const path = join(directory(t), 'store')
  await using _first = await FountainStore.open(path, { cacheBytes: 1024 })
  await using _same = await FountainStore.open(path, { cacheBytes: 1024, durability: 'os' })
  await fails(t, () => FountainStore.open(path, { retention: 'latestOnly' }), {
    code: 'ERR_INVALID_ARGUMENT',
    says: /options\.retention differs/,
  })
})

test('require and import see the same classes, and share one engine', async (t) => {
  const script = `
    import { createRequire } from 'node:module'
    import * as imported from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)}
    const required = createRequire(${JSON.stringify(import.meta.url)})('../index.js')
    const names = Object.keys(required)
    const same = names.length === Object.keys(imported).length && names.every((name) => required[name] === imported[name])
    const [a, b] = await Promise.all([imported.FountainStore.open(path), required.FountainStore.open(path)])
    await a.collection('items').put({ id: 'a' })
    console.log(names.sort().join(), same, b.sequence, a instanceof required.FountainStore)
    await Promise.all([a.close(), b.close()])
  `
  const { stdout, stderr } = await child(join(directory(t), 'store'), script).ended
  const classes =
    'Collection,FountainStore,Index,IndexBuild,Query,ReadCollection,Scan,Snapshot,StoreError,Transaction,TransactionCollection,WriteOperation,path,type'
  t.is(stdout.trim(), `${classes} true 1 true`, stderr)
})

test('StoreError.is tells errors of the store, and their codes, from others', async (t) => {
  const store = await newStore(t)
  const error = await fails(t, () => store.at(9), { code: 'ERR_SEQUENCE' })
  t.true(StoreError.is(error) && StoreError.is(error, 'ERR_SEQUENCE'))
  t.false(StoreError.is(error, 'ERR_CLOSED'))
  t.false(StoreError.is(new Error('x')))
  t.is(error.name, 'StoreError')
})

test('a store that another process holds is locked, and the error names the process', async (t) => {
  const path = join(directory(t), 'store')
  const holder = child(
    path,
    `globalThis.store = await FountainStore.open(path); await say('open'); setInterval(() => {}, 1000)`,
  )
  await holder.said('open')
  const error = await fails(t, () => FountainStore.open(path), { code: 'ERR_LOCKED', pid: holder.pid })
  t.true(error.retryable)
  t.regex(error.message, new RegExp(String(holder.pid)))
  holder.kill()
  await holder.ended
  await (await FountainStore.open(path)).close()
})

test('after close every method fails with ERR_CLOSED, except close', async (t) => {
  const store = await FountainStore.open(join(directory(t), 'store'))
  const items = store.collection<Item>('items')
  await items.put({ id: 'a', n: 1 })
  const snapshot = store.snapshot()
  const view = snapshot.collection<Item>('items')
  const operation = items.putOp({ id: 'b', n: 1 })
  const scan = items.scan()
  const iterator = items.scan({ pageSize: 1 })[Symbol.asyncIterator]()
  await iterator.next()
  const closing = store.close()
  const calls: Record<string, () => unknown> = {
    sequence: () => store.sequence,
    collection: () => store.collection('items'),
    collections: () => store.collections(),
    batch: () => store.batch([operation]),
    'batch of nothing': () => store.batch([]),
    snapshot: () => store.snapshot(),
    at: () => store.at(1),
    flush: () => store.flush(),
    compact: () => store.compact(),
    metrics: () => store.metrics(),
    'items.get': () => items.get('a'),
    'items.getSync': () => items.getSync('a'),
    'items.getMany': () => items.getMany(['a']),
    'items.getMany of nothing': () => items.getMany([]),
    'items.put': () => items.put({ id: 'a', n: 1 }),
    'items.delete': () => items.delete('a'),
    'items.batch': () => items.batch([{ delete: 'a' }]),
    'items.putOp': () => items.putOp({ id: 'a', n: 1 }),
    'items.deleteOp': () => items.deleteOp('a'),
    'items.scan': () => items.scan(),
    'scan.toArray': () => scan.toArray(),
    'scan.pages': () => scan.pages().next(),
    'iterator.next': () => iterator.next(),
    'snapshot.collection': () => snapshot.collection('items'),
    'view.get': () => view.get('a'),
    'view.getSync': () => view.getSync('a'),
    'view.getMany': () => view.getMany(['a']),
    'view.scan': () => view.scan(),
  }
  const check = async () => {
    for (const [name, call] of Object.entries(calls)) {
      if (name === 'iterator.next') continue
      await fails(t, call, { code: 'ERR_CLOSED' }).catch((error) => t.fail(`${name}: ${error}`))
    }
  }
  await check()
  await fails(t, () => iterator.next(), { code: 'ERR_CLOSED' })
  t.deepEqual(await iterator.next(), { done: true, value: undefined })
  await closing
  await check()
  t.is(store.close(), closing)
  await store[Symbol.asyncDispose]()
  await snapshot.close()
  t.deepEqual(store.recovery.created, true)
})

test('close waits for reads and writes under way, all of which succeed', async (t) => {
  const path = join(directory(t), 'store')
  const store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false })
  const items = store.collection<Item>('items')
  await items.put({ id: 'a', n: 0 })
  await store.flush()
  const settled: string[] = []
  const note = (name: string) => () => settled.push(name)
  const work = [
    items.get('a').then(note('get')),
    items.getJson('a').then(note('getJson')),
    items.getMany(['a', 'b']).then(note('getMany')),
    items.put({ id: 'b', n: 1 }).then(note('put')),
    store.flush().then(note('flush')),
    items.put({ id: 'c', n: 2 }).then(note('late put')),
    items.scan().toArray().then(note('scan')),
  ]
  await store.close().then(note('close'))
  t.deepEqual(settled.at(-1), 'close')
  t.is(settled.length, work.length + 1)
  await using reopened = await FountainStore.open(path)
  t.is((await reopened.collection<Item>('items').scan().toArray()).length, 3)
})

test('close waits for reads of several documents that give way to others first', async (t) => {
  const store = await FountainStore.open(join(directory(t), 'store'))
  const items = store.collection<Item>('items')
  await items.put({ id: 'a', n: 0 })
  // Reads give way when none has done so for some milliseconds.
  await new Promise((resolve) => setTimeout(resolve, 20))
  const found = items.getMany(['a', 'b'])
  await store.close()
  t.deepEqual(await found, [{ id: 'a', n: 0 }, undefined])
})

test('an unusable directory is an error that names it', async (t) => {
  const base = directory(t)
  const file = join(base, 'file')
  writeFileSync(file, '')
  mkdirSync(join(base, 'empty'))
  const error = await openError(join(file, 'store'))
  t.true(StoreError.is(error) && ['ERR_IO', 'ERR_NOT_A_STORE'].includes(error.code), String(error))
  t.true(error.path?.startsWith(file), error.path)
  await (await FountainStore.open(join(base, 'empty'))).close()
})
