/**
 * The one entry point behind every npm script: brings a checkout up to date, then does what was asked.
 *
 *   node scripts/bootstrap.mjs build | test | demo [options] | kills [options] | bench [options] | docs | lint | format
 *
 * What always holds: it needs nothing but Node itself, so it works as the first command in a fresh clone; a step runs
 * only when the content of its inputs changed (see lib/stamp.mjs); the exit code is 0 only if everything asked was done.
 */
import { bench } from './lib/bench.mjs'
import { demo, kills } from './lib/demo.mjs'
import { docs } from './lib/docs.mjs'
import { StepError } from './lib/errors.mjs'
import { format, lint } from './lib/lint.mjs'
import { requireNode } from './lib/node-version.mjs'
import { build } from './lib/steps.mjs'
import { test } from './lib/test.mjs'

const COMMANDS = { bench, build, test, demo, kills, docs, lint, format }

/** Runs one command and returns the exit code of the process. */
async function main([name, ...args]) {
  const command = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name] : undefined
  if (!command) {
    console.error(`usage: node scripts/bootstrap.mjs <${Object.keys(COMMANDS).join('|')}>`)
    return 2
  }
  requireNode()
  return (await command(args)) ?? 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof StepError)) throw error
  console.error(`\nerror: ${error.message}`)
  process.exitCode = 1
}
