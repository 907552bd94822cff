/** When writes are done, and what they share. */
import { join } from 'node:path'
import test from 'ava'
import { FountainStore } from '../index.mjs'
import { MAX_QUEUED_BYTES, WRITE_CHUNK_BYTES } from '../lib/limits.js'
import { child, directory, newStore } from './support.js'

interface Item {
  id: number
  s?: string
}

test('a durable put syncs the log', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  for (let id = 0; id < 3; id++) {
    const before = store.metrics().walSyncs
    await items.put({ id })
    t.true(store.metrics().walSyncs > before)
  }
})

test('a thousand puts of one tick share few syncs and keep their order', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const before = store.metrics().walSyncs
  const commits = await Promise.all(Array.from({ length: 1000 }, (_, id) => items.put({ id })))
  t.true(store.metrics().walSyncs - before <= 3, `${store.metrics().walSyncs - before} syncs`)
  t.deepEqual(
    commits.map(({ sequence }) => sequence),
    Array.from({ length: 1000 }, (_, i) => i + 1),
  )
  for (const n of [1, 500, 1000]) t.is((await store.at(n).collection<Item>('items').scan().toArray()).length, n)
})

test('writes at the weaker levels do not sync, and the store can make them the default', async (t) => {
  const store = await newStore(t, { durability: 'os' })
  const items = store.collection<Item>('items')
  const before = store.metrics().walSyncs
  for (let id = 0; id < 20; id++) await items.put({ id }, { durability: id % 2 ? 'memory' : undefined })
  t.is(store.metrics().walSyncs, before)
  t.is((await items.scan().toArray()).length, 20)
  await items.put({ id: 20 }, { durability: 'disk' })
  t.is(store.metrics().walSyncs, before + 1)
})

test('writes of one tick happen in program order, whatever their durability', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const levels = ['disk', 'memory', 'disk', 'os', 'memory'] as const
  const writes = levels.map((durability, n) => items.put({ id: 1, s: `${n}` }, { durability }))
  const commits = await Promise.all(writes)
  t.deepEqual(
    commits.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 5],
  )
  t.is((await items.get(1))?.s, '4')
})

test('a program that outruns the disk is held back, and nothing is lost or reordered', async (t) => {
  const store = await newStore(t, { durability: 'os' })
  const items = store.collection<Item>('items')
  const s = 'x'.repeat(1_000_000)
  const count = Math.ceil((MAX_QUEUED_BYTES + 4 * WRITE_CHUNK_BYTES) / s.length)
  const writes = Array.from({ length: count }, (_, id) => items.put({ id, s }))
  t.true(store.metrics().queuedWriteBytes >= count * s.length)
  const commits = await Promise.all(writes)
  t.deepEqual(
    commits.map(({ sequence }) => sequence),
    writes.map((_, i) => i + 1),
  )
  t.is(store.metrics().queuedWriteBytes, 0)
  t.is((await items.get(count - 1))?.s?.length, s.length)
})

test('flushing, compacting and changing the schema end although something is being written all the time', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const others = store.collection<Item>('others')
  await others.put({ id: 1 })
  let id = 0
  let writing = true
  // Two writers, so that there is always a write under way.
  const writers = [0, 1].map(async () => {
    while (writing) await items.put({ id: id++ })
  })
  const upkeep: (() => PromiseLike<unknown>)[] = [
    () => store.flush(),
    () => store.compact(),
    () => store.createCollection('created'),
    () => others.defineIndex('byS', { kind: 'multi', on: 's' }),
    () => others.dropIndex('byS'),
    () => others.updateWhere({ id: 1 }, { s: 'x' }),
    () => store.dropCollection('created'),
  ]
  for (const call of upkeep) {
    const before = id
    await call()
    t.true(id > before, 'the writers went on')
  }
  writing = false
  await Promise.all(writers)
  t.is((await items.scan().toArray()).length, id)
})

test('a flush comes after the writes before it, also those that wait until the engine takes them', async (t) => {
  const store = await newStore(t, { durability: 'memory' })
  const items = store.collection<Item>('items')
  const done: string[] = []
  // More than the engine is given at a time, so that some wait here.
  const s = 'x'.repeat(1_000_000)
  const count = Math.ceil((MAX_QUEUED_BYTES + 4 * WRITE_CHUNK_BYTES) / s.length)
  const before = Array.from({ length: count }, (_, id) => items.put({ id, s }).then(() => done.push('before')))
  await store.flush()
  done.push('flush')
  t.deepEqual(done, [...before.map(() => 'before'), 'flush'])
})

test('updates and deletes of all that match come after the writes before them', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const put = items.put({ id: 1 })
  t.is((await items.updateWhere({ id: 1 }, { s: 'new' })).changed, 1)
  t.deepEqual(items.getSync(1), { id: 1, s: 'new' })
  void items.put({ id: 2 }, { durability: 'memory' })
  void items.put({ id: 3 }, { durability: 'disk' })
  t.is((await items.deleteWhere({})).changed, 3)
  t.deepEqual(await items.scan().toArray(), [])
  const controller = new AbortController()
  void items.put({ id: 4 })
  const aborted = items.deleteWhere({}, { signal: controller.signal })
  controller.abort(new RangeError('enough'))
  await t.throwsAsync(aborted, { message: 'enough' })
  t.deepEqual(items.getSync(4), { id: 4 })
  await put
})

test('a process that ends by itself waits for its pending put, which is then durable', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    store.collection('items').put({ id: 1 }).then(() => console.log('resolved'))
  `
  const { code, stdout, stderr } = await child(path, script).ended
  t.is(code, 0, stderr)
  t.is(stdout, 'resolved\n')
  await using store = await FountainStore.open(path)
  t.deepEqual(await store.collection<Item>('items').get(1), { id: 1 })
})

for (const [name, end] of [
  ['process.exit', 'process.exit(7)'],
  ['SIGKILL', "process.kill(process.pid, 'SIGKILL')"],
  ['an uncaught error', 'throw new Error("uncaught")'],
] as const) {
  test(`every put that resolved before ${name} is there afterwards`, async (t) => {
    const path = join(directory(t), 'store')
    const script = `
      const store = await FountainStore.open(path)
      const items = store.collection('items')
      for (let id = 0; id < 20; id++) await items.put({ id })
      for (let id = 100; id < 200; id++) items.put({ id })
      await items.put({ id: 200 })
      ${end}
    `
    const { code, signal } = await child(path, script).ended
    t.false(code === 0 && signal === null)
    await using store = await FountainStore.open(path)
    const found = (await store.collection<Item>('items').scan().toArray()).map(({ id }) => id)
    t.deepEqual(found, [...Array(20).keys(), ...Array.from({ length: 101 }, (_, i) => 100 + i)])
  })
}

test('an idle open store does not keep the process alive', async (t) => {
  const script = `
    const store = await FountainStore.open(path)
    await store.collection('items').put({ id: 1 })
    store.snapshot()
    await store.collection('items').scan({ pageSize: 1 }).pages().next()
    globalThis.store = store
    console.log('done')
  `
  const started = Date.now()
  const { code, stdout, stderr } = await child(join(directory(t), 'store'), script).ended
  t.is(code, 0, stderr)
  t.is(stdout, 'done\n')
  t.true(Date.now() - started < 20_000)
})

const onUnix = process.platform === 'win32' ? test.skip : test

onUnix('reads and writes go on when every thread of the libuv pool is busy', async (t) => {
  // Opening a pipe for reading holds the one thread until somebody opens it for writing.
  const script = `
    import { execFileSync } from 'node:child_process'
    import { open, openSync } from 'node:fs'
    const pipe = path + '-pipe'
    execFileSync('mkfifo', [pipe])
    let held = true
    open(pipe, 'r', () => { held = false })
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 120_000).unref()
    const store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false })
    const items = store.collection('items')
    await items.put({ id: 1 })
    await store.flush()
    const found = await items.get(1)
    console.log(JSON.stringify([found, held]))
    openSync(pipe, 'w')
    process.exit(0)
  `
  const running = child(join(directory(t), 'store'), script, { env: { UV_THREADPOOL_SIZE: '1' } })
  const { stdout, stderr } = await running.ended
  t.is(stdout, '[{"id":1},true]\n', stderr)
})
