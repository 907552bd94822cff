/**
 * The ratios that were reached once, and the check that a later run reaches them, too.
 *
 * `baseline.json` holds, for each workload of `CHECKED`, our rate to that of one peer, and how far it varied from round to
 * round when it was written. What always holds: a workload has failed when its ratio is below the baseline by more than
 * that noise (or by `LEAST_TOLERANCE`, whichever is more) in each of `ATTEMPTS` runs, so that one busy moment of the
 * machine is no failure and a real loss is one every time. Durable writes are not among them: their ratios are those of
 * the disk's day.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { OURS } from '../engines/index.mjs'

const FILE = new URL('../baseline.json', import.meta.url)
/** Ratios of one machine vary by this much from run to run even where the rounds of one run agree. */
const LEAST_TOLERANCE = 0.25
/** The ratio by whose distance from the median the noise is judged: not the least, which is that of one bad moment. */
const NOISE_RANK = 1
/**
 * So often is measured before a workload has failed. A busy time lasts for several attempts: of nine runs within a quarter
 * of an hour on one state, scans had from 0.86 to 2.57 times the rate of lmdb. A real loss is one in the sixth, too.
 */
export const ATTEMPTS = 6

/** The workloads that are checked, each beside the peer that is the best at it on a machine at rest. */
export const CHECKED = {
  'get-sync': 'lmdb',
  'get-awaited': 'lmdb',
  'get-many-1000': 'lmdb',
  scan: 'lmdb',
  'scan-reverse': 'lmdb',
  'scan-select': 'lmdb',
  'scan-bounded-1000': 'lmdb',
  'scan-prefix': 'lmdb',
  'index-equal': 'better-sqlite3',
  'index-range-100': 'better-sqlite3',
  filter: 'better-sqlite3',
}

/** How a run is made whose ratios are stored or checked; writing takes more rounds, to see the noise. */
export const SHORT_RUN = {
  workloads: Object.keys(CHECKED),
  engines: [OURS, ...new Set(Object.values(CHECKED))],
  documents: 20_000,
  limitMs: 150,
  rounds: { check: 3, write: 9 },
}

/** What is wanted at least where an entry is the one that is kept. */
const bar = ({ ratio, tolerance }) => ratio * (1 - tolerance)

/** Stores the ratios of a run, but where a kept one wants more: a bar that is lowered is lowered by hand, and seen. */
export function writeBaseline(lines) {
  const stored = JSON.parse(readFileSync(FILE, 'utf8'))
  for (const workload of Object.keys(CHECKED)) {
    const ratios = ratiosOf(lines, workload)
    const ratio = median(ratios)
    const noise = 1 - ratios[NOISE_RANK] / ratio
    const reached = {
      peer: CHECKED[workload],
      ratio: Number(ratio.toPrecision(3)),
      tolerance: Number(Math.max(LEAST_TOLERANCE, noise).toPrecision(2)),
    }
    const kept = stored[workload]
    if (kept?.peer !== reached.peer || bar(reached) > bar(kept)) stored[workload] = reached
  }
  writeFileSync(FILE, `${JSON.stringify(stored, null, 2)}\n`)
}

/**
 * Prints how a run stands to the stored ratios, and gives the workloads that fell below.
 *
 * @param lines what the rounds measured
 * @param workloads those that were to be measured; one that was not counts as fallen
 */
export function fallen(lines, workloads) {
  const stored = JSON.parse(readFileSync(FILE, 'utf8'))
  return workloads.filter((workload) => {
    const { peer, ratio: before } = stored[workload] ?? {}
    if (before === undefined) {
      console.log(`FAILED ${workload}: not in the baseline`)
      return true
    }
    const ratio = median(ratiosOf(lines, workload))
    const least = bar(stored[workload])
    const good = ratio >= least
    const wanted = `${before} before, at least ${least.toPrecision(3)} is wanted`
    console.log(`${good ? 'ok    ' : 'below '} ${workload}: ${ratio.toPrecision(3)} of ${peer}; ${wanted}`)
    return !good
  })
}

const median = (sorted) => sorted[sorted.length >> 1]

/** Our rate to the peer's in each round, the least first; `[NaN]` where nothing was measured. */
function ratiosOf(lines, workload) {
  const rate = (engine, round) =>
    lines.find((line) => line.workload === workload && line.engine === engine && line.round === round)?.ops_per_s
  const rounds = [...new Set(lines.map((line) => line.round))]
  return rounds.map((round) => rate(OURS, round) / rate(CHECKED[workload], round)).sort((a, b) => a - b)
}
