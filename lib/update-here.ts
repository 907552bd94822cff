/**
 * Updates of all documents that match, done in JavaScript: where a schema has to judge what becomes of each document, or a
 * function to compute values for an index, the engine cannot do it alone. The documents are read and put in one transaction, which begins anew when somebody else has
 * changed one of them meanwhile.
 */
import type { Collection } from './collection.js'
import type { StoreCore } from './core.js'
import type { Key } from './keys.js'
import { MAX_CHANGE_ATTEMPTS } from './limits.js'
import type { Changed } from './query.js'
import type { ChangeOptions } from './query-spec.js'
import type { Where } from './query-types.js'
import { transact } from './transact.js'
import type { Transaction } from './transaction.js'

/** Gives members of all documents that match new values. The arguments are checked. */
export async function updateHere<T extends object, K extends Key, I, In extends object>(
  core: StoreCore,
  collection: Collection<T, K, I, In>,
  where: Where<T>,
  set: object,
  { limit, durability, signal }: Partial<ChangeOptions>,
): Promise<Changed> {
  let last: Transaction | undefined
  const given = Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined))
  const update = async (transaction: Transaction) => {
    last = transaction
    const inside = transaction.collection(collection)
    const found = await inside.find(limit === undefined ? { where } : { where, limit }).toArray({ signal })
    // What the schema has made of a document is what it judges again.
    for (const document of found) inside.put({ ...document, ...given } as unknown as In, { keepExpiry: true })
    return found.length
  }
  const changed = await transact(core, update, { durability, signal, retries: MAX_CHANGE_ATTEMPTS - 1 })
  return changed === 0 || last?.committed === undefined ? { changed } : { changed, sequence: last.committed }
}
