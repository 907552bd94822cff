/** The README tells the truth: its quick start is the example file, and running that prints what the comments say. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('..', import.meta.url))
const example = join(root, 'examples', 'quick-start.mts')

/** The first TypeScript block of the README. */
function quickStart(): string {
  const block = /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(root, 'README.md'), 'utf8').replaceAll('\r\n', '\n'))
  return block?.[1] ?? ''
}

test('the quick start in the README is ten lines of code and the same as the example file', (t) => {
  const [header, ...code] = readFileSync(example, 'utf8').split(/\r?\n/)
  t.regex(header ?? '', /^\/\*\*/)
  t.is(quickStart(), code.join('\n'))
  t.is(
    quickStart()
      .split('\n')
      .filter((line) => line !== '').length,
    10,
  )
})

test('the quick start runs in an empty directory and prints what its comments promise', (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'fountainstore-readme-'))
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }))
  const args = [`--import=${import.meta.resolve('tsx')}`, example]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' })
  t.is(status, 0, stderr)
  t.deepEqual(stdout.trimEnd().split('\n'), ['Countess Lovelace', 'Alan Turing', 'Ada Lovelace'])
})
