/**
 * The ratios that were reached once, and the check that a later run reaches them, too.
 *
 * `baseline.json` holds for each workload of the short run the ratio to the best peer, and how far it varied from round to
 * round when it was written. A run fails when a ratio is below the baseline by more than that, or by a third, whichever is
 * more. The third is a guess that is to be judged by the first baseline.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { OURS } from '../engines/index.mjs'

const FILE = new URL('../baseline.json', import.meta.url)
const LEAST_TOLERANCE = 1 / 3

/** Stores the ratios of a run. */
export function writeBaseline(summary) {
  const ratios = {}
  for (const { workload, ratio_to_best_peer: ratio, ratio_least: least } of ours(summary)) {
    const noise = 1 - least / ratio
    ratios[workload] = {
      ratio: Number(ratio.toPrecision(3)),
      tolerance: Number(Math.max(LEAST_TOLERANCE, noise).toPrecision(2)),
    }
  }
  writeFileSync(FILE, `${JSON.stringify(ratios, null, 2)}\n`)
}

/** Prints how a run stands to the stored ratios; the exit code. */
export function checkBaseline(summary) {
  const stored = JSON.parse(readFileSync(FILE, 'utf8'))
  let failed = 0
  for (const { workload, ratio_to_best_peer: ratio } of ours(summary)) {
    if (stored[workload] === undefined) continue
    const { ratio: before, tolerance } = stored[workload]
    const good = ratio >= before * (1 - tolerance)
    if (!good) failed += 1
    console.log(`${good ? 'ok    ' : 'FAILED'} ${workload}: ${ratio.toPrecision(3)} of the best peer, ${before} before`)
  }
  const missing = Object.keys(stored).filter((workload) => !ours(summary).some((line) => line.workload === workload))
  for (const workload of missing) console.log(`FAILED ${workload}: not measured`)
  return failed + missing.length === 0 ? 0 : 1
}

const ours = (summary) => summary.filter(({ engine, ratio_to_best_peer: ratio }) => engine === OURS && ratio !== null)
