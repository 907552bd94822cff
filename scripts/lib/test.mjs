/**
 * `npm test`: builds what is stale, runs every suite and ends with one line, `N passed, N failed`, summed over all.
 *
 * What always holds: a suite that printed no summary, ran no test, or exited non-zero without counting a failure is
 * itself one failure, so nothing can go missing quietly.
 */
import { runAloud, say } from './run.mjs'
import { build } from './steps.mjs'
import { suites } from './suites.mjs'

/** What a finished suite adds to the sum, and why if that is more than its runner counted. */
function verdict({ name, totals }, { code, output }) {
  if (!totals)
    return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1, reason: `${name}: exit code ${code}` }
  const counted = totals(output)
  if (!counted) return { passed: 0, failed: 1, reason: `${name}: ended without a summary (exit code ${code})` }
  if (counted.failed > 0) return { ...counted, reason: `${name}: ${counted.failed} failed` }
  if (code !== 0) return { ...counted, failed: 1, reason: `${name}: exit code ${code} although no test failed` }
  if (counted.passed === 0) return { passed: 0, failed: 1, reason: `${name}: ran no test` }
  return counted
}

/** Runs all suites; the exit code is 0 only when nothing failed. */
export async function test() {
  build()
  const sum = { passed: 0, failed: 0 }
  const reasons = []
  for (const suite of suites()) {
    say(suite.name)
    const { passed, failed, reason } = verdict(suite, await runAloud(suite.command))
    sum.passed += passed
    sum.failed += failed
    if (reason) reasons.push(reason)
  }
  for (const reason of reasons) console.log(`FAILED ${reason}`)
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  return sum.failed === 0 ? 0 : 1
}
