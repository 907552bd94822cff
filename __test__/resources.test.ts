/**
 * Resources that really run out: a full file system, a limit on the size of files, no file descriptors left. Errors are
 * typed, nothing acknowledged is lost, reads go on, and so does writing when there is room again.
 *
 * A full file system needs the right to mount one. Where that is missing the tests say loudly that they proved nothing.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { child, directory, limit } from './support.js'

/** Namespaces of mounts, as root or as somebody who may become root in a namespace of users. */
const UNSHARE = [
  ['unshare', '--mount'],
  ['unshare', '--mount', '--user', '--map-root-user'],
].find((command) => {
  const [program = '', ...args] = command
  return spawnSync(program, [...args, 'sh', '-c', 'mount -t tmpfs none /mnt']).status === 0
})

/** The shell command that mounts `bytes` of memory at `place` and goes on with its arguments. */
const mounting = (place: string, bytes: number) => [
  ...(UNSHARE ?? []),
  'sh',
  '-c',
  `mount -t tmpfs -o size=${bytes} none '${place}' && exec "$@"`,
  'sh',
]

const onUnix = process.platform === 'win32' ? test.skip : test

function onSmallDisk(title: string, body: (t: ExecutionContext, disk: string) => Promise<void>): void {
  onUnix(UNSHARE ? title : `NOT PROVED, no file system can be mounted here: ${title}`, async (t) => {
    if (!UNSHARE) {
      t.log('run as root, or where namespaces of users are allowed')
      t.pass()
      return
    }
    const disk = join(directory(t), 'disk')
    mkdirSync(disk)
    await body(t, disk)
  })
}

/** What the scripts share: writing until it fails, and comparing what is there with what was acknowledged. */
const HELPERS = `
  import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
  const tell = (value) => console.log(JSON.stringify(value))
  const text = (n) => String.fromCharCode(97 + n % 26).repeat(1000 + n * 37 % 9000)
  const acknowledged = new Set()
  let next = 0
  /** Puts until one is refused; returns the error. */
  async function fill(items, durability) {
    for (;;) {
      const id = next++
      try {
        await items.put({ id, s: text(id) }, { durability })
        acknowledged.add(id)
      } catch (error) {
        return error
      }
    }
  }
  /** Whether the store holds exactly what was acknowledged, by scan and by point reads. */
  async function isExact(items) {
    const found = await items.scan().toArray()
    const same = found.length === acknowledged.size && found.every(({ id, s }) => acknowledged.has(id) && s === text(id))
    const some = [...acknowledged].filter((_, i, all) => i % Math.ceil(all.length / 20) === 0)
    const read = await Promise.all(some.map((id) => items.get(id)))
    return same && read.every((found, i) => found?.s === text(some[i]))
  }
  async function patiently(work) {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (attempt === 200 || !error.retryable) throw error
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
    }
  }
  const ballast = path + '-ballast'
  function take(bytes) {
    const fd = openSync(ballast, 'w')
    for (let left = bytes; left > 0; left -= 65536) writeSync(fd, Buffer.alloc(Math.min(left, 65536)))
    closeSync(fd)
  }
  const free = () => rmSync(ballast)
`

/** Runs a script in a child and returns what it said. */
async function run(t: ExecutionContext, path: string, script: string, wrapper: readonly string[]): Promise<unknown[]> {
  const { code, signal, stdout, stderr } = await child(path, HELPERS + script, { wrapper }).ended
  t.deepEqual([code, signal], [0, null], `${stdout}\n${stderr}`)
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Runs of a script on a disk of 12 MB, of which a file takes 8 until it is removed. */
const FULL_DISK = (disk: string, durability: string, options: string) => `
  take(8_000_000)
  let store = await FountainStore.open(path, ${options})
  let items = store.collection('items')
  for (let round = 0; round < 3; round++) {
    const error = await fill(items, '${durability}')
    tell([error instanceof StoreError, error.code, error.retryable])
    tell([await isExact(items), items.getSync(0)?.s === text(0)])
    free()
    await patiently(() => items.put({ id: next, s: text(next) }))
    acknowledged.add(next++)
    tell(await isExact(items))
    if (round === 1) {
      await store.close()
      store = await FountainStore.open(path, ${options})
      items = store.collection('items')
      tell([store.recovery.clean, store.recovery.discarded])
    }
    take(Math.max(0, statfsSync(${JSON.stringify(disk)}).bavail * 4096 - 600_000))
  }
  // Closing while there is no space, and opening with little and then with more.
  await fill(items, '${durability}')
  tell(await store.close().then(() => 'closed', (error) => error.code))
  const opened = await FountainStore.open(path, ${options}).catch((error) => error)
  tell(opened instanceof StoreError ? opened.code : 'opened')
  if (!(opened instanceof StoreError)) await opened.close().catch(() => {})
  free()
  const last = await FountainStore.open(path, ${options})
  tell(await isExact(last.collection('items')))
  await last.collection('items').put({ id: -1, s: '' })
  await last.close()
`

for (const [durability, options] of [
  ['disk', '{}'],
  ['os', '{ memtableBytes: 65536, walSegmentBytes: 65536 }'],
  ['disk', "{ memtableBytes: 262144, walSegmentBytes: 65536, retention: 'latestOnly' }"],
] as const) {
  const title = `a full file system loses nothing, and writing goes on with space: ${durability}, ${options}`
  onSmallDisk(title, async (t, disk) => {
    const script = FULL_DISK(disk, durability, options)
    const told = await run(t, join(disk, 'store'), script, mounting(disk, 12_000_000))
    const full = [[true, 'ERR_DISK_FULL', true], [true, true], true]
    t.deepEqual(told.slice(0, 10), [...full, ...full, [true, []], ...full])
    const [closed, opened, exact] = told.slice(10)
    t.true(closed === 'closed' || closed === 'ERR_DISK_FULL', String(closed))
    t.true(opened === 'opened' || opened === 'ERR_DISK_FULL', String(opened))
    t.is(exact, true)
  })
}

onUnix('a limit on the size of files is an error that loses nothing', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    const items = store.collection('items')
    const error = await fill(items, 'os')
    tell([error instanceof StoreError, error.code, error.retryable, error.details.osError])
    tell([await isExact(items), items.getSync(0)?.s === text(0)])
    // A table of all that is in the log would be too large, too; in smaller ones there is room for it.
    await store.close().catch(() => {})
    const again = await FountainStore.open(path, { memtableBytes: 65536, walSegmentBytes: 65536 })
    tell(await isExact(again.collection('items')))
    await again.collection('items').put({ id: -1, s: '' })
    await again.close()
  `
  const told = await run(t, path, script, limit('-f 1000'))
  t.deepEqual(told, [[true, 'ERR_DISK_FULL', true, 27], [true, true], true])
})

onUnix(
  'without file descriptors calls fail with a typed error, nothing is lost, and with some all is well',
  async (t) => {
    const path = join(directory(t), 'store')
    const script = `
    const store = await FountainStore.open(path, { memtableBytes: 65536, walSegmentBytes: 65536, cacheBytes: 0, pageCacheReads: false })
    const items = store.collection('items')
    for (; next < 100; next++) {
      await items.put({ id: next, s: text(next) })
      acknowledged.add(next)
    }
    const taken = []
    const takeAll = () => {
      for (;;) {
        try {
          taken.push(openSync('/dev/null'))
        } catch (error) {
          return error.code
        }
      }
    }
    tell(takeAll())
    const errors = [await fill(items, 'disk'), await store.flush().catch((error) => error)]
    tell(errors.map((error) => [error instanceof StoreError, error.code, error.message]))
    const another = await FountainStore.open(path + '-2').catch((error) => error)
    tell([another instanceof StoreError, another.code])
    tell([await isExact(items), items.getSync(1)?.s === text(1)])
    for (const fd of taken.splice(0)) closeSync(fd)
    const later = await items.put({ id: next, s: text(next) }).catch((error) => error.code)
    if (typeof later === 'object') acknowledged.add(next)
    tell(typeof later === 'object' ? 'goes on' : later)
    tell(await store.close().then(() => 'closed', (error) => error.code))
    const again = await FountainStore.open(path)
    tell(await isExact(again.collection('items')))
    await again.collection('items').put({ id: -1, s: '' })
    await again.close()
  `
    const told = await run(t, path, script, limit('-n 60'))
    const [taken, errors, another, ...rest] = told
    t.is(taken, 'EMFILE')
    for (const [isStoreError, code, message] of errors as [boolean, string, string][]) {
      t.deepEqual([isStoreError, code], [true, 'ERR_IO'])
      t.regex(message, /cannot create .*store.*Too many open files/)
    }
    t.deepEqual(another, [true, 'ERR_IO'])
    t.deepEqual(rest, [[true, true], 'goes on', 'closed', true])
  },
)
