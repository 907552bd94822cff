/** Disks that are full, files that are damaged, formats from the future: typed errors, and nothing else is lost. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { FountainStore } from '../index.mjs'
import { child, directory, fails, limit } from './support.js'

interface Item {
  id: number
  s: string
}

/** Changes one byte of the only file of a store whose name matches. Returns the file's path. */
function change(folder: string, name: RegExp, at: (size: number) => number): string {
  const matching = readdirSync(folder).filter((file) => name.test(file))
  if (matching.length !== 1) throw new Error(`${matching.length} files match ${name}`)
  const path = join(folder, matching[0] as string)
  const bytes = readFileSync(path)
  const offset = at(bytes.length)
  bytes[offset] = (bytes[offset] as number) ^ 0x40
  writeFileSync(path, bytes)
  return path
}

/** The salted CRC-32C of a preamble, docs/format.md §1.1. */
function preambleChecksum(preamble: Buffer): number {
  let crc = ~0
  for (const byte of Buffer.concat([preamble.subarray(16, 40), Buffer.alloc(8), preamble.subarray(0, 92)])) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

const onUnix = process.platform === 'win32' ? test.skip : test

onUnix('a full disk refuses the write, keeps every acknowledged one, and reads go on', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    const items = store.collection('items')
    const s = 'x'.repeat(50_000)
    let written = 0
    try {
      for (;;) {
        await items.put({ id: written, s })
        written++
      }
    } catch (error) {
      console.log(JSON.stringify([StoreError.is(error, 'ERR_DISK_FULL'), error.code, error.retryable, error.path, written]))
    }
    console.log((await items.get(0)).s.length, (await items.get(written - 1)).s.length, await items.get(written))
    process.exit(0)
  `
  // Looks like a full disk to whoever writes. The unit is 512 bytes, in some shells 1024.
  const { stdout, stderr } = await child(path, script, { wrapper: limit('-f 2048') }).ended
  const [first, second] = stdout.trim().split('\n')
  const [full, code, retryable, file, written] = JSON.parse(first ?? '[]')
  t.true(full, `${code} ${stderr}`)
  t.true(retryable)
  t.true(file.startsWith(path), file)
  t.true(written >= 20, String(written))
  t.is(second, '50000 50000 undefined')
  await using store = await FountainStore.open(path)
  const found = await store.collection<Item>('items').scan().toArray()
  t.deepEqual(
    found.map(({ id }) => id),
    [...Array(written).keys()],
  )
})

test('damage in a table is an error of the read that meets it, with file and offset, never a miss', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  const documents = Array.from({ length: 40 }, (_, id) => ({ put: { id, s: 'x'.repeat(2000) } }))
  await first.collection<Item>('items').batch(documents)
  await first.flush()
  await first.close()
  const file = change(join(path, 'tables'), /\.sst$/, () => 40_000)
  await using store = await FountainStore.open(path)
  const items = store.collection<Item>('items')
  const expected = { code: 'ERR_CORRUPT', collection: 'items', path: file, says: /at offset \d+/ } as const
  const ids = [...Array(40).keys()]
  const outcomes = await Promise.allSettled(ids.map((id) => items.get(id)))
  const damaged = ids.filter((id) => outcomes[id]?.status === 'rejected')
  t.true(damaged.length >= 1 && damaged.length <= 4, String(damaged))
  for (const key of damaged) {
    const error = await fails(t, () => items.get(key), { ...expected, key })
    t.true((error.details.offset as number) <= 40_000 && (error.details.offset as number) > 30_000)
    await fails(t, () => items.getSync(key), { ...expected, key })
  }
  await fails(t, () => items.scan().toArray(), expected)
  t.is(store.metrics().openSnapshots, 0)
})

test('damage in the middle of the log fails the open, with file and offset', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    for (let id = 0; id < 10; id++) await store.collection('items').put({ id, s: 'x'.repeat(1000) })
    process.kill(process.pid, 'SIGKILL')
  `
  await child(path, script).ended
  const file = change(join(path, 'wal'), /\.wal$/, () => 3000)
  const error = await fails(t, () => FountainStore.open(path), { code: 'ERR_CORRUPT', path: file })
  t.is(typeof error.details.offset, 'number')
})

test('a store of a newer format is refused, and nothing in it is changed', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  await first.collection('items').put({ id: 1 })
  await first.close()
  const file = join(path, readdirSync(path).find((name) => name.startsWith('MANIFEST-')) ?? '')
  const original = readFileSync(file)
  const newer = Buffer.from(original)
  newer.writeUInt32LE(2, 8) // the format version, docs/format.md §1.2
  newer.writeUInt32LE(preambleChecksum(newer), 92)
  writeFileSync(file, newer)
  await fails(t, () => FountainStore.open(path), { code: 'ERR_NEWER_FORMAT', path: file, says: /version 2/ })
  t.deepEqual(readFileSync(file), newer)
  writeFileSync(file, original)
  await using store = await FountainStore.open(path)
  t.is(store.sequence, 1)
})

onUnix('recovery after a kill says what it found', async (t) => {
  const path = join(directory(t), 'store')
  const script = `
    const store = await FountainStore.open(path)
    for (let id = 0; id < 10; id++) await store.collection('items').put({ id })
    process.kill(process.pid, 'SIGKILL')
  `
  await child(path, script).ended
  await using store = await FountainStore.open(path)
  const { created, clean, replayedCommits, replayedBytes, discarded, quarantined } = store.recovery
  t.deepEqual([created, clean, replayedCommits, discarded, quarantined], [false, false, 10, [], []])
  t.true(replayedBytes > 10 * 32)
})
