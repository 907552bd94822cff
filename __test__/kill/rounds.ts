/**
 * Real processes, really killed: one store, and in each round a child that writes until it is killed with SIGKILL at a
 * moment of chance, often further ones that are killed while they recover, then the check.
 */
import { Expectation } from './check.ts'
import { readLedger } from './ledger.ts'
import { type Death, liveAndDie } from './process.ts'
import { random, type Script } from './script.mjs'

/** Every workload and the lanes that it writes. */
export const WORKLOADS: Readonly<Record<string, Pick<Script, 'single' | 'drops'> & { readonly lanes: number }>> = {
  single: { lanes: 1, single: true },
  many: { lanes: 1, single: true },
  batches: { lanes: 3 },
  upkeep: { lanes: 2 },
  workers: { lanes: 3 },
  reopen: { lanes: 1 },
  drops: { lanes: 1, single: true, drops: true },
  recover: { lanes: 1 },
}

/** What was done and found. */
export interface Tally {
  kills: number
  /** Of them between asking for a store and having it. */
  opening: number
  /** Of them while closing. */
  closing: number
  /** Of them with commits begun that were not acknowledged. */
  writing: number
  acknowledged: number
  /** Commits found that nobody had been told of. */
  unacknowledged: number
}

/** A tally of nothing. */
export const emptyTally = (): Tally => ({
  kills: 0,
  opening: 0,
  closing: 0,
  writing: 0,
  acknowledged: 0,
  unacknowledged: 0,
})

/** Kills `kills` children or a few more that work on the store at `path`, and checks after each round. */
export async function survive(
  path: string,
  workload: string,
  seed: number,
  kills: number,
  tally: Tally,
): Promise<void> {
  const { lanes = 1, single = false, drops = false } = WORKLOADS[workload] ?? {}
  const pick = random(seed)
  const expectation = new Expectation(path)
  const kill = async (name: string, round: number, death: Death) => {
    const ledger = readLedger(await liveAndDie({ path, workload: name, seed, round }, death))
    tally.kills++
    tally.opening += Number(ledger.state === 'opening')
    tally.closing += Number(ledger.state === 'closing')
    return ledger
  }
  const end = tally.kills + kills
  for (let round = 1; tally.kills < end; round++) {
    const ledger = await kill(workload, round, deathOfWriter(round, pick))
    const recoverers = workload === 'recover' ? 1 + pick(3) : pick(2)
    for (let n = 0; n < recoverers; n++) await kill('idle', round, { after: 'opening', ms: pick(12) })
    const scripts: Script[] = Array.from({ length: lanes }, (_, lane) => ({ seed, round, lane, single, drops }))
    const isClean = ledger.state === 'closed' && recoverers === 0
    const found = await expectation.check({ scripts, ledger, isClean }).catch((error) => {
      throw new Error(`workload ${workload}, seed ${seed}, round ${round}: ${error.message}`, { cause: error })
    })
    let acknowledged = 0
    for (const lane of ledger.lanes.values()) acknowledged += lane.acknowledged
    tally.writing += Number([...ledger.lanes.values()].some((lane) => lane.begun > lane.acknowledged))
    tally.acknowledged += acknowledged
    tally.unacknowledged += found - acknowledged
  }
}

/**
 * Some die as they start or open; the others after their first acknowledgement, as often soon as late. The first of a
 * store is one of these, so that there is always something to lose.
 */
function deathOfWriter(round: number, pick: (end: number) => number): Death {
  const kind = round === 1 ? 2 : pick(6)
  if (kind === 0) return { after: 'start', ms: pick(100) }
  if (kind === 1) return { after: 'opened', ms: pick(10) }
  const magnitude = 2 ** pick(8)
  return { after: 'acknowledged', ms: magnitude + pick(magnitude) }
}
