/** `npm run demo`: builds what is stale, then hands over to the demo, with the terminal and all options passed on. */
import { spawnSync } from 'node:child_process'
import { inRoot } from './checkout.mjs'
import { build } from './steps.mjs'

export function demo(args) {
  build()
  const main = inRoot('examples', 'demo', 'main.ts')
  return spawnSync(process.execPath, ['--import=tsx', main, ...args], { stdio: 'inherit' }).status ?? 1
}
