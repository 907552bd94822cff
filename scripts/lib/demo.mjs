/** `npm run demo`: builds what is stale, then hands over to the demo, with the terminal and all options passed on. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { inRoot } from './checkout.mjs'
import { build } from './steps.mjs'

export function demo(args) {
  build()
  const main = inRoot('examples', 'demo', 'main.ts')
  // By its file, since Node.js would look for a bare `tsx` in the current directory.
  const tsx = pathToFileURL(createRequire(main).resolve('tsx')).href
  return spawnSync(process.execPath, [`--import=${tsx}`, main, ...args], { stdio: 'inherit' }).status ?? 1
}
