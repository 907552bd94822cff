/**
 * What a finished runner adds to a sum of passed and failed.
 *
 * What always holds: a runner that printed no summary, ran nothing, or exited non-zero without counting a failure is
 * itself one failure, so nothing can go missing quietly.
 */

/** `reason` is there when something failed. Without `totals`, a runner counts as one, and its exit code decides. */
export function verdict({ name, totals }, { code, output }) {
  if (!totals)
    return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1, reason: `${name}: exit code ${code}` }
  const counted = totals(output)
  if (!counted) return { passed: 0, failed: 1, reason: `${name}: ended without a summary (exit code ${code})` }
  if (counted.failed > 0) return { ...counted, reason: `${name}: ${counted.failed} failed` }
  if (code !== 0) return { ...counted, failed: 1, reason: `${name}: exit code ${code} although nothing failed` }
  if (counted.passed === 0) return { passed: 0, failed: 1, reason: `${name}: ran nothing` }
  return counted
}

/** Prints why runners failed and the sum of all; true when nothing failed. */
export function conclude(verdicts) {
  const sum = (key) => verdicts.reduce((total, verdict) => total + verdict[key], 0)
  for (const { reason } of verdicts) if (reason) console.log(`FAILED ${reason}`)
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
  return sum('failed') === 0
}
