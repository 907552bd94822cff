/**
 * A defect in the engine that shows as a panic, in each kind of call that crosses the boundary: the process lives, the
 * call fails with a typed error, everything that writes is refused from then on, reads go on, and reopening heals.
 *
 * Needs an addon with panics on request, which `npm test` builds. Without it the tests say loudly that they proved
 * nothing.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { FountainStore } from '../index.mjs'
import { child, directory, root } from './support.js'

const planted = join(root, '.bootstrap', 'planted-panics.node')
const available = existsSync(planted)

interface Kind {
  /** The request of the disk that panics, and a part of its path. */
  readonly panic: readonly [string, string]
  /** The call, with `items` of `store`; ten documents are in a table, none of it in memory. */
  readonly call: string
  readonly code: 'ERR_INTERNAL' | 'ERR_POISONED'
  /** How the reason begins that later writes are refused with. */
  readonly reason: RegExp
  readonly options?: string
}

const KINDS: Readonly<Record<string, Kind>> = {
  'a synchronous read': {
    panic: ['read', '.sst'],
    call: 'items.getSync(1)',
    code: 'ERR_INTERNAL',
    reason: /a panic while reading/,
  },
  'a read on a read thread': {
    panic: ['read', '.sst'],
    call: 'await items.get(1)',
    code: 'ERR_INTERNAL',
    reason: /a panic while reading/,
  },
  'a page of a scan': {
    panic: ['read', '.sst'],
    call: 'await items.scan().toArray()',
    code: 'ERR_INTERNAL',
    reason: /a panic while scanning/,
  },
  'a commit, at its write': {
    panic: ['write', '.wal'],
    call: 'await items.put({ id: 100 })',
    code: 'ERR_POISONED',
    reason: /a panic while appending commits: planted in write/,
  },
  'a commit, at its sync': {
    panic: ['sync', '.wal'],
    call: 'await items.put({ id: 100 })',
    code: 'ERR_POISONED',
    reason: /a panic while syncing the log: planted in sync/,
  },
  'a flush': {
    panic: ['create', '.sst'],
    call: 'await items.put({ id: 10 }); await store.flush()',
    code: 'ERR_POISONED',
    reason: /a panic while flushing: planted in create/,
  },
  'a compaction': {
    panic: ['create', '.sst'],
    call: 'await store.compact()',
    code: 'ERR_POISONED',
    reason: /a panic while compacting: planted in create/,
  },
  'a flush in the background': {
    panic: ['create', '.sst'],
    call: "for (let id = 100; ; id++) await items.put({ id, s: 'x'.repeat(10_000) }, { durability: 'os' })",
    code: 'ERR_POISONED',
    reason: /a panic while flushing: planted in create/,
    options: 'memtableBytes: 65536,',
  },
}

/** Runs `script` in a process that has the planted addon, and returns what it said: one JSON text per line. */
async function run(t: ExecutionContext, path: string, script: string): Promise<unknown[]> {
  const prelude = `
    import { createRequire } from 'node:module'
    const { plantPanic } = createRequire(${JSON.stringify(import.meta.url)})('../native.js')
    const outcome = async (work) => {
      try {
        await work()
        return 'done'
      } catch (error) {
        return [error instanceof StoreError, error.code, error.message]
      }
    }
    const tell = (value) => console.log(JSON.stringify(value))
  `
  const env = { NAPI_RS_NATIVE_LIBRARY_PATH: planted }
  const { code, signal, stdout, stderr } = await child(path, prelude + script, { env }).ended
  t.deepEqual([code, signal], [0, null], stderr)
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

function proving(title: string, body: (t: ExecutionContext) => Promise<void>): void {
  test(available ? title : `NOT PROVED, there is no addon with panics on request: ${title}`, async (t) => {
    if (available) return body(t)
    t.log('`npm test` builds one, if there is a Rust toolchain')
    t.pass()
  })
}

for (const [name, { panic, call, code, reason, options = '' }] of Object.entries(KINDS)) {
  proving(`a panic in ${name} ends that call, refuses later writes and loses nothing`, async (t) => {
    const path = join(directory(t), 'store')
    const script = `
      const store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false, ${options} })
      const items = store.collection('items')
      for (let half = 0; half < 2; half++) {
        await items.batch(Array.from({ length: 5 }, (_, i) => ({ put: { id: half * 5 + i } })))
        await store.flush()
      }
      plantPanic(${JSON.stringify(panic[0])}, ${JSON.stringify(panic[1])})
      tell(await outcome(async () => { ${call} }))
      for (const write of [
        () => items.put({ id: 200 }),
        () => items.put({ id: 200 }, { durability: 'memory' }),
        () => items.delete(1),
        () => store.batch([items.putOp({ id: 200 })]),
        () => store.flush(),
        () => store.compact(),
      ]) tell(await outcome(write))
      tell([items.getSync(1), await items.get(2), (await items.scan({ lt: 10 }).toArray()).length, store.snapshot().sequence > 0])
      tell(await outcome(() => store.close()))
      const again = await FountainStore.open(path)
      await again.collection('items').put({ id: 300 })
      tell((await again.collection('items').scan({ lt: 10 }).toArray()).length)
      await again.close()
    `
    const [failed, ...rest] = await run(t, path, script)
    const [isStoreError, found, message] = failed as [boolean, string, string]
    t.deepEqual([isStoreError, found], [true, code], message)
    const refusals = rest.slice(0, 6) as [boolean, string, string][]
    for (const [isStoreError, found, message] of refusals) {
      t.deepEqual([isStoreError, found], [true, 'ERR_POISONED'], message)
      t.regex(message, reason)
    }
    t.deepEqual(rest.slice(6), [[{ id: 1 }, { id: 2 }, 10, true], 'done', 10])
    // And for a process that has the ordinary addon.
    await using store = await FountainStore.open(path)
    t.deepEqual(await store.collection<{ id: number }>('items').get(300), { id: 300 })
  })
}

proving('a panic while opening fails the open, and the next one succeeds', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const first = await FountainStore.open(path)
    await first.collection('items').put({ id: 1 })
    await first.close()
    for (const [request, part] of [['open', 'MANIFEST'], ['read', '.wal'], ['create', 'MANIFEST'], ['sync', 'CURRENT']]) {
      plantPanic(request, part)
      tell(await outcome(() => FountainStore.open(path)))
    }
    const again = await FountainStore.open(path)
    tell(await again.collection('items').get(1))
    await again.close()
  `
  const told = await run(t, path, script)
  for (const outcome of told.slice(0, 4)) t.deepEqual((outcome as unknown[]).slice(0, 2), [true, 'ERR_INTERNAL'])
  t.deepEqual(told[4], { id: 1 })
})

proving('a panic while closing is the answer of close, and the store opens again with everything', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    await store.collection('items').put({ id: 1 })
    plantPanic('create', '.sst')
    tell(await outcome(() => store.close()))
    tell(await outcome(() => store.collection('items').put({ id: 2 })))
    const again = await FountainStore.open(path)
    tell([again.recovery.clean, await again.collection('items').get(1)])
    await again.close()
  `
  const [closed, later, found] = await run(t, path, script)
  t.deepEqual((closed as unknown[]).slice(0, 2), [true, 'ERR_POISONED'])
  t.deepEqual((later as unknown[]).slice(0, 2), [true, 'ERR_CLOSED'])
  t.deepEqual(found, [false, { id: 1 }])
})

test('every function that the addon exports catches panics, and the build lets them unwind', (t) => {
  const folder = join(root, 'crates', 'node', 'src')
  const sources = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  const exported = sources.flatMap((source) => [...source.matchAll(/#\[napi(.*)\]\s*pub fn (\w+)/g)])
  t.true(exported.length >= 19, `${exported.length} exports`)
  for (const [, attribute, name] of exported) t.is(attribute, '(catch_unwind)', name)
  const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8')
  t.regex(manifest, /\[profile\.release\][^[]*\npanic = "unwind"/)
})
