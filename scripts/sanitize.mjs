/**
 * `npm run sanitize -- [address | thread]`: runs the tests of the unsafe code under the sanitizers, on the stable
 * toolchain. Ends with one line per sanitizer, `<name>: N passed, N failed`.
 *
 * What always holds: each sanitizer must also report a fault that the feature `planted-memory-faults` puts into the same code;
 * if it does not, that counts as a failure, because then it would not have seen a real one either.
 *
 * ThreadSanitizer sees only what is compiled with it, and the standard library is not: a contended lock looks like no
 * lock at all. So it runs the memtable, whose readers take none; the schedules of everything that locks are proved by
 * `npm run schedules`. AddressSanitizer has no such limit and runs all tests of the crate's modules.
 */
import { join } from 'node:path'
import { inRoot } from './lib/checkout.mjs'
import { runAloud, runQuietly, say } from './lib/run.mjs'
import { cargo } from './lib/tool.mjs'
import { cargoTestTotals } from './lib/totals.mjs'

const SANITIZERS = {
  address: {
    flags: '-Zsanitizer=address',
    // More memory than there can be is an error for the caller, as it is without the sanitizer.
    env: { ASAN_OPTIONS: 'allocator_may_return_null=1' },
    tests: ['--lib', '--test', 'durability', '--test', 'history'],
    planted: { test: 'planted_use_after_free', report: /ERROR: AddressSanitizer: heap-use-after-free/ },
  },
  thread: {
    flags: '-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer',
    env: { TSAN_OPTIONS: `suppressions=${inRoot('scripts', 'tsan.supp')}` },
    tests: ['--lib', 'memtable::'],
    planted: {
      test: 'while_a_writer_inserts',
      report: /^SUMMARY: ThreadSanitizer: data race .*memtable::(record|node)::/m,
    },
  },
}

/** The triple that this toolchain builds for; naming it keeps the flags away from build scripts and macros. */
function hostTriple() {
  const { output } = runQuietly({ program: 'rustc', args: ['-vV'] })
  return /^host: (.*)$/m.exec(output)?.[1] ?? 'x86_64-unknown-linux-gnu'
}

/** The command that runs the tests chosen by `tests` under a sanitizer. */
function command(name, tests) {
  const { flags, env } = SANITIZERS[name]
  const target = ['--target', hostTriple(), '--target-dir', join('target', 'sanitize', name)]
  const test = cargo('test', '-p', 'fountain-lsm', ...target, '--no-fail-fast', ...tests)
  return { ...test, env: { ...env, RUSTC_BOOTSTRAP: '1', RUSTFLAGS: flags } }
}

/** Runs the tests that must be clean; a report makes the test program exit non-zero. */
async function clean(name) {
  const { code, output } = await runAloud(command(name, SANITIZERS[name].tests))
  const { passed, failed } = cargoTestTotals(output) ?? { passed: 0, failed: 1 }
  const silent = failed === 0 && (code !== 0 || passed === 0)
  return { passed, failed: silent ? 1 : failed }
}

/** Runs the planted fault, which must be reported. */
function planted(name) {
  const { test, report } = SANITIZERS[name].planted
  const { output } = runQuietly(command(name, ['--lib', '--features', 'planted-memory-faults', test]))
  if (report.test(output)) return { passed: 1, failed: 0 }
  console.log(`${output.trimEnd()}\nFAILED: the ${name} sanitizer did not report the planted fault`)
  return { passed: 0, failed: 1 }
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(SANITIZERS)
const unknown = names.find((name) => !Object.hasOwn(SANITIZERS, name))
if (unknown !== undefined || process.platform !== 'linux') {
  const why = unknown === undefined ? 'the sanitizers are set up for Linux only' : `no sanitizer is called ${unknown}`
  console.error(`error: ${why}\nusage: npm run sanitize -- [${Object.keys(SANITIZERS).join('] [')}]`)
  process.exit(2)
}
const lines = []
for (const name of names) {
  say(`${name} sanitizer`)
  const results = [await clean(name), planted(name)]
  const sum = (key) => results.reduce((total, result) => total + result[key], 0)
  lines.push(`${name}: ${sum('passed')} passed, ${sum('failed')} failed`)
  if (sum('failed') > 0) process.exitCode = 1
}
for (const line of lines) console.log(line)
