/**
 * The addon once more, with panics on request (`planted-panics` in crates/node), for the one test file that proves what
 * a panic does. A debug build: it shares everything but the addon itself with the Rust tests.
 */
import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { inRoot } from './checkout.mjs'
import { must, runQuietly, say } from './run.mjs'
import { cargo, works } from './tool.mjs'

/** Where the test looks for it. */
export const PLANTED = join('.bootstrap', 'planted-panics.node')

/** Builds it, if there is a Rust toolchain; without one the test says that it proved nothing. */
export function buildPlanted() {
  if (!works(cargo('--version'))) return
  say('building the addon with panics on request, for the tests')
  const build = cargo('build', '-p', 'fountain-node', '--features', 'planted-panics', '--message-format=json')
  must('cargo build', build)
  mkdirSync(dirname(inRoot(PLANTED)), { recursive: true })
  copyFileSync(artifact(runQuietly(build).output), inRoot(PLANTED))
}

/** The library that cargo says it built; where that lies is cargo's affair. */
function artifact(messages) {
  const lines = messages.split('\n').filter((line) => line.startsWith('{'))
  const built = lines.map((line) => JSON.parse(line)).find((message) => message.target?.name === 'fountain_node')
  return built.filenames.find((name) => /\.(so|dylib|dll)$/.test(name))
}
