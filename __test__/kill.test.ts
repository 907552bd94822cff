/** Killed processes lose nothing; `npm run kills` kills more of them. */
import { join } from 'node:path'
import test from 'ava'
import { emptyTally, survive, WORKLOADS } from './kill/rounds.ts'
import { directory } from './support.js'

/** Kills of each workload. */
const KILLS = 5

for (const workload of Object.keys(WORKLOADS)) {
  test.serial(`processes killed with the workload "${workload}" lose nothing that was acknowledged`, async (t) => {
    const tally = emptyTally()
    const seed = Date.now() % 1_000_000
    await survive(join(directory(t), 'store'), workload, seed, KILLS, tally)
    t.true(tally.kills >= KILLS && tally.acknowledged > 0)
    t.log(`seed ${seed}: ${JSON.stringify(tally)}`)
  })
}
