/**
 * Adds to package-lock.json the optional packages of other platforms that the registry at hand did not offer.
 *
 * Why: `npm ci` refuses a lockfile that lacks an optional dependency, even one for another platform, and a partial
 * registry mirror makes npm write exactly such a lockfile. What always holds: only exact pins named by a locked package
 * are added, only for packages whose name says which platform they are for, and nothing that npm wrote is changed.
 * Added entries carry no integrity hash; `npm install` against a complete registry fills it in.
 * Run it after every change of the dependencies: `node scripts/complete-lock.mjs`.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const LOCK = new URL('../package-lock.json', import.meta.url)
const PLATFORM = /-(android|darwin|freebsd|linux|win32|wasm32)-([a-z0-9]+)(?:-([a-z0-9]+))?$/
const LIBC = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl' }

/** The `os`, `cpu` and `libc` fields that a platform package's name stands for, or undefined when it names none. */
function platformOf(name) {
  const match = PLATFORM.exec(name)
  if (!match) return undefined
  const [, os, cpu, abi] = match
  if (os === 'wasm32') return { cpu: ['wasm32'] }
  const libc = LIBC[abi]
  return { cpu: [cpu], libc: os === 'linux' && libc ? [libc] : undefined, os: [os] }
}

/** Every `[name, version]` that some locked package pins exactly as optional and the lockfile does not hold. */
function missingPins(packages) {
  const pins = Object.values(packages).flatMap((entry) => Object.entries(entry.optionalDependencies ?? {}))
  const absent = pins.filter(([name, version]) => !packages[`node_modules/${name}`] && /^\d/.test(version))
  return new Map(absent)
}

const lock = JSON.parse(readFileSync(LOCK, 'utf8'))
let added = 0
for (const [name, version] of missingPins(lock.packages)) {
  const platform = platformOf(name)
  if (!platform) throw new Error(`${name}@${version} is missing from the lockfile and names no platform`)
  const { cpu, libc, os } = platform
  // In npm's own order of fields, so that npm finds nothing to rewrite.
  lock.packages[`node_modules/${name}`] = { version, cpu, dev: true, libc, optional: true, os }
  added += 1
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
lock.packages = Object.fromEntries(sorted)
writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${added} foreign-platform packages added to package-lock.json`)
