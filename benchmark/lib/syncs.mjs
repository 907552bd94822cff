/**
 * Proves that the engines that are said to be durable are: counts, with strace, the syncs that the kernel sees while each
 * puts documents one by one, with 64 in flight, and in batches. An engine that answers before its sync would show fewer
 * syncs than awaited puts.
 */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { benchmarkNode } from './node.mjs'

const run = promisify(execFile)
const PROBE = fileURLToPath(new URL('probe.mjs', import.meta.url))
const CALLS = 'fsync,fdatasync,msync,sync_file_range,pwritev2,syncfs'
const PUTS = 50

/** Prints for each engine how many syncs its puts took; the exit code. */
export async function checkSyncs(engines, work) {
  execFileSync('strace', ['-V'], { stdio: 'ignore' })
  let failed = 0
  for (const engine of engines) {
    const syncs = {}
    for (const mode of ['none', 'awaited', 'batches']) syncs[mode] = await count(engine, mode, work)
    const awaited = syncs.awaited - syncs.none
    const batches = syncs.batches - syncs.none
    const good = awaited >= PUTS && batches >= PUTS
    if (!good) failed += 1
    console.log(
      `${good ? 'ok    ' : 'FAILED'} ${engine}: ${awaited} syncs for ${PUTS} awaited puts, ${batches} for ${PUTS} batches`,
    )
  }
  return failed === 0 ? 0 : 1
}

async function count(engine, mode, work) {
  const dir = mkdtempSync(join(work, 'syncs-'))
  const trace = join(dir, 'trace')
  try {
    const probe = [benchmarkNode(), '--no-warnings', PROBE, JSON.stringify({ engine, mode, dir, puts: PUTS })]
    await run('strace', ['-f', '-qq', '-e', `trace=${CALLS}`, '-o', trace, ...probe])
    return readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => /= 0$/.test(line)).length
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
