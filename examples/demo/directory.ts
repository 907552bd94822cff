/**
 * The demo's directory. It deletes what an earlier demo left, and nothing else: a directory with anything in it and
 * without the demo's own marker file is refused, so a mistyped --dir costs nobody their data.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { UsageError } from './options.ts'

const MARKER = 'FOUNTAINSTORE-DEMO'

/** Makes the directory fresh and returns the path at which the store goes. */
export function freshDirectory(dir: string): string {
  const root = resolve(dir)
  mkdirSync(root, { recursive: true })
  if (readdirSync(root).length > 0 && !existsSync(join(root, MARKER))) {
    throw new UsageError(`${dir} is neither empty nor an earlier demo's directory; it was left as it is`)
  }
  const store = join(root, 'store')
  rmSync(store, { recursive: true, force: true })
  writeFileSync(
    join(root, MARKER),
    'Made by the FountainStore demo, which deletes the store beside this file when it starts.\n',
  )
  return store
}
