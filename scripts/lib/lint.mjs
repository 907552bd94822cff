/** `npm run lint` and `npm run format`: every check of form that a machine can make, each reported on its own line. */
import { inRoot } from './checkout.mjs'
import { runQuietly } from './run.mjs'
import { build } from './steps.mjs'
import { cargo, nodeTool } from './tool.mjs'

const CHECKS = () => [
  ['rustfmt', cargo('fmt', '--all', '--check')],
  ['clippy', cargo('clippy', '--workspace', '--all-targets', '--', '-D', 'warnings')],
  ['biome', nodeTool('biome', 'ci', '--colors=off', '--diagnostic-level=warn', '--error-on-warnings', '.')],
  ['types', nodeTool('tsc', '-p', 'tsconfig.check.json')],
  ['tidy', { program: process.execPath, args: [inRoot('scripts', 'tidy.mjs')] }],
  ['publint', nodeTool('publint', '--strict')],
  ['attw', nodeTool('attw', '--pack', '.')],
]

/** Runs all checks, also after one failed, and shows the output of those that did. */
export function lint() {
  build()
  let failed = 0
  for (const [name, command] of CHECKS()) {
    const started = performance.now()
    const { code, output } = runQuietly(command)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
    if (code === 0) continue
    failed += 1
    console.log(output.trimEnd())
  }
  return failed === 0 ? 0 : 1
}

/** Rewrites all sources in the one format. */
export function format() {
  build()
  const results = [cargo('fmt', '--all'), nodeTool('biome', 'check', '--write', '.')].map(runQuietly)
  for (const { code, output } of results) if (code !== 0) console.log(output.trimEnd())
  return results.every(({ code }) => code === 0) ? 0 : 1
}
