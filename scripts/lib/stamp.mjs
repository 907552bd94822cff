/**
 * Decides by content whether a step is stale.
 *
 * A stamp is the SHA-256 of a step's inputs (names and bytes, and anything else that matters), written under .bootstrap/
 * after the step succeeded. Contents, not times: a git checkout or a copied tree changes times without changing anything.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { exists, inRoot } from './checkout.mjs'

const FOLDER = '.bootstrap'

/** The fingerprint of files (relative to the root; absent ones count as absent) and of further plain values. */
export function fingerprint(files, ...values) {
  const hash = createHash('sha256')
  for (const value of values) hash.update(`${JSON.stringify(value)}\n`)
  for (const file of files) {
    const bytes = exists(file) ? readFileSync(inRoot(file)) : undefined
    hash.update(`${file.replaceAll('\\', '/')} ${bytes?.length ?? 'absent'}\n`)
    if (bytes) hash.update(bytes)
  }
  return hash.digest('hex')
}

/** True when the step last succeeded with exactly this fingerprint. */
export function isFresh(step, print) {
  return exists(FOLDER, step) && readFileSync(inRoot(FOLDER, step), 'utf8') === print
}

/** Remembers that the step succeeded with this fingerprint. */
export function remember(step, print) {
  mkdirSync(inRoot(FOLDER), { recursive: true })
  writeFileSync(inRoot(FOLDER, step), print)
}

/** Forgets the step, so that one which fails half-way is never taken for done. */
export function forget(step) {
  rmSync(inRoot(FOLDER, step), { force: true })
}
