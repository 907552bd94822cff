/**
 * That syncs really happen, seen from outside: the kernel's own record of what the process asked for. Needs `strace`;
 * without it, or where tracing is not allowed, the tests say loudly that they proved nothing.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { directory, root } from './support.js'

const STRACE = ['-f', '-y', '-e', 'trace=fsync,fdatasync']
const available = spawnSync('strace', [...STRACE, '-o', '/dev/null', 'true']).status === 0

/** Syncs of log files while `body` runs with an open collection `items`, one of `store`; opening and closing left out. */
function walSyncs(t: ExecutionContext, body: string): number {
  const dir = directory(t)
  const record = join(dir, 'strace.out')
  const program = `
    import { fsyncSync, openSync } from 'node:fs'
    import { FountainStore } from ${JSON.stringify(join(root, 'index.mjs'))}
    const store = await FountainStore.open(${JSON.stringify(join(dir, 'store'))})
    const items = store.collection('items')
    const mark = openSync(${JSON.stringify(join(dir, 'mark'))}, 'w')
    fsyncSync(mark)
    ${body}
    fsyncSync(mark)
    await store.close()`
  const node = [process.execPath, '--input-type=module', '-e', program]
  const run = spawnSync('strace', [...STRACE, '-o', record, ...node], { encoding: 'utf8' })
  t.is(run.status, 0, run.stderr)
  const [, between = ''] = readFileSync(record, 'utf8').split(/^.*sync\(\d+<[^>]*\/mark>.*$/m)
  return between.split('\n').filter((line) => /sync\(\d+<[^>]*\.wal>/.test(line)).length
}

function tracing(title: string, body: (t: ExecutionContext) => void): void {
  test(available ? title : `NOT PROVED, strace is missing: ${title}`, (t) => {
    if (available) return body(t)
    t.log('install strace to run this test; the counters of metrics() are all that vouches for the syncs here')
    t.pass()
  })
}

tracing('every durable put that is awaited by itself syncs the log', (t) => {
  t.is(walSyncs(t, 'for (let id = 0; id < 5; id++) await items.put({ id })'), 5)
})

tracing('a thousand durable puts in one tick share few syncs', (t) => {
  const syncs = walSyncs(t, 'await Promise.all(Array.from({ length: 1000 }, (_, id) => items.put({ id })))')
  t.true(syncs >= 1 && syncs <= 3, `${syncs} syncs`)
})

tracing('puts for the operating system only do not sync', (t) => {
  t.is(walSyncs(t, "for (let id = 0; id < 5; id++) await items.put({ id }, { durability: 'os' })"), 0)
})
