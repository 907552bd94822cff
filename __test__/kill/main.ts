/**
 * `npm run kills -- [--kills N] [--seed S] [--workload NAME]`: kills at least N processes (default 500), spread over all
 * workloads or of one, two at a time, and says what was found. Exits with 1 at the first broken promise.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { emptyTally, survive, WORKLOADS } from './rounds.ts'

/** Kills in the life of one store. */
const KILLS_PER_STORE = 12

const { values } = parseArgs({
  options: { kills: { type: 'string' }, seed: { type: 'string' }, workload: { type: 'string' } },
})
const kills = Number(values.kills ?? 500)
const workloads = values.workload === undefined ? Object.keys(WORKLOADS) : [values.workload]
const unknown = workloads.find((name) => !Object.hasOwn(WORKLOADS, name))
if (unknown !== undefined || !(kills > 0)) {
  console.error(`usage: npm run kills -- [--kills N] [--seed S] [--workload ${Object.keys(WORKLOADS).join(' | ')}]`)
  process.exit(2)
}
const tally = emptyTally()
let next = Number(values.seed ?? Date.now() % 1_000_000)
console.log(`from seed ${next}`)

async function work(): Promise<void> {
  while (tally.kills < kills) {
    const seed = next++
    const folder = mkdtempSync(join(tmpdir(), 'fountainstore-kills-'))
    const own = emptyTally()
    try {
      await survive(join(folder, 'store'), workloads[seed % workloads.length] as string, seed, KILLS_PER_STORE, own)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    for (const key of Object.keys(own) as (keyof typeof own)[]) tally[key] += own[key]
  }
}

const started = performance.now()
await Promise.all([work(), work()])
const seconds = (performance.now() - started) / 1000
console.log(
  `${tally.kills} processes killed in ${seconds.toFixed(0)} s: ${tally.opening} while opening, ${tally.closing} while ` +
    `closing, ${tally.writing} with writes under way; ${tally.acknowledged} commits were acknowledged and all are there, ` +
    `with ${tally.unacknowledged} that nobody had been told of`,
)
