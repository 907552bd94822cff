/** Worker threads: every thread that opens a directory shares one engine, and a thread may end at any moment. */
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { FountainStore } from '../index.mjs'
import { child, directory, fails } from './support.js'

interface Item {
  id: string
  n: number
}

const index = fileURLToPath(new URL('../index.js', import.meta.url))

/** A worker that runs `script` with `FountainStore`, `path` and `post`. */
function worker(path: string, script: string): Worker {
  const prelude = `
    const { parentPort } = require('node:worker_threads')
    const { FountainStore } = require(${JSON.stringify(index)})
    const path = ${JSON.stringify(path)}
    const post = (message) => parentPort.postMessage(message)
  `
  return new Worker(`${prelude};(async () => {${script}})()`, { eval: true, execArgv: [] })
}

const message = async (from: Worker): Promise<unknown> => (await once(from, 'message'))[0]
const ended = (of: Worker) => new Promise<number>((resolve) => of.once('exit', resolve))

test('main thread and workers share one engine and see each other’s writes', async (t) => {
  const path = join(directory(t), 'store')
  await using store = await FountainStore.open(path)
  const items = store.collection<Item>('items')
  await items.put({ id: 'main', n: 0 })
  const workers = [1, 2, 3].map((n) =>
    worker(
      path,
      `const store = await FountainStore.open(path)
       const items = store.collection('items')
       const seen = await items.get('main')
       await Promise.all(Array.from({ length: 100 }, (_, i) => items.put({ id: ${n} + '-' + i, n: i })))
       post(seen)
       await store.close()`,
    ),
  )
  const exits = workers.map(ended)
  t.deepEqual(await Promise.all(workers.map(message)), Array(3).fill({ id: 'main', n: 0 }))
  t.deepEqual(await Promise.all(exits), [0, 0, 0])
  t.is((await items.scan().toArray()).length, 301)
  t.is(store.sequence, 301)
})

test('threads know of each other’s indexes, shapes, changes, states and drops', async (t) => {
  const path = join(directory(t), 'store')
  await using store = await FountainStore.open(path, { retention: 'latestOnly' })
  const items = store.collection<Item & { own?: object }>('items')
  await items.put({ id: 'a', n: 1 })
  const other = worker(
    path,
    `const store = await FountainStore.open(path)
     const items = store.collection('items')
     const steps = {
       define: async () => { await items.defineIndex('byN', { kind: 'multi', on: 'n' }) },
       find: async () => (await items.byIndex('byN', 1)).map(({ id }) => id),
       shape: () => items.put({ id: 'theirs', n: 2, own: { never: 1, seen: [{ before: 'x' }] } }),
       read: () => items.get('mine'),
       write: async () => { for (let n = 3; n < 6; n++) await items.put({ id: 'a', n }) },
       compact: () => store.compact(),
       dropIndex: () => items.dropIndex('byN'),
       drop: async () => { await store.dropCollection('items'); await store.collection('items').put({ id: 'new', n: 0 }) },
       close: () => store.close(),
     }
     parentPort.on('message', async (step) => {
       post(await Promise.resolve().then(steps[step]).catch((error) => 'failed: ' + error.code))
       if (step === 'close') parentPort.close()
     })
     post('open')`,
  )
  const ask = (step: string) => {
    const answer = message(other)
    other.postMessage(step)
    return answer
  }
  t.is(await message(other), 'open')
  // An index that the other has defined is kept up to date here, and read there.
  await ask('define')
  t.deepEqual(
    (await items.byIndex('byN', 1)).map(({ id }) => id),
    ['a'],
  )
  await items.put({ id: 'b', n: 1 })
  t.deepEqual(await ask('find'), ['a', 'b'])
  // Documents with members that the reading thread has never seen.
  await ask('shape')
  const theirs = { id: 'theirs', n: 2, own: { never: 1, seen: [{ before: 'x' }] } }
  t.deepEqual(items.getSync('theirs'), theirs)
  t.deepEqual(await items.find({ where: { n: 2 } }).toArray(), [theirs])
  const mine = { id: 'mine', n: 2, own: { other: { members: [1], of: 'mine' } } }
  await items.put(mine)
  t.deepEqual(await ask('read'), mine)
  // What the other writes is told here, while a state from before stays as it was over the other's compaction.
  const before = store.snapshot()
  const changes = store.watch({ from: before.sequence })
  await ask('write')
  for (const n of [3, 4, 5]) {
    const { value } = await changes.next()
    t.like(value?.change, { op: 'put', doc: { id: 'a', n }, sequence: before.sequence + n - 2 })
  }
  await ask('compact')
  t.is((await before.collection<Item>('items').get('a'))?.n, 1)
  const { sequence } = before
  await before.close()
  await ask('compact')
  await fails(t, () => store.at(sequence).collection<Item>('items').get('a'), { code: 'ERR_HISTORY_TRUNCATED' })
  // What the other drops is gone here.
  await ask('dropIndex')
  await fails(t, () => items.byIndex('byN', 1), { code: 'ERR_NO_INDEX' })
  await ask('drop')
  const { value } = await changes.next()
  t.deepEqual([value?.collection, value?.change.op], ['items', 'drop'])
  await changes.return()
  await t.throwsAsync(items.put({ id: 'c', n: 1 }), { message: /dropped/ })
  t.deepEqual(await store.collection<Item>('items').scan().toArray(), [{ id: 'new', n: 0 }])
  const exit = ended(other)
  await ask('close')
  t.is(await exit, 0)
})

test('a worker that ends without closing gives its share back', async (t) => {
  const path = join(directory(t), 'store')
  const one = worker(
    path,
    `await (await FountainStore.open(path)).collection('items').put({ id: 'a', n: 1 }); post('done')`,
  )
  const exit = ended(one)
  t.is(await message(one), 'done')
  t.is(await exit, 0)
  // In another process, so that the lock itself is asked.
  const script = `const store = await FountainStore.open(path); console.log(store.recovery.clean, store.sequence); await store.close()`
  const { stdout, stderr } = await child(path, script).ended
  t.is(stdout, 'true 1\n', stderr)
})

test('terminating workers while they write loses nothing that they were told was written', async (t) => {
  const path = join(directory(t), 'store')
  await using store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false, memtableBytes: 64 * 1024 })
  const items = store.collection<Item>('items')
  for (let round = 0; round < 20; round++) {
    const writing = worker(
      path,
      `const store = await FountainStore.open(path)
       const items = store.collection('items')
       for (let n = 0; ; n++) {
         const all = [items.put({ id: '${round}', n }), items.get('x'), items.scan({ limit: 3 }).toArray(), store.flush()]
         await all[0]
         post(n)
       }`,
    )
    let told = -1
    writing.on('message', (n) => (told = n))
    await message(writing)
    await sleep(Math.random() * 20)
    await writing.terminate()
    const found = await items.get(String(round))
    t.true((found?.n ?? -1) >= told, `round ${round}: told ${told}, found ${found?.n}`)
  }
  t.is((await items.scan().toArray()).length, 20)
})

test('a terminated worker whose open, reads and closes are under way ends quietly', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
    import { setTimeout as sleep } from 'node:timers/promises'
    const source = \`
      const { FountainStore } = require(${JSON.stringify(index)})
      ;(async () => {
        for (;;) {
          const store = await FountainStore.open(${JSON.stringify(path)})
          store.collection('items').put({ id: 1 }).catch(() => {})
          store.close().catch(() => {})
        }
      })()\`
    for (let round = 0; round < 15; round++) {
      const worker = new Worker(source, { eval: true, execArgv: [] })
      await new Promise((resolve) => worker.once('online', resolve))
      await sleep(Math.random() * 40)
      await worker.terminate()
    }
    const store = await FountainStore.open(path)
    await store.close()
    console.log('quiet')
  `
  const { code, signal, stdout, stderr } = await child(path, script).ended
  t.deepEqual([code, signal, stdout], [0, null, 'quiet\n'], stderr)
})
