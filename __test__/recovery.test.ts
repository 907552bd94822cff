/** What `store.recovery` says about how a store was left, for each way in which one can be. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { FountainStore, type RecoveryReport } from '../index.mjs'
import { directory } from './support.js'

/** A store as a kill of its process after three durable writes would leave it; the first is in a table. */
async function killed(t: ExecutionContext): Promise<string> {
  const parent = directory(t)
  const image = join(parent, 'image')
  const store = await FountainStore.open(join(parent, 'live'))
  t.teardown(() => store.close())
  const cities = store.collection<{ id: string }>('cities')
  await cities.put({ id: 'Bonn' })
  await store.flush()
  await cities.put({ id: 'Köln' })
  await cities.put({ id: 'Ulm' })
  cpSync(join(parent, 'live'), image, { recursive: true })
  return image
}

/** Opens a store, counts what it holds, and closes it. */
async function opened(t: ExecutionContext, path: string): Promise<{ report: RecoveryReport; cities: string[] }> {
  const store = await FountainStore.open(path)
  const cities: string[] = []
  for await (const { id } of store.collection<{ id: string }>('cities').scan()) cities.push(id)
  await store.close()
  t.deepEqual(Object.keys(store.recovery).sort(), [
    'clean',
    'created',
    'discarded',
    'quarantined',
    'removedFiles',
    'replayedBytes',
    'replayedCommits',
  ])
  return { report: store.recovery, cities }
}

/** The only file in `folder` whose name has `part` in it. */
function only(t: ExecutionContext, folder: string, part: string): string {
  const found = readdirSync(folder).filter((name) => name.includes(part))
  t.is(found.length, 1, found.join())
  return join(folder, found[0] ?? '')
}

/** Cuts the last bytes of the last commit off a log; what a log may have behind its end is zeros. */
function tear(path: string): void {
  const bytes = readFileSync(path)
  const end = bytes.findLastIndex((byte) => byte !== 0)
  writeFileSync(path, bytes.subarray(0, end - 2))
}

test('a new store was created, a closed one is clean', async (t) => {
  const path = join(directory(t), 'store')
  const first = await opened(t, path)
  t.deepEqual(first.report, {
    created: true,
    clean: false,
    replayedCommits: 0,
    replayedBytes: 0,
    discarded: [],
    quarantined: [],
    removedFiles: 0,
  })
  const { report } = await opened(t, path)
  t.like(report, { created: false, clean: true, replayedCommits: 0, discarded: [], quarantined: [] })
})

test('after a kill commits are taken from the log', async (t) => {
  const image = await killed(t)
  const { report, cities } = await opened(t, image)
  t.like(report, { created: false, clean: false, replayedCommits: 2, discarded: [], quarantined: [] })
  t.true(report.replayedBytes > 0)
  t.deepEqual(cities, ['Bonn', 'Köln', 'Ulm'])
})

test('a commit that was cut short is gone entirely, and that is told', async (t) => {
  const image = await killed(t)
  const log = only(t, join(image, 'wal'), '.wal')
  tear(log)
  const { report, cities } = await opened(t, image)
  t.deepEqual(cities, ['Bonn', 'Köln'])
  t.is(report.replayedCommits, 1)
  const [tail, ...more] = report.discarded
  t.deepEqual(more, [])
  t.like(tail, { path: log, reason: 'an append that was cut short' })
  t.true((tail?.bytes ?? 0) > 3)
})

test('what a manifest that was cut short does not name is moved aside, and that is told', async (t) => {
  const image = await killed(t)
  const manifest = only(t, image, 'MANIFEST')
  writeFileSync(manifest, Buffer.concat([readFileSync(manifest), Buffer.from([0xe1, 0, 0, 0, 7])]))
  writeFileSync(join(image, 'tables', '000900.sst'), 'whatever')
  const { report, cities } = await opened(t, image)
  t.deepEqual(report.discarded, [{ path: manifest, bytes: 5, reason: 'an append that was cut short' }])
  t.deepEqual(report.quarantined, [join(image, 'quarantine', '000900.sst')])
  t.deepEqual(cities, ['Bonn', 'Köln', 'Ulm'])
})

test('left-overs that were removed are counted', async (t) => {
  const [plain, strewn] = [await killed(t), await killed(t)]
  for (const name of ['000900.sst', '000901.sst']) writeFileSync(join(strewn, 'tables', name), 'whatever')
  const { report } = await opened(t, plain)
  const { report: more, cities } = await opened(t, strewn)
  t.is(more.removedFiles, report.removedFiles + 2)
  t.deepEqual(cities, ['Bonn', 'Köln', 'Ulm'])
})
