/**
 * The whole proof, which `.ci/run` starts: tests, schedules, decoders, tables in Zstandard, stages of proof, sanitizers,
 * lint, API pages, the demo with three kills, and a short measurement beside two peers. Ends with one line,
 * `N passed, N failed`, summed over all of them.
 *
 * What always holds: everything is run, also after something failed, and each prints how long it took; what failed is
 * said once more at the end, so that the tail of the log names the cause. The stages get
 * FOUNTAINSTORE_STAGES_SECONDS (default 200); a stage that found a failure or did less than its floor has failed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { recap } from './lib/recap.mjs'
import { runAloud, say } from './lib/run.mjs'
import { cargo, npm } from './lib/tool.mjs'
import { cargoTestTotals, sanitizerTotals, speedTotals, stageTotals, summedTotals } from './lib/totals.mjs'
import { conclude, verdict } from './lib/verdict.mjs'

// Nothing is compiled twice here, so what lets cargo compile a change faster would only fill the disk.
process.env.CARGO_INCREMENTAL ??= '0'

const STAGES_SECONDS = process.env.FOUNTAINSTORE_STAGES_SECONDS ?? '200'

const work = mkdtempSync(join(tmpdir(), 'fountainstore-proof-'))
const script = (name, ...args) => npm('run', '--silent', name, ...(args.length > 0 ? ['--', ...args] : []))
const stages = cargo('run', '--release', '-p', 'fountain-sim', '--', 'ci', '--budget-seconds', STAGES_SECONDS)

const PARTS = [
  { name: 'tests', command: script('test'), totals: summedTotals },
  { name: 'schedules', command: script('schedules'), totals: cargoTestTotals },
  { name: 'decoders', command: script('decoders'), totals: cargoTestTotals },
  { name: 'zstd', command: script('zstd'), totals: cargoTestTotals },
  { name: 'stages', command: stages, totals: stageTotals },
  { name: 'lint', command: script('lint') },
  { name: 'docs', command: script('docs') },
  { name: 'demo with three kills', command: script('demo', '--dir', join(work, 'demo'), '--kills', '3') },
]
// The sanitizers are set up for Linux only; on other systems the hosted workflow runs everything else.
if (process.platform === 'linux')
  PARTS.splice(5, 0, { name: 'sanitizers', command: script('sanitize'), totals: sanitizerTotals })
// The stored ratios are those of this kind of machine.
if (process.platform === 'linux' && process.arch === 'x64')
  PARTS.push({ name: 'speed', command: script('bench', '--check-baseline'), totals: speedTotals })

const verdicts = []
const durations = []
const failures = []
for (const part of PARTS) {
  say(part.name)
  const started = performance.now()
  const result = await runAloud(part.command)
  const judged = verdict(part, result)
  verdicts.push(judged)
  if (judged.failed > 0) failures.push(`--- ${part.name} ---`, ...recap(result.output))
  durations.push(`${part.name} ${((performance.now() - started) / 1000).toFixed(0)} s`)
}
rmSync(work, { recursive: true, force: true })
for (const line of failures) console.log(line)
console.log(`took: ${durations.join(', ')}`)
process.exitCode = conclude(verdicts) ? 0 : 1
