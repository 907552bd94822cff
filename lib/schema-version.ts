/** The version of the schema that a program declares for a collection, and that of the documents in the store. */
import type { StoreCore } from './core.js'
import { StoreError } from './errors.js'
import { changeSchema } from './indexes.js'

/** The version that the store has; undefined if none was ever set. */
function storedVersion(core: StoreCore, name: string): number | undefined {
  const text = core.call((native, handle) => native.collectionInfo(handle, name), { collection: name })
  return (JSON.parse(text) as { schemaVersion?: number } | null)?.schemaVersion
}

/**
 * Refuses a version that is not that of the store, if it has one.
 *
 * @throws StoreError `ERR_DEFINITION`
 */
export function checkVersion(core: StoreCore, name: string, declared: number): void {
  const stored = storedVersion(core, name)
  if (stored === undefined || stored === declared) return
  const hint = declared > stored ? 'migrate them, then alterCollection' : 'the program is older than the store'
  throw new StoreError(
    'ERR_DEFINITION',
    `the documents of collection ${JSON.stringify(name)} follow version ${stored} of their schema, not ${declared}: ${hint}`,
    { collection: name, details: { requested: declared, found: stored } },
  )
}

/** Stores the declared version where the store has none, and refuses another one. */
export async function ensureVersion(core: StoreCore, name: string, declared: number): Promise<void> {
  if (storedVersion(core, name) === undefined) {
    await changeSchema(core, { op: 'createCollection', collection: name })
    // Which is refused if another program has been faster.
    await changeSchema(core, { op: 'alterCollection', collection: name, options: { declaredSchemaVersion: declared } })
  }
  checkVersion(core, name, declared)
}
