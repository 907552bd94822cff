/** `npm run demo` and `npm run kills`: build what is stale, then hand over to a program in TypeScript. */
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { inRoot } from './checkout.mjs'
import { build } from './steps.mjs'

/** Runs the program with the terminal and all options passed on. */
function handOver(main, args) {
  build()
  // By its file, since Node.js would look for a bare `tsx` in the current directory.
  const tsx = pathToFileURL(createRequire(main).resolve('tsx')).href
  return spawnSync(process.execPath, [`--import=${tsx}`, main, ...args], { stdio: 'inherit' }).status ?? 1
}

/** The main job on real input. */
export const demo = (args) => handOver(inRoot('examples', 'demo', 'main.ts'), args)

/** Processes killed in mid-work, as many as wanted. */
export const kills = (args) => handOver(inRoot('__test__', 'kill', 'main.ts'), args)
