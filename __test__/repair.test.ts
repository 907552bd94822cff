/** Stores that do not open, through the facade and the command: what is wrong is told, what is left is saved. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test, { type ExecutionContext } from 'ava'
import { FountainStore, type Key, type VerifyReport } from '../index.mjs'
import { directory, fails, letsLoopTurn, newStore, root } from './support.js'

interface City {
  readonly id: string
  readonly people: number
}

/** A closed store with two collections in a table, and a second table with a deletion. */
async function filled(t: ExecutionContext): Promise<{ path: string; saved: string; sequence: number }> {
  const parent = directory(t)
  const path = join(parent, 'store')
  const store = await FountainStore.open(path)
  const cities = store.collection<City>('cities')
  await store.collection<City>('towns').put({ id: 'Calw', people: 24_000 })
  for (const id of ['Bonn', 'Köln', 'Ulm']) await cities.put({ id, people: id.length })
  await store.flush()
  await cities.delete('Ulm')
  await cities.put({ id: 'Bonn', people: 335_000 })
  const { sequence } = store
  await store.close()
  return { path, saved: join(parent, 'saved'), sequence }
}

/** The files of a kind, by name. */
function filesOf(store: string, folder: string): string[] {
  return readdirSync(join(store, folder))
    .sort()
    .map((name) => join(store, folder, name))
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at)
  writeFileSync(path, bytes)
}

/** Names, bytes and times of all files. */
function image(store: string): unknown[] {
  const paths = readdirSync(store, { recursive: true, encoding: 'utf8' }).sort()
  return paths.map((path) => {
    const { mtimeMs, size } = statSync(join(store, path))
    const isFile = statSync(join(store, path)).isFile()
    return [path, mtimeMs, size, isFile && readFileSync(join(store, path), 'hex')]
  })
}

const schema = JSON.parse(readFileSync(join(root, 'docs/reports.schema.json'), 'utf8'))
const isReport = new Ajv2020({ strict: true, strictTypes: false }).compile(schema)

/** Asserts that a report has the documented form, and that a report that lacks something has not. */
function documented(t: ExecutionContext, report: object): void {
  t.true(isReport(report), JSON.stringify(isReport.errors))
  for (const name of Object.keys(report)) {
    const { [name as never]: _, ...rest } = report
    t.false(isReport(rest), `without ${name}`)
  }
}

/** Runs the command in a process of its own. */
function command(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'cli/main.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
    child.on('error', reject).on('close', (code) => resolve({ code, ...output }))
  })
}

test('a sound store is sound, is copied completely, and is left as it was', async (t) => {
  const { path, saved, sequence } = await filled(t)
  const before = image(path)
  const found = await FountainStore.verify(path)
  t.like(found, { path, sequence, closedCleanly: true, sound: true, notes: [] })
  t.deepEqual(found.contents, { collections: 2, records: 3, indexEntries: 0, faults: [], moreFaults: 0 })
  documented(t, found)
  const report = await FountainStore.salvage(path, saved)
  t.like(report, { complete: true, manifestSound: true, sequence, historyFrom: 0, renamed: [], losses: [] })
  t.deepEqual([...report.collections].sort(), ['cities', 'towns'])
  documented(t, report)
  t.deepEqual(image(path), before)

  const copy = await FountainStore.open(saved, { createIfMissing: false })
  const cities = copy.collection<City>('cities')
  t.is(await cities.get('Ulm'), undefined, 'what was deleted stays deleted')
  t.is((await cities.get('Bonn'))?.people, 335_000)
  t.is((await copy.at(4).collection<City>('cities').get('Ulm'))?.people, 3, 'the past is there, too')
  await copy.close()
})

test('the key in a fault is of the documented form, and finds the record', async (t) => {
  const store = await newStore(t)
  const keyed = store.collection<{ id: Key }>('keyed')
  const keys = [
    ['a', 'a'],
    [1.5, 1.5],
    [10n, { $bigint: '10' }],
    [new Uint8Array([1, 2]), { $bytes: 'AQI=' }],
    [
      ['a', 10n],
      ['a', { $bigint: '10' }],
    ],
  ] as const satisfies [Key, unknown][]
  const path = directory(t)
  await (await FountainStore.open(path)).close()
  const sound = (await FountainStore.verify(path)) as VerifyReport
  const withKey = (key: unknown) => {
    const fault = { code: 'stray_entry', collection: 'keyed', index: 'byX', key, found: 'x' }
    return { ...sound, sound: false, contents: { ...sound.contents, faults: [fault] } }
  }
  for (const [key, reported] of keys) {
    await keyed.put({ id: key })
    documented(t, withKey(reported))
    t.deepEqual(await keyed.find({ where: { $id: reported } }).toArray(), [{ id: key }])
  }
  documented(t, withKey({ $number: '-Infinity' }))
  documented(t, withKey(null))
  for (const other of [undefined, true, { $date: 1 }, { $bigint: 10 }, { $number: '1' }, [null]]) {
    t.false(isReport(withKey(other)), JSON.stringify(other))
  }
})

test('of a damaged store the report names file, offset, collections and commits', async (t) => {
  const { path, saved } = await filled(t)
  const [first] = filesOf(path, 'tables')
  flip(first as string, 10)
  const found = await FountainStore.verify(path)
  t.false(found.sound)
  t.is(found.contents, null)
  documented(t, found)
  t.deepEqual(
    found.files.filter(({ faults }) => faults.length > 0).map((file) => [file.path, file.faults[0]?.offset]),
    [[first, 0]],
  )
  const report = await FountainStore.salvage(path, saved)
  t.false(report.complete)
  documented(t, report)
  const [loss] = report.losses
  t.like(loss, { code: 'block', path: first, offset: 0, certain: true, catalog: true })
  t.like(loss?.sequences, { first: 1, last: 4 })
  const copy = await FountainStore.open(saved, { createIfMissing: false })
  t.deepEqual(await copy.collections(), report.collections)
  await copy.close()
})

test('a document whose shape is lost is an error that names it, never one with other names', async (t) => {
  const parent = directory(t)
  const [path, saved] = [join(parent, 'store'), join(parent, 'saved')]
  // With its key, as many members as an object can have and be stored without their names.
  const wide = Object.fromEntries(Array.from({ length: 127 }, (_, n) => [`m${n}`, n]))
  const documents = [
    { id: 'wide', ...wide },
    { id: 'one', people: 1 },
    { id: 'two', people: 2 },
  ]
  const store = await FountainStore.open(path)
  for (const _table of [1, 2]) {
    for (const document of documents) await store.collection<{ id: string }>('records').put(document)
    await store.flush()
  }
  await store.close()
  rmSync(filesOf(path, 'tables')[0] as string)
  const { renamed } = await FountainStore.salvage(path, saved)
  const copy = await FountainStore.open(saved, { createIfMissing: false })
  const records = copy.collection<{ id: string }>(renamed[0] as string)
  const lost = { code: 'ERR_CORRUPT', says: /shape \d+, which is lost/ } as const
  for (const { id } of documents) await fails(t, () => records.get(id), lost)
  await fails(t, () => records.getMany(['one', 'two', 'wide']), lost)
  await fails(t, () => records.scan().toArray(), lost)
  await fails(t, () => records.find({ where: { people: 1 } } as never).toArray(), lost)
  // Shapes of the same names are new ones.
  for (const document of documents) await records.put(document)
  t.deepEqual(await records.getMany(['one', 'two', 'wide']), [documents[1], documents[2], documents[0]])
  await copy.close()
})

test('what cannot be done is a typed error', async (t) => {
  const { path, saved } = await filled(t)
  await fails(t, () => FountainStore.verify(join(path, 'nowhere')), { code: 'ERR_NOT_FOUND' })
  await fails(t, () => FountainStore.verify(5 as never), { code: 'ERR_INVALID_ARGUMENT', says: /^path must be/ })
  await fails(t, () => FountainStore.salvage(path, ''), { code: 'ERR_INVALID_ARGUMENT' })
  await fails(t, () => FountainStore.salvage(path, join(path, 'inside')), { code: 'ERR_IO' })
  const store = await FountainStore.open(path)
  await fails(t, () => FountainStore.verify(path), { code: 'ERR_LOCKED', pid: process.pid })
  await fails(t, () => FountainStore.salvage(path, saved), { code: 'ERR_LOCKED' })
  await store.close()
})

test('verification and salvage let the event loop turn', async (t) => {
  const { path, saved } = await filled(t)
  await letsLoopTurn(t, () => FountainStore.verify(path))
  let copies = 0
  await letsLoopTurn(t, () => FountainStore.salvage(path, `${saved}-${copies++}`))
})

test('the command tells by its exit code whether anything is wrong, missing, or could not be done', async (t) => {
  const { path, saved } = await filled(t)
  const sound = await command('verify', path)
  t.deepEqual([sound.code, sound.stderr], [0, ''])
  t.regex(sound.stdout, /: sound; \d+ files, \d+ bytes, 3 records in 2 collections, newest commit/)
  const copied = await command('salvage', path, saved, '--json')
  t.is(copied.code, 0, copied.stderr)
  documented(t, JSON.parse(copied.stdout))

  rmSync(filesOf(path, 'tables')[0] as string)
  const faulty = await command('verify', path, '--json')
  t.is(faulty.code, 1)
  documented(t, JSON.parse(faulty.stdout))
  t.false(JSON.parse(faulty.stdout).sound)
  rmSync(saved, { recursive: true })
  const partly = await command('salvage', path, saved)
  t.is(partly.code, 1)
  t.regex(partly.stdout, /^missing: commits 1 to 4 of /m)
  t.regex(partly.stdout, /1 loss; /)

  const there = await command('salvage', path, saved)
  t.is(there.code, 2)
  t.regex(there.stderr, /^fountainstore: ERR_IO: /)
  t.is(there.stdout, '')
  for (const wrong of [
    [],
    ['mend', path],
    ['verify'],
    ['salvage', path],
    ['verify', path, '--yaml'],
    ['verify', 'nowhere'],
  ]) {
    const { code, stdout, stderr } = await command(...wrong)
    t.is(code, 2, wrong.join(' '))
    t.is(stdout, '')
    t.not(stderr, '')
  }
  const help = await command('--help')
  t.is(help.code, 0)
  t.regex(help.stdout, /Exit codes: 0/)
  t.regex((await command('--version')).stdout, /^\d+\.\d+\.\d+/)
})
