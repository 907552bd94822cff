/** The demo keeps its own promises: it survives kills, guards other people's directories and refuses bad options. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'

const main = fileURLToPath(new URL('../examples/demo/main.ts', import.meta.url))

/** The object that `--json` prints. */
interface Outcome {
  readonly ok: boolean
  readonly kills: number
  readonly acknowledged: number
  readonly survived: number
  readonly steps: readonly { readonly what: string; readonly count: number; readonly rate: number }[]
}

/** An empty directory that goes when the test ends. */
function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'fountainstore-demo-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function demo(...args: string[]) {
  return spawnSync(process.execPath, [`--import=${import.meta.resolve('tsx')}`, main, ...args], { encoding: 'utf8' })
}

test('the demo loses nothing acknowledged in three kills and can be run again over its own store', (t) => {
  const dir = directory(t)
  for (const kills of [3, 0]) {
    const { status, stdout, stderr } = demo('--dir', dir, '--limit', '3000', '--kills', String(kills), '--json')
    t.is(status, 0, stderr)
    const outcome = JSON.parse(stdout) as Outcome
    t.true(outcome.ok)
    t.is(outcome.kills, kills)
    t.true(outcome.acknowledged >= kills, 'every killed process had acknowledged something')
    t.true(outcome.survived >= outcome.acknowledged)
    t.true(outcome.steps.length >= 8)
  }
})

test('without a terminal the progress is JSON lines on stderr', (t) => {
  const { stderr } = demo('--dir', directory(t), '--limit', '2000', '--kills', '0')
  const lines = stderr.trimEnd().split('\n')
  t.true(lines.length >= 1)
  const last = JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>
  t.like(last, { phase: 'import', done: 2000, total: 2000, eta_s: 0 })
  t.is(typeof last.rate, 'number')
})

test('a directory with files that no demo made is refused and left as it is', (t) => {
  const dir = directory(t)
  writeFileSync(join(dir, 'thesis.txt'), 'the only copy')
  const { status, stderr } = demo('--dir', dir)
  t.is(status, 2)
  t.regex(stderr, /neither empty nor an earlier demo's/)
  t.deepEqual(readdirSync(dir), ['thesis.txt'])
})

for (const [args, complaint] of [
  [['--kills', 'many'], /--kills takes a whole number of at least 0, not "many"/],
  [['--limit', '0'], /--limit takes a whole number of at least 1, not "0"/],
  [['--kill', '3'], /Unknown option '--kill'/],
] as const) {
  test(`bad options are refused before anything is touched: ${args.join(' ')}`, (t) => {
    const dir = directory(t)
    const { status, stderr } = demo('--dir', dir, ...args)
    t.is(status, 2)
    t.regex(stderr, complaint)
    t.deepEqual(readdirSync(dir), [])
  })
}
