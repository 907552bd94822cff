/**
 * The types stay cheap: a program with 60 collections of nested, array and self-recursive documents, each with a schema and
 * four indexes, compiled against the package as it is installed, is checked within six seconds, and with few instantiations.
 * Time depends on what else the machine does, so the least of some runs is judged; the count is the same everywhere.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { root } from './support.js'

const COLLECTIONS = 60
/** A quarter more than it takes today. */
const MAX_INSTANTIATIONS = 163_000
/** Of checking, without the compiler's start and its reading of libraries. */
const MAX_SECONDS = 6
/** How often it is tried on a busy machine. */
const RUNS = 5

function program(): string {
  const lines = [`import { type FountainStore, type } from 'fountainstore'`]
  for (let i = 0; i < COLLECTIONS; i++) {
    lines.push(
      `interface D${i} { id: string; a${i}: number; tags: string[]; at: Date; parent?: D${i}`,
      `  address: { city: string; geo: { lat: number; lon${i}: number } }`,
      '  lines: { sku: string; qty: number; notes?: { text: string; by: string }[] }[] }',
    )
  }
  lines.push('export async function all(store: FountainStore) {')
  for (let i = 0; i < COLLECTIONS; i++) {
    lines.push(
      `  const c${i} = store.collection('c${i}', { schema: type<D${i}>(), indexes: {`,
      `    byA: { kind: 'unique', on: 'a${i}' }, byTag: { kind: 'multi', on: 'tags[]' },`,
      `    cityAt: { kind: 'multi', on: ['address.city', 'at'] },`,
      `    byWord: { version: 1, values: (document: D${i}) => document.address.city.split(' ') } } })`,
      `  const r${i} = await c${i}.find({ where: { a${i}: { $gt: 1 }, 'address.geo.lon${i}': 3, 'lines[].notes[].by': 'x',`,
      `    lines: { $elem: { qty: { $gte: 1 } } }, $or: [{ 'tags[]': 'a' }, { 'parent.address.city': { $prefix: 'O' } }] },`,
      `    select: ['id', 'address.city', 'lines[].sku', '$seq'], orderBy: [{ path: 'at', dir: 'desc' }] }).toArray()`,
      `  void r${i}[0]?.address.city, r${i}[0]?.$seq`,
      `  void (await c${i}.byIndex('byA', ${i}))[0]?.lines, await c${i}.byIndex('byWord', 'x')`,
      `  void await c${i}.rangeIndex('cityAt', { gte: ['Oslo', new Date()] }).toArray()`,
      `  void await c${i}.find({ where: { 'tags[]': 'a' }, hint: { index: 'byTag' }, select: { omit: ['lines[].sku'] } }).first()`,
      `  await c${i}.updateWhere({ 'parent.a${i}': { $lt: 3 } }, { tags: [] })`,
      `  for await (const change of c${i}.watch({ where: { 'address.city': 'x' }, prev: true })) void change.op`,
      `  await store.transaction((tx) => tx.collection(c${i}).get('x'))`,
    )
  }
  return [...lines, '}', ''].join('\n')
}

/** A directory in which the package is installed, as far as the compiler looks at it. */
function installed(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fountainstore-types-'))
  const modules = join(directory, 'node_modules')
  const declarations = readdirSync(root)
    .filter((name) => /^index\.d\.m?ts$/.test(name))
    .concat(readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).map((name) => join('lib', name)))
    .filter((name) => /\.d\.m?ts$/.test(name))
  mkdirSync(modules)
  for (const name of [...declarations, 'package.json']) cpSync(join(root, name), join(modules, 'fountainstore', name))
  for (const name of ['@types', 'undici-types']) {
    symlinkSync(join(root, 'node_modules', name), join(modules, name), 'junction')
  }
  return directory
}

/** What the compiler says of a run. */
function compiled(directory: string, file: string): string {
  const options =
    '--noEmit --strict --target es2022 --lib es2024,esnext.disposable --module node20 --types node --skipLibCheck'
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const args = [compiler, ...options.split(' '), '--extendedDiagnostics', '--ignoreConfig', file]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: directory, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${stdout}\n${stderr}`)
  return stdout
}

test('sixty collections with schemas and indexes are checked within six seconds', (t) => {
  const directory = installed()
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'sixty.mts')
  writeFileSync(file, program())
  let [least, count] = [Number.POSITIVE_INFINITY, 0]
  for (let run = 0; run < RUNS && !(least < MAX_SECONDS); run++) {
    const said = compiled(directory, file)
    least = Math.min(least, Number(/Check time:\s+([\d.]+)s/.exec(said)?.[1]))
    count = Number(/Instantiations:\s+(\d+)/.exec(said)?.[1])
    t.log(/Check time:.*/.exec(said)?.[0], /Total time:.*/.exec(said)?.[0], `${count} instantiations`)
  }
  t.true(count > 0 && count < MAX_INSTANTIATIONS, `${count} instantiations`)
  t.true(least < MAX_SECONDS, `${least} s`)
})
