/**
 * Reads how many tests passed and failed from what a test runner printed.
 *
 * Each reader returns undefined when the runner's own summary is not there, so that a runner which died before its end
 * is told apart from one which ran nothing. A skipped or ignored test counts as neither.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character.
const COLOUR = /\u001b\[[0-9;]*m/g

const plain = (output) => output.replace(COLOUR, '')

const count = (text, pattern) => Number(pattern.exec(text)?.[1] ?? 0)

/** cargo-nextest: `Summary [ 0.1s] 5 tests run: 3 passed, 1 failed, 1 timed out, 0 skipped`. */
export function nextestTotals(output) {
  const summary = /^\s*Summary \[.*\] .*tests? run:(.*)$/m.exec(plain(output))?.[1]
  if (summary === undefined) return undefined
  const bad = [/(\d+) failed/, /(\d+) timed out/, /(\d+) exec failed/]
  // "exec failed" also ends in "failed"; the first pattern needs the number right before it, so nothing counts twice.
  return { passed: count(summary, /(\d+) passed/), failed: bad.reduce((sum, kind) => sum + count(summary, kind), 0) }
}

/** cargo test: one `test result: ok. 3 passed; 0 failed; …` line for every test binary. */
export function cargoTestTotals(output) {
  const lines = [...plain(output).matchAll(/^test result: .*? (\d+) passed; (\d+) failed;/gm)]
  if (lines.length === 0) return undefined
  return {
    passed: lines.reduce((sum, line) => sum + Number(line[1]), 0),
    failed: lines.reduce((sum, line) => sum + Number(line[2]), 0),
  }
}

/** ava --tap: closing comment lines `# pass 3` and `# fail 1`; crashes and unfinished files count as failures there. */
export function tapTotals(output) {
  const text = plain(output)
  if (!/^# tests \d+$/m.test(text)) return undefined
  return { passed: count(text, /^# pass (\d+)$/m), failed: count(text, /^# fail (\d+)$/m) }
}

/** `npm test`: its own last line, `3 passed, 0 failed`. */
export function summedTotals(output) {
  const line = [...plain(output).matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1)
  return line && { passed: Number(line[1]), failed: Number(line[2]) }
}

/** `npm run sanitize`: one line for each sanitizer, `thread: 3 passed, 0 failed`. */
export function sanitizerTotals(output) {
  const lines = [...plain(output).matchAll(/^(?:address|thread): (\d+) passed, (\d+) failed$/gm)]
  if (lines.length === 0) return undefined
  return {
    passed: lines.reduce((sum, line) => sum + Number(line[1]), 0),
    failed: lines.reduce((sum, line) => sum + Number(line[2]), 0),
  }
}

/**
 * fountain-sim: a line for each stage, followed by its failures and by counts below their floors. A stage without any
 * counts as passed; each failure and each low count as failed.
 */
export function stageTotals(output) {
  const parts = plain(output).split(/^(?=\S+ +\d+ .* failures \d+$)/m)
  const stages = parts.filter((part) => /^\S+ +\d+ .* failures \d+$/m.test(part.split('\n', 1)[0]))
  if (stages.length === 0) return undefined
  const faults = [...plain(output).matchAll(/^(FAILURE|BELOW FLOOR) /gm)].length
  const good = stages.filter((stage) => !/^(FAILURE|BELOW FLOOR) /m.test(stage)).length
  return { passed: good, failed: faults }
}

/** `npm run bench -- --check-baseline`: `ok` for each workload that stands, `FAILED` for each that fell in every attempt. */
export function speedTotals(output) {
  const text = plain(output)
  const passed = [...text.matchAll(/^ok +\S+: .* of .*$/gm)].length
  const failed = [...text.matchAll(/^FAILED \S+: /gm)].length
  return passed + failed === 0 ? undefined : { passed, failed }
}
