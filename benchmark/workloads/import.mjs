/** How long the package takes to be imported, in a fresh process each time. */
import { execFileSync } from 'node:child_process'

const PACKAGES = {
  fountain: '../../index.mjs',
  lmdb: 'lmdb',
  'classic-level': 'classic-level',
  'better-sqlite3': 'better-sqlite3',
  'node:sqlite': 'node:sqlite',
  rocksdb: '@nxtedition/rocksdb',
}
const TIMES = 7

export async function run({ engine, report }) {
  const from = new URL('.', import.meta.url)
  const script = `
    const start = performance.now()
    await import(${JSON.stringify(engine === 'fountain' ? new URL(PACKAGES.fountain, from).href : PACKAGES[engine])})
    console.log(performance.now() - start)`
  const took = []
  for (let n = 0; n < TIMES; n++) {
    const args = ['--no-warnings', '--input-type=module', '-e', script]
    took.push(Number(execFileSync(process.execPath, args, { cwd: from, encoding: 'utf8' })))
  }
  took.sort((a, b) => a - b)
  const median = took[TIMES >> 1]
  report('import', {
    ops_per_s: 1000 / median,
    p50_us: median * 1000,
    p99_us: took.at(-1) * 1000,
    loop_delay_p99_ms: null,
  })
}
