/**
 * The gate before publishing: every platform package must hold its binary. `napi artifacts` only warns about a missing
 * one, and a package published without it would fail on that platform for ever.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { exists, inRoot } from './lib/checkout.mjs'

/** Smaller than any real addon; an empty or cut-off upload is caught. */
const MIN_BYTES = 100_000

const { napi } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'))
const folders = readdirSync(inRoot('npm'))
const problems = folders.flatMap((folder) => {
  const { main } = JSON.parse(readFileSync(inRoot('npm', folder, 'package.json'), 'utf8'))
  if (!exists('npm', folder, main)) return [`npm/${folder}/${main} is missing`]
  return statSync(inRoot('npm', folder, main)).size < MIN_BYTES ? [`npm/${folder}/${main} is too small`] : []
})
if (folders.length !== napi.targets.length) {
  problems.push(`${folders.length} platform packages, but package.json names ${napi.targets.length} targets`)
}

for (const problem of problems) console.error(problem)
console.log(`${folders.length} platform packages, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
