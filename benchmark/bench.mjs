/**
 * FountainStore beside what a Node developer would pick instead, through the public interface of each.
 *
 *   npm run bench -- [--quick] [--only NAMES] [--engines NAMES] [--documents N] [--rounds N] [--limit-ms MS]
 *                    [--dir PATH] [--json] [--charts]
 *   npm run bench -- --write-baseline | --check-baseline | --check-syncs
 *
 * What always holds: every suite of every engine runs in a process and a directory of its own; the engines take turns
 * within a round, each round beginning with another one; the printed numbers are medians of the rounds with the least and
 * the greatest ratio; ratios are made of rates of the same round; every answer was verified, or the suite ends with an
 * error and this program with exit code 1.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { ENGINES } from './engines/index.mjs'
import { ATTEMPTS, fallen, SHORT_RUN, writeBaseline } from './lib/baseline.mjs'
import { writeCharts } from './lib/charts.mjs'
import { benchmarkNode } from './lib/node.mjs'
import { versionOf, writePage } from './lib/page.mjs'
import { summarize, table } from './lib/report.mjs'
import { SUITES, WORKLOADS } from './lib/suites.mjs'
import { checkSyncs } from './lib/syncs.mjs'

const run = promisify(execFile)
const SUITE = fileURLToPath(new URL('lib/suite.mjs', import.meta.url))
/** A suite that takes longer than this hangs. */
const SUITE_TIMEOUT_MS = 600_000

const FULL = { documents: 200_000, rounds: 3, 'limit-ms': 2_000 }
/** Ends within 50 seconds: fewer documents, one round, and the suites that answer most. */
const QUICK = { documents: 20_000, rounds: 1, 'limit-ms': 140 }
const QUICK_SUITES = ['read', 'write', 'index', 'mixed', 'cold']

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    engines: { type: 'string' },
    documents: { type: 'string' },
    rounds: { type: 'string' },
    'limit-ms': { type: 'string' },
    dir: { type: 'string' },
    json: { type: 'boolean', default: false },
    charts: { type: 'boolean', default: false },
    'check-baseline': { type: 'boolean', default: false },
    'write-baseline': { type: 'boolean', default: false },
    'check-syncs': { type: 'boolean', default: false },
  },
})

/** The names of a comma-separated option, each checked against those that there are. */
function names(option, known) {
  if (option === undefined) return null
  const list = option.split(',').filter(Boolean)
  for (const name of list) {
    if (!known.includes(name)) throw new RangeError(`${name} is not one of ${known.join(', ')}`)
  }
  return list
}

function number(name) {
  const value = Number(options[name] ?? (options.quick ? QUICK : FULL)[name])
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} takes a whole number from 1`)
  return value
}

/** What to run, from the options. */
function plan() {
  const only = names(options.only, [...WORKLOADS, ...Object.keys(SUITES)])
  const workloads = only?.flatMap((name) => SUITES[name]?.workloads ?? [name]) ?? null
  const all = Object.entries(SUITES)
  const short = options.quick ? all.filter(([name]) => QUICK_SUITES.includes(name)) : all
  const engines = names(options.engines, Object.keys(ENGINES)) ?? Object.keys(ENGINES)
  return {
    engines,
    suites: workloads ? suitesOf(workloads) : short,
    workloads,
    documents: number('documents'),
    rounds: number('rounds'),
    limitMs: number('limit-ms'),
  }
}

/** The suites that have at least one of these workloads. */
function suitesOf(workloads) {
  return Object.entries(SUITES).filter(([, suite]) => suite.workloads.some((name) => workloads.includes(name)))
}

/** The results of one suite of one engine. */
async function runSuite(engine, [suite, { kind, share = 1 }], planned, work) {
  const dir = mkdtempSync(join(work, `${suite}-`))
  const documents = Math.max(2000, Math.round((planned.documents * share) / 1000) * 1000)
  const asked = { engine, suite, kind, documents, limitMs: planned.limitMs, dir, only: planned.workloads }
  try {
    const args = ['--no-warnings', SUITE, JSON.stringify(asked)]
    const { stdout } = await run(benchmarkNode(), args, { timeout: SUITE_TIMEOUT_MS, maxBuffer: 1 << 24 })
    return stdout.trim().split('\n').filter(Boolean).map(JSON.parse)
  } catch (error) {
    throw new Error(`${suite} of ${engine} failed: ${error.stderr?.trim() || error.message}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** What all rounds of a plan measured, a line for each round, workload and engine. */
async function measure(planned, work) {
  const lines = []
  for (let round = 0; round < planned.rounds; round++) {
    for (const suite of planned.suites) {
      // Each round begins with another engine, so that none always runs on a machine that was just at rest.
      const engines = planned.engines.map((_, at) => planned.engines[(at + round) % planned.engines.length])
      for (const engine of engines) {
        const measured = await runSuite(engine, suite, planned, work)
        lines.push(...measured.map((line) => ({ round, ...line })))
        process.stderr.write(`round ${round + 1} of ${planned.rounds}: ${suite[0]} of ${engine}\n`)
      }
    }
  }
  return lines
}

/** The plan of the short run whose ratios are stored and checked. */
function shortRun(workloads, rounds) {
  return { ...SHORT_RUN, workloads, rounds, suites: suitesOf(workloads) }
}

/** Measures, and again what fell below the baseline; the exit code. */
async function checkBaseline(work) {
  let left = SHORT_RUN.workloads
  for (let attempt = 0; attempt < ATTEMPTS && left.length > 0; attempt++) {
    left = fallen(await measure(shortRun(left, SHORT_RUN.rounds.check), work), left)
  }
  for (const workload of left) console.log(`FAILED ${workload}: below the baseline in ${ATTEMPTS} runs`)
  return left.length === 0 ? 0 : 1
}

/** Compares as planned, prints and, when asked, draws what was measured. */
async function compare(work) {
  const planned = plan()
  const summary = summarize(await measure(planned, work), planned.engines)
  if (options.json) for (const line of summary) console.log(JSON.stringify(line))
  else console.log(table(summary))
  if (!options.charts) return
  writeCharts(summary)
  writePage(summary, planned, versionOf(benchmarkNode()))
}

/** Does the one thing that was asked for; the exit code. */
async function main() {
  const work = options.dir ?? mkdtempSync(join(tmpdir(), 'fountainstore-bench-'))
  try {
    if (options['check-syncs']) return await checkSyncs(plan().engines, work)
    if (options['check-baseline']) return await checkBaseline(work)
    if (options['write-baseline']) {
      writeBaseline(await measure(shortRun(SHORT_RUN.workloads, SHORT_RUN.rounds.write), work))
      return 0
    }
    await compare(work)
    return 0
  } finally {
    if (options.dir === undefined) rmSync(work, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`error: ${error.message}`)
  process.exitCode = 1
}
