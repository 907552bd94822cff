/**
 * The proof that a resolved promise is the truth: a child process writes, is killed with SIGKILL at a random moment in
 * mid-write, and the store is opened again and searched for everything the child had been promised.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { FountainStore } from '../../index.mjs'
import { type Entry, entry, JOURNAL } from './journal.ts'
import { promised, promisedEqual } from './promise.ts'
import type { Report } from './report.ts'

/** The kill comes this long after the first acknowledged write, at random in between. */
const SHORTEST_LIFE_MS = 20
const LONGEST_LIFE_MS = 400
/** A child that acknowledges nothing for this long is broken. */
const PATIENCE_MS = 60_000
const CHILD = fileURLToPath(new URL('crash-child.ts', import.meta.url))

/** Kills `kills` writers, one after the other, and checks the store after each. The store must be closed. */
export async function surviveKills(path: string, kills: number, report: Report): Promise<void> {
  let acknowledged = 0
  let survived = 0
  const started = performance.now()
  for (let round = 1; round <= kills; round += 1) {
    const numbers = await writeAndKill(path, survived + 1)
    const found = await check(path, survived, numbers)
    report.tell(
      `  kill ${round}: ${numbers.length} writes acknowledged, ${found - survived} found, ` +
        `${found - survived - numbers.length} of them not yet acknowledged when the process died`,
    )
    acknowledged += numbers.length
    survived = found
  }
  report.add('processes killed in mid-write, store reopened and checked', kills, performance.now() - started)
  report.fact('kills', kills)
  report.fact('acknowledged', acknowledged)
  report.fact('survived', survived)
  if (kills > 0) report.tell(`  ${acknowledged} writes were acknowledged before ${kills} kills; none was lost`)
}

/** Starts a writer at number `first`, kills it at a random moment, and returns the numbers it had acknowledged. */
function writeAndKill(path: string, first: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    // The same options of Node.js as ours, so the child reads TypeScript the way we do.
    const args = [...process.execArgv, CHILD, path, String(first)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let acknowledged = ''
    let complaint = ''
    let timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
    child.stdout.once('data', () => {
      clearTimeout(timer)
      const life = SHORTEST_LIFE_MS + Math.random() * (LONGEST_LIFE_MS - SHORTEST_LIFE_MS)
      timer = setTimeout(() => child.kill('SIGKILL'), life)
    })
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      acknowledged += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      complaint += chunk
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (wasKilled(code, signal) && acknowledged !== '') resolve(completeLines(acknowledged))
      else
        reject(new Error(`the writing process was not killed in mid-write: exit code ${code}, ${signal}\n${complaint}`))
    })
  })
}

/** Windows has no signals: there a killed process shows as exit code 1 or as the name of the signal asked for. */
function wasKilled(code: number | null, signal: NodeJS.Signals | null): boolean {
  return signal === 'SIGKILL' || (process.platform === 'win32' && code === 1)
}

/** The numbers on all complete lines; a line cut off by the kill was not acknowledged. */
function completeLines(text: string): number[] {
  return text.split('\n').slice(0, -1).map(Number)
}

/**
 * Opens the store after a kill and proves: what is there is 1, 2, 3 … without a gap and with the right content, nothing
 * that was there before is gone, and every acknowledged number is among them. Returns how many entries there are.
 */
async function check(path: string, before: number, acknowledged: readonly number[]): Promise<number> {
  const store = await FountainStore.open(path)
  try {
    let found = 0
    for await (const stored of store.collection<Entry>(JOURNAL).scan()) {
      found += 1
      promisedEqual('after a crash the writes are a prefix without gaps, each whole', stored, entry(found))
    }
    promised('what survived one crash survives the next', found >= before, () => `${found} entries, before ${before}`)
    for (const id of acknowledged) {
      promised('a write that resolved survives a crash', id <= found, () => `entry ${id} was acknowledged and is gone`)
    }
    return found
  } finally {
    await store.close()
  }
}
