/** `npm test` sums what the runners say; these are their own words, so a wrong sum cannot hide behind a green line. */
import test from 'ava'
import { recap } from '../scripts/lib/recap.mjs'
import {
  cargoTestTotals,
  nextestTotals,
  sanitizerTotals,
  speedTotals,
  stageTotals,
  summedTotals,
  tapTotals,
} from '../scripts/lib/totals.mjs'
import { verdict } from '../scripts/lib/verdict.mjs'

test('nextest: passed, failed, timed out and not executable tests are told apart from skipped ones', (t) => {
  const green = '     Summary [   0.005s] 12 tests run: 12 passed (1 slow), 3 skipped\n'
  t.deepEqual(nextestTotals(green), { passed: 12, failed: 0 })
  const red =
    '     Summary [  60.1s] 9/20 tests run: 4 passed (1 flaky), 2 failed, 1 exec failed, 2 timed out, 5 skipped\n'
  t.deepEqual(nextestTotals(red), { passed: 4, failed: 5 })
  const one =
    '\u001b[32;1m     Summary\u001b[0m [   0.004s] \u001b[1m1\u001b[0m test run: \u001b[1m1\u001b[0m \u001b[32;1mpassed\u001b[0m, 0 skipped\n'
  t.deepEqual(nextestTotals(one), { passed: 1, failed: 0 })
})

test('cargo test: the results of all test binaries are added up', (t) => {
  const output = [
    'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s',
    'test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s',
  ].join('\n')
  t.deepEqual(cargoTestTotals(output), { passed: 7, failed: 2 })
})

test('ava: the closing lines of its TAP output count, skipped tests do not', (t) => {
  t.deepEqual(tapTotals('1..4\n# tests 4\n# pass 2\n# skip 1\n# fail 3\n'), { passed: 2, failed: 3 })
})

test('a runner that died before its summary has no totals, which is not the same as zero', (t) => {
  t.is(nextestTotals('error: could not compile `fountain-lsm`\n'), undefined)
  t.is(cargoTestTotals('error: could not compile `fountain-lsm`\n'), undefined)
  t.is(tapTotals('TAP version 13\nok 1 - one\n'), undefined)
})

test('fountain-sim: a good stage is one passed, each failure and each count below its floor one failed', (t) => {
  const output = [
    'kill                   406 processes killed in 9.5 s, 43/s, floor 12, failures 0',
    '                       209 of them while a store was being opened, floor 1',
    'crash               100000 states in 9.5 s, 10000/s, floor 1000, failures 1',
    'FAILURE        lost a key',
    '               fountain-sim replay crash/0000000000000001',
    'faults                   5 faults in 9.5 s, 1/s, floor 1000, failures 0',
    'BELOW FLOOR    faults: 5, at least 1000 were due',
    '',
  ].join('\n')
  t.deepEqual(stageTotals(output), { passed: 1, failed: 2 })
  t.is(stageTotals('error: could not compile `fountain-sim`\n'), undefined)
})

test('the measurement: a workload counts once, when it stands or when it fell in every attempt', (t) => {
  const output = [
    'ok     scan: 1.05 of lmdb; 1.22 before, at least 0.708 is wanted',
    'below  filter: 1.1 of better-sqlite3; 1.62 before, at least 1.15 is wanted',
    'below  filter: 1.0 of better-sqlite3; 1.62 before, at least 1.15 is wanted',
    'FAILED filter: below the baseline in 2 runs',
  ].join('\n')
  t.deepEqual(speedTotals(output), { passed: 1, failed: 1 })
  t.is(speedTotals('error: read of lmdb failed\n'), undefined)
})

test('the sanitizers and npm test sum up themselves', (t) => {
  t.deepEqual(sanitizerTotals('address: 178 passed, 0 failed\nthread: 9 passed, 1 failed\n'), {
    passed: 187,
    failed: 1,
  })
  t.is(sanitizerTotals('error: no such flag\n'), undefined)
  t.deepEqual(summedTotals('address: 1 passed, 0 failed\n7 passed, 2 failed\n8 passed, 0 failed\n'), {
    passed: 8,
    failed: 0,
  })
  t.is(summedTotals('npm error\n'), undefined)
})

test('a runner cannot go missing quietly', (t) => {
  const tests = { name: 'tests', totals: summedTotals }
  const lint = { name: 'lint', totals: undefined }
  t.like(verdict(tests, { code: 0, output: '3 passed, 0 failed' }), { passed: 3, failed: 0 })
  t.like(verdict(tests, { code: 1, output: '3 passed, 0 failed' }), { failed: 1 })
  t.like(verdict(tests, { code: 0, output: '0 passed, 0 failed' }), { failed: 1 })
  t.like(verdict(tests, { code: 0, output: 'killed' }), { failed: 1 })
  t.like(verdict(lint, { code: 0, output: '' }), { passed: 1, failed: 0 })
  t.like(verdict(lint, { code: 1, output: '' }), { failed: 1 })
})

test('the recap of a failed runner names what failed and why, wherever in a long log it stands', (t) => {
  const noise = Array.from({ length: 400 }, (_, at) => `ok ${at} - fine`)
  const tap = [...noise, 'not ok 401 - watch › resumes', '  ---', '    name: AssertionError', ...noise].join('\n')
  t.true(recap(tap).includes('not ok 401 - watch › resumes'))
  t.true(recap(tap).includes('    name: AssertionError'))
  t.true(recap(tap).length < 20)
  const nextest = [...noise, '        FAIL [   1.2s] fountain-lsm::ingest keeps_order', ...noise].join('\n')
  t.deepEqual(recap(nextest), ['        FAIL [   1.2s] fountain-lsm::ingest keeps_order'])
  t.deepEqual(recap(`${noise.join('\n')}\nFAILURE   crash/12`).at(-1), 'FAILURE   crash/12')
})

test('the recap of a runner without known marks is the end of its log', (t) => {
  t.deepEqual(recap('one\ntwo\n'), ['one', 'two'])
  t.is(recap(Array.from({ length: 99 }, (_, at) => String(at)).join('\n')).at(-1), '98')
})
