/** The test suites: how each is run and how its totals are read. */
import { readFileSync } from 'node:fs'
import { filesBelow, inRoot } from './checkout.mjs'
import { cargo, nodeTool, works } from './tool.mjs'
import { cargoTestTotals, nextestTotals, tapTotals } from './totals.mjs'

/** Unit and integration tests of all crates, with cargo-nextest when it is installed. */
function rustSuite() {
  if (works(cargo('nextest', '--version'))) {
    const command = cargo('nextest', 'run', '--workspace', '--no-fail-fast')
    return { name: 'Rust tests (nextest)', command, totals: nextestTotals }
  }
  const command = cargo('test', '--workspace', '--no-fail-fast', '--lib', '--bins', '--tests')
  return { name: 'Rust tests (cargo test)', command, totals: cargoTestTotals }
}

/** True when some doc comment holds a code block that rustdoc would compile; it cannot for the addon, a cdylib. */
function hasDocTests() {
  const sources = filesBelow('crates', (path) => /^crates\/(?!node\/)[^/]+\/src\/.*\.rs$/.test(path))
  return sources.some((path) => opensRustBlock(readFileSync(inRoot(path), 'utf8')))
}

/** Fences come in pairs; only an opening one can start a test, and only without a tag or with rustdoc's own tags. */
function opensRustBlock(source) {
  const fences = [...source.matchAll(/^\s*\/\/[/!]\s*```(.*)$/gm)].map((match) => match[1].trim())
  const opening = fences.filter((_, index) => index % 2 === 0)
  return opening.some((tag) => /^(rust|should_panic|no_run|compile_fail)?$/.test(tag))
}

/** The suites in the order in which they run: the cheap proof of the lowest layer first. */
export function suites() {
  const found = [rustSuite()]
  if (hasDocTests()) {
    found.push({ name: 'Rust doc tests', command: cargo('test', '--workspace', '--doc'), totals: cargoTestTotals })
  }
  found.push({ name: 'ava tests', command: nodeTool('ava', '--tap'), totals: tapTotals })
  found.push({ name: 'type tests', command: nodeTool('tsc', '-p', 'tsconfig.check.json'), totals: undefined })
  return found
}
