/**
 * The types of queries stay cheap: a program with 60 collections of nested, array and self-recursive documents is checked
 * with few instantiations. Time depends on the machine, so it is told and not judged; the count is the same everywhere.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { root } from './support.js'

const COLLECTIONS = 60
/** About twice what it takes today. */
const MAX_INSTANTIATIONS = 250_000

function program(): string {
  const lines = [`import { FountainStore } from '../index.mjs'`]
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

test('sixty collections are checked with few instantiations', (t) => {
  const directory = mkdtempSync(join(root, '.types-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'sixty.ts')
  writeFileSync(file, program())
  const options =
    '--noEmit --strict --target es2022 --lib es2024,esnext.disposable --module node20 --types node --skipLibCheck'
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const args = [compiler, ...options.split(' '), '--extendedDiagnostics', '--ignoreConfig', file]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  t.is(status, 0, stdout)
  const count = Number(/Instantiations:\s+(\d+)/.exec(stdout)?.[1])
  t.log(/Total time:.*/.exec(stdout)?.[0], `${count} instantiations`)
  t.true(count > 0 && count < MAX_INSTANTIATIONS, `${count} instantiations`)
})
