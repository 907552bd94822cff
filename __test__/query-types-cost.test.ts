/**
 * The types stay cheap: a program with 60 collections of nested, array and self-recursive documents, compiled against the
 * package as it is installed, is checked with few instantiations. Time depends on the machine and what else it does, so it
 * is told and not judged; the count is the same everywhere.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { root } from './support.js'

const COLLECTIONS = 60
/** A quarter more than it takes today. */
const MAX_INSTANTIATIONS = 110_000

function program(): string {
  const lines = [`import type { FountainStore } from 'fountainstore'`]
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
      `  const c${i} = store.collection<D${i}>('c${i}')`,
      `  const r${i} = await c${i}.find({ where: { a${i}: { $gt: 1 }, 'address.geo.lon${i}': 3, 'lines[].notes[].by': 'x',`,
      `    lines: { $elem: { qty: { $gte: 1 } } }, $or: [{ 'tags[]': 'a' }, { 'parent.address.city': { $prefix: 'O' } }] },`,
      `    select: ['id', 'address.city', 'lines[].sku'], orderBy: [{ path: 'at', dir: 'desc' }] }).toArray()`,
      `  void r${i}[0]?.address.city`,
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

test('sixty collections are checked with few instantiations', (t) => {
  const directory = installed()
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'sixty.mts')
  writeFileSync(file, program())
  const options =
    '--noEmit --strict --target es2022 --lib es2024,esnext.disposable --module node20 --types node --skipLibCheck'
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const args = [compiler, ...options.split(' '), '--extendedDiagnostics', '--ignoreConfig', file]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: directory, encoding: 'utf8' })
  t.is(status, 0, stdout)
  const count = Number(/Instantiations:\s+(\d+)/.exec(stdout)?.[1])
  t.log(/Check time:.*/.exec(stdout)?.[0], /Total time:.*/.exec(stdout)?.[0], `${count} instantiations`)
  t.true(count > 0 && count < MAX_INSTANTIATIONS, `${count} instantiations`)
})
