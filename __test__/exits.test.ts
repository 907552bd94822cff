/**
 * Every way in which a process or a worker thread can end, with work of every kind under way: what was resolved is
 * there afterwards, nothing hangs, nothing crashes, and the store opens again.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { FountainStore, Index } from '../index.mjs'
import { child, directory } from './support.js'

const index = fileURLToPath(new URL('../index.js', import.meta.url))

/** Puts that have resolved before the end, and those that are pending. */
const RESOLVED = 20
const PENDING = 150

/** Resolved and pending puts, an open snapshot, a scan half-way, a read, a flush; whatever resolves is written to the pipe. */
const BUSY = `
  const { writeSync } = require('node:fs')
  const items = store.collection('items')
  const put = (id) => items.put({ id, s: 'x'.repeat(2000) }).then(() => void writeSync(1, 'put ' + id + '\\n'))
  for (let id = 0; id < ${RESOLVED}; id++) await put(id)
  globalThis.snapshot = store.snapshot()
  globalThis.scan = items.scan({ pageSize: 2 })[Symbol.asyncIterator]()
  await scan.next()
  items.get(3).catch(() => {})
  store.flush().catch(() => {})
  items.scan().toArray().catch(() => {})
  for (let id = ${RESOLVED}; id < ${RESOLVED + PENDING}; id++) put(id).catch(() => {})
`

/** Documents in the collection whose index is being built. */
const INDEXED = 3000
/** Transactions that have resolved before the end. */
const COMMITTED = 5

/**
 * Transactions that have resolved, some that are committing and one that never comes to its end, a query half-way and one
 * that nobody waits for, and the build of an index, which begins last so that it is under way when the end comes.
 */
const COMPOSED = `
  const { Index } = require(${JSON.stringify(index)})
  const both = (id) =>
    store
      .transaction((transaction) => {
        for (const name of ['left', 'right']) transaction.collection(name).put({ id })
      })
      .then(() => void writeSync(1, 'both ' + id + '\\n'))
  for (let id = 0; id < ${COMMITTED}; id++) await both(id)
  const docs = store.collection('docs')
  await docs.batch(Array.from({ length: ${INDEXED} }, (_, id) => ({ put: { id, group: id % 7 } })))
  writeSync(1, 'documents\\n')
  await new Promise((begun) => {
    const endless = async (transaction) => {
      transaction.collection('left').put({ id: -1 })
      begun()
      await new Promise(() => {})
    }
    // The natural end waits for it no longer than this.
    store.transaction(endless, { timeoutMs: 500 }).catch(() => {})
  })
  globalThis.pages = docs.find().pages({ size: 1 })[Symbol.asyncIterator]()
  await pages.next()
  docs.find({ where: { group: 3 } }).count().catch(() => {})
  for (let id = ${COMMITTED}; id < 8 * ${COMMITTED}; id++) both(id).catch(() => {})
  docs.define(Index.multi('byGroup', 'group')).then(() => void writeSync(1, 'built\\n'), () => {})
`

/** What else is under way. */
const STATES = {
  'work under way': '',
  'a close in flight': 'store.close().catch(() => {})',
  'transactions, queries and the build of an index under way': COMPOSED,
} as const

interface End {
  readonly script: string
  readonly code: number | null
  readonly signal?: NodeJS.Signals
  /** Whether the process waits for its pending puts. */
  readonly waits?: boolean
}

const ENDS: Readonly<Record<string, End>> = {
  'the natural end': { script: '', code: 0, waits: true },
  'process.exit': { script: 'process.exit(7)', code: 7 },
  'process.exit a moment later': { script: 'setTimeout(() => process.exit(7), 3)', code: 7 },
  'an uncaught exception': { script: 'setImmediate(() => { throw new Error("uncaught") })', code: 1 },
  'an unhandled rejection': { script: 'Promise.reject(new Error("unhandled"))', code: 1 },
  'process.abort': { script: 'process.abort()', code: null, signal: 'SIGABRT' },
  SIGTERM: { script: 'process.kill(process.pid, "SIGTERM")', code: null, signal: 'SIGTERM' },
  SIGINT: { script: 'process.kill(process.pid, "SIGINT")', code: null, signal: 'SIGINT' },
  SIGHUP: { script: 'process.kill(process.pid, "SIGHUP")', code: null, signal: 'SIGHUP' },
  'a handler of SIGTERM that exits': {
    script: 'process.on("SIGTERM", () => process.exit(3)); process.kill(process.pid, "SIGTERM")',
    code: 3,
  },
}

/** The ids that were said to be written. */
const toldOf = (stdout: string) => [...stdout.matchAll(/^put (\d+)$/gm)].map((match) => Number(match[1]))

/** The store opens again, holds everything it told of, and else only a prefix of what was put. */
async function assertKept(t: ExecutionContext, path: string, stdout: string): Promise<number[]> {
  const told = toldOf(stdout)
  t.true(told.length >= RESOLVED, stdout)
  await using store = await FountainStore.open(path)
  const found = (await store.collection<{ id: number }>('items').scan().toArray()).map(({ id }) => id)
  t.deepEqual(found, [...found.keys()], 'a prefix without holes')
  t.true(found.length > Math.max(...told), `${found.length} found, told of ${Math.max(...told)}`)
  t.deepEqual(store.recovery.quarantined, [])
  if (stdout.includes('both')) await assertComposedKept(t, store, stdout)
  return found
}

/** Transactions are there as a whole or not at all, and an index leads to every document, whenever its build was cut short. */
async function assertComposedKept(t: ExecutionContext, store: FountainStore, stdout: string): Promise<void> {
  const told = [...stdout.matchAll(/^both (\d+)$/gm)].map((match) => Number(match[1]))
  t.true(told.length >= COMMITTED, stdout)
  const [left, right] = await Promise.all(
    ['left', 'right'].map(async (name) => {
      const documents = await store.collection<{ id: number }>(name).scan().toArray()
      return documents.map(({ id }) => id)
    }),
  )
  t.deepEqual(left, right, 'transactions as a whole')
  t.deepEqual(
    told.filter((id) => !left?.includes(id)),
    [],
    'transactions that had resolved',
  )
  t.false(left?.includes(-1), 'a transaction that never came to its end')
  t.regex(stdout, /^documents$/m)
  const docs = store.collection<{ id: number; group: number }>('docs')
  t.is((await docs.scan().toArray()).length, INDEXED)
  if (/^built$/m.test(stdout)) t.deepEqual([docs.indexes().length, docs.indexes()[0]?.state], [1, 'ready'])
  await docs.define(Index.multi('byGroup', 'group'))
  for (let group = 0; group < 7; group++) {
    const found = (await docs.byIndex('byGroup', group)).map(({ id }) => id)
    const due = Array.from({ length: INDEXED }, (_, id) => id).filter((id) => id % 7 === group)
    t.deepEqual(found, due, `group ${group}`)
  }
}

const onUnix = process.platform === 'win32' ? test.skip : test

for (const [name, end] of Object.entries(ENDS)) {
  for (const [state, closing] of Object.entries(STATES)) {
    onUnix(`${name} with ${state}: what resolved is kept`, async (t) => {
      const path = join(directory(t), 'store')
      const script = `
        import { createRequire } from 'node:module'
        const require = createRequire(${JSON.stringify(index)})
        const store = await FountainStore.open(path, { memtableBytes: 65536 })
        ${BUSY}
        ${closing}
        ${end.script}
      `
      const started = Date.now()
      const { code, signal, stdout, stderr } = await child(path, script).ended
      t.deepEqual([code, signal], [end.code, end.signal ?? null], stderr)
      t.true(Date.now() - started < 60_000)
      const found = await assertKept(t, path, stdout)
      if (end.waits) t.deepEqual([toldOf(stdout).length, found.length], [RESOLVED + PENDING, RESOLVED + PENDING])
    })
  }
}

test('a put that begins in beforeExit is waited for, and resolves', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    process.once('beforeExit', () => store.collection('items').put({ id: 1 }).then(() => console.log('resolved')))
  `
  const { code, stdout, stderr } = await child(path, script).ended
  t.deepEqual([code, stdout], [0, 'resolved\n'], stderr)
  await using store = await FountainStore.open(path)
  t.deepEqual(await store.collection<{ id: number }>('items').get(1), { id: 1 })
})

const WORKER_ENDS = {
  'its natural end': { inside: '', outside: '', code: 0 },
  'process.exit in it': { inside: 'process.exit(5)', outside: '', code: 5 },
  'an uncaught exception in it': {
    inside: 'setImmediate(() => { throw new Error("uncaught") })',
    outside: '',
    code: 1,
  },
  'an unhandled rejection in it': { inside: 'Promise.reject(new Error("unhandled"))', outside: '', code: 1 },
  'worker.terminate': {
    inside: 'setInterval(() => {}, 1000); parentPort.postMessage("busy")',
    outside: 'worker.once("message", () => worker.terminate())',
    code: 1,
  },
} as const

for (const [name, { inside, outside, code: expected }] of Object.entries(WORKER_ENDS)) {
  for (const [state, closing] of Object.entries(STATES)) {
    test(`a worker with ${state} ends by ${name}: what resolved is kept, and the main thread goes on`, async (t) => {
      const path = join(directory(t), 'store')
      const source = `
        const { parentPort } = require('node:worker_threads')
        const { FountainStore } = require(${JSON.stringify(index)})
        ;(async () => {
          const store = await FountainStore.open(${JSON.stringify(path)})
          ${BUSY}
          ${closing}
          ${inside}
        })()
      `
      const script = `
        import { Worker } from 'node:worker_threads'
        const store = await FountainStore.open(path, { memtableBytes: 65536 })
        const own = store.collection('own')
        const worker = new Worker(${JSON.stringify(source)}, { eval: true, execArgv: [] })
        worker.on('error', () => {})
        ${outside}
        let written = 0
        let running = true
        worker.once('exit', (code) => { running = false; console.log('exit ' + code) })
        while (running) await own.put({ id: written++ })
        for (let more = 0; more < 10; more++) await own.put({ id: written++ })
        const { openSnapshots } = store.metrics()
        await store.close()
        console.log('main ' + written + ' ' + openSnapshots)
      `
      const { code, signal, stdout, stderr } = await child(path, script).ended
      t.deepEqual([code, signal], [0, null], stderr)
      t.regex(stdout, new RegExp(`^exit ${expected}$`, 'm'))
      const [, written, snapshots] = /^main (\d+) (\d+)$/m.exec(stdout) ?? []
      t.is(snapshots, '0', 'the snapshots of the worker are gone')
      await assertKept(t, path, stdout)
      await using store = await FountainStore.open(path)
      t.is((await store.collection('own').scan().toArray()).length, Number(written))
    })
  }
}

test('the main thread exits while workers write: what resolved in them is kept', async (t) => {
  const path = join(directory(t), 'store')
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { writeSync } = require('node:fs')
    const { FountainStore } = require(${JSON.stringify(index)})
    ;(async () => {
      const items = (await FountainStore.open(${JSON.stringify(path)})).collection('items')
      for (let n = 0; ; n++) {
        await items.put({ id: [workerData, n] })
        writeSync(1, 'put ' + workerData + ' ' + n + '\\n')
        if (n === 2) parentPort.postMessage('busy')
      }
    })()
  `
  const script = `
    import { Worker } from 'node:worker_threads'
    let busy = 0
    for (const workerData of [1, 2, 3]) {
      const worker = new Worker(${JSON.stringify(source)}, { eval: true, execArgv: [], workerData })
      worker.once('message', () => { if (++busy === 3) process.exit(4) })
    }
  `
  const { code, signal, stdout, stderr } = await child(path, script).ended
  t.deepEqual([code, signal], [4, null], stderr)
  await using store = await FountainStore.open(path)
  const found = await store.collection<{ id: number[] }>('items').scan().toArray()
  for (const worker of [1, 2, 3]) {
    const told = [...stdout.matchAll(new RegExp(`^put ${worker} (\\d+)$`, 'gm'))].length
    const kept = found.filter(({ id }) => id[0] === worker).map(({ id }) => id[1])
    t.true(told >= 3, `worker ${worker}: told of ${told}`)
    t.true(kept.length >= told, `worker ${worker}: told of ${told}, ${kept.length} found`)
    t.deepEqual(kept, [...kept.keys()])
  }
})

test('workers are terminated at moments of chance while the main thread works on, and leave nothing behind', async (t) => {
  const path = join(directory(t), 'store')
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { FountainStore } = require(${JSON.stringify(index)})
    ;(async () => {
      for (let n = 0; ; ) {
        const store = await FountainStore.open(${JSON.stringify(path)})
        const items = store.collection('items')
        for (let more = 0; more < 20; more++) {
          globalThis.kept = [store.snapshot(), items.scan({ pageSize: 1 })[Symbol.asyncIterator]()]
          kept[1].next().catch(() => {})
          store.flush().catch(() => {})
          await items.put({ id: workerData, n })
          parentPort.postMessage(n++)
        }
        await store.close()
      }
    })()
  `
  const script = `
    import { setTimeout as sleep } from 'node:timers/promises'
    import { Worker } from 'node:worker_threads'
    const store = await FountainStore.open(path, { memtableBytes: 65536, cacheBytes: 0, pageCacheReads: false })
    const own = store.collection('own')
    let written = 0
    let lost = 0
    const life = async (workerData) => {
      const worker = new Worker(${JSON.stringify(source)}, { eval: true, execArgv: [], workerData })
      let told = -1
      worker.on('message', (n) => (told = n))
      await sleep(20 + Math.random() * 150)
      await worker.terminate()
      const found = await store.collection('items').get(workerData)
      if ((found?.n ?? -1) < told) lost++
    }
    let living = true
    const writing = (async () => { while (living) await own.put({ id: written++ }) })()
    for (let pair = 0; pair < 25; pair++) await Promise.all([life('a' + pair), life('b' + pair)])
    living = false
    await writing
    console.log(JSON.stringify([lost, store.metrics().openSnapshots, (await own.scan().toArray()).length === written]))
    await store.close()
    const again = await FountainStore.open(path)
    console.log(again.recovery.clean)
    await again.close()
  `
  const { code, signal, stdout, stderr } = await child(path, script).ended
  t.deepEqual([code, signal, stdout], [0, null, '[0,0,true]\ntrue\n'], stderr)
})

onUnix(
  'a forked process is locked out while its parent has the store, and is not when the parent was killed',
  async (t) => {
    const path = join(directory(t), 'store')
    const forked = `
    const { FountainStore } = require(${JSON.stringify(index)})
    const path = ${JSON.stringify(path)}
    ;(async () => {
      const error = await FountainStore.open(path).catch((error) => error)
      console.log('locked', error.code, error.pid === process.ppid)
      const parent = process.ppid
      process.kill(parent, 'SIGKILL')
      // It holds its files until the last of its threads has ended, which may be after it ceased to be the parent.
      const lives = () => {
        try {
          return process.kill(parent, 0)
        } catch {
          return false
        }
      }
      while (lives()) await new Promise((resolve) => setTimeout(resolve, 5))
      const store = await FountainStore.open(path)
      console.log('found', (await store.collection('items').get(1)).id)
      await store.close()
    })()
  `
    const script = `
    import { spawn } from 'node:child_process'
    globalThis.store = await FountainStore.open(path)
    await store.collection('items').put({ id: 1 })
    spawn(process.execPath, ['--eval', ${JSON.stringify(forked)}], { stdio: 'inherit' })
    setInterval(() => {}, 1000)
  `
    const { signal, stdout, stderr } = await child(path, script).ended
    t.is(signal, 'SIGKILL')
    t.is(stdout, 'locked ERR_LOCKED true\nfound 1\n', stderr)
  },
)

test('a process that exits does not wait for reads that nobody will read', async (t) => {
  const script = `
    const store = await FountainStore.open(path, { durability: 'memory', readThreads: 1 })
    const items = store.collection('items')
    await items.batch(Array.from({ length: 20000 }, (_, id) => ({ put: { id, n: id } })))
    const query = items.find({ where: { n: -1 } })
    const begin = performance.now()
    await query.count()
    const each = performance.now() - begin
    const queued = Math.ceil(20000 / each)
    for (let n = 0; n < queued; n++) void query.count()
    await say(each * queued + ' ' + Date.now())
    process.exit(7)
  `
  const { code, stdout } = await child(join(directory(t), 'store'), script).ended
  const [queued, began] = stdout.trim().split(' ').map(Number) as [number, number]
  t.is(code, 7)
  t.true(queued >= 20_000, stdout)
  t.true(Date.now() - began < queued / 2, `${Date.now() - began} ms for an end with reads of ${queued} ms under way`)
})
