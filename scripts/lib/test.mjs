/**
 * `npm test`: builds what is stale, runs every suite and ends with one line, `N passed, N failed`, summed over all.
 */
import { buildPlanted } from './planted.mjs'
import { runAloud, say } from './run.mjs'
import { build } from './steps.mjs'
import { suites } from './suites.mjs'
import { conclude, verdict } from './verdict.mjs'

/** Runs all suites; the exit code is 0 only when nothing failed. */
export async function test() {
  build()
  buildPlanted()
  const verdicts = []
  for (const suite of suites()) {
    say(suite.name)
    verdicts.push(verdict(suite, await runAloud(suite.command)))
  }
  return conclude(verdicts) ? 0 : 1
}
