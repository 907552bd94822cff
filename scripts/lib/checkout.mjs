/** Where things lie in the checkout. Every path the scripts use starts here, so they work from any current directory. */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the checkout. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** An absolute path from parts relative to the root. */
export const inRoot = (...parts) => join(ROOT, ...parts)

/** True when a path relative to the root exists. */
export const exists = (...parts) => existsSync(inRoot(...parts))

/** All files below a directory, as sorted paths relative to the root; empty when there is no such directory. */
export function filesBelow(directory, accept = () => true) {
  if (!exists(directory)) return []
  const found = readdirSync(inRoot(directory), { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .filter((path) => accept(path.replaceAll('\\', '/')))
    .sort()
}
