/**
 * What failed, in few lines, for the end of a long log: a reader who sees only the tail still learns the cause.
 *
 * What always holds: of a runner that failed at least one line is shown; when none of the known marks is in its output,
 * the last lines of it serve.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character.
const COLOUR = /\u001b\[[0-9;]*m/g
const MOST_MARKS = 12
const TAIL_LINES = 12

/** A line that names a failure, and how many lines after it say why. */
const MARKS = [
  { pattern: /^\s+(?:FAIL|TIMEOUT|SIGABRT|SIGSEGV) \[/, after: 0 }, // cargo-nextest
  { pattern: /^test .* \.\.\. FAILED$/, after: 0 }, // cargo test
  { pattern: /^thread '.*' .*panicked at /, after: 3 },
  { pattern: /^not ok \d+/, after: 10 }, // ava --tap
  { pattern: /^(?:FAILURE|BELOW FLOOR) /, after: 3 }, // fountain-sim
  { pattern: /^(?:WARNING|ERROR): ThreadSanitizer|^==\d+==ERROR: AddressSanitizer/, after: 6 },
  { pattern: /^error(?:\[E\d+\])?: /, after: 4 }, // rustc, cargo
]

/** The lines of a failed runner's output that name what failed and why, at most a few dozen. */
export function recap(output) {
  const lines = output.replace(COLOUR, '').trimEnd().split('\n')
  const shown = new Set()
  let marks = 0
  lines.forEach((line, at) => {
    const mark = MARKS.find(({ pattern }) => pattern.test(line))
    if (!mark || shown.has(at) || marks === MOST_MARKS) return
    marks += 1
    for (let next = at; next <= Math.min(at + mark.after, lines.length - 1); next += 1) shown.add(next)
  })
  if (marks === 0) return lines.slice(-TAIL_LINES)
  return [...shown].sort((a, b) => a - b).map((at) => lines[at])
}
