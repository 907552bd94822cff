/**
 * The checks of taste that a machine can make: short files, a header comment in every source file, nothing left open,
 * no path of somebody's machine. Prints each finding as `path:line: what` and exits 1 if there is one.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { inRoot, ROOT } from './lib/checkout.mjs'

const MAX_LINES = 600
const SHORT = /^(crates|lib|cli|scripts|examples)\/|^index\.ts$/
const SOURCE = /\.(rs|ts|mts|mjs|cjs)$/
const TEXT = /\.(rs|ts|mts|mjs|cjs|js|json|md|toml|yml|yaml)$|^\.ci\/run$/
const GENERATED = /(^|\/)(package-lock\.json|Cargo\.lock)$|\.d\.m?ts$/
const HEADER = /^(#![^\n]*\n)?\s*(\/\/|\/\*)/

// Put together from parts, so that this file does not find itself.
const LEFT_OPEN = new RegExp(`\\b(${['TO', 'FIX', 'X'].map((head, i) => head + ['DO', 'ME', 'XX'][i]).join('|')})\\b`)
const MACHINE_PATH = new RegExp(`(^|[\\s"'\`(=:])/(${['work', 'root', 'farm', 'home'].join('|')})/`)

/** Every file that git tracks or would add. */
function files() {
  const { status, stdout } = spawnSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error('tidy needs a git checkout')
  return stdout.split('\0').filter((path) => path !== '' && !GENERATED.test(path))
}

/** All findings in one file, as `path:line: what`. */
function findings(path) {
  const text = readFileSync(inRoot(path), 'utf8')
  const lines = text.split('\n')
  const found = []
  const length = text.endsWith('\n') ? lines.length - 1 : lines.length
  if (SHORT.test(path) && SOURCE.test(path) && length > MAX_LINES)
    found.push(`${path}:1: ${length} lines, at most ${MAX_LINES}`)
  if (SOURCE.test(path) && !HEADER.test(text)) found.push(`${path}:1: no header comment that says what the file is`)
  lines.forEach((line, index) => {
    if (LEFT_OPEN.test(line)) found.push(`${path}:${index + 1}: something left open: ${line.trim()}`)
    if (MACHINE_PATH.test(line)) found.push(`${path}:${index + 1}: path of one machine: ${line.trim()}`)
  })
  return found
}

/** A file that is deleted but still tracked is nobody's problem here. */
function isReadable(path) {
  try {
    readFileSync(inRoot(path))
    return true
  } catch {
    return false
  }
}

const all = files()
  .filter((path) => TEXT.test(path) && isReadable(path))
  .flatMap(findings)
for (const finding of all) console.log(finding)
console.log(`tidy: ${all.length} findings`)
process.exitCode = all.length === 0 ? 0 : 1
