/** Turns documents and keys into writes: everything that can be wrong with them is found here, before anything is queued. */
import { encodeDocument, isPlainObject, member } from './codec.js'
import { describe, StoreError } from './errors.js'
import { isJsonKey, type KeyContext, plainKey } from './keys.js'
import type { ReadSource } from './read.js'
import type { PreparedWrite } from './write-buffer.js'

/** What a write may demand of the record that it replaces. */
export type WriteCondition = PreparedWrite['condition']

/**
 * A put. Runs the caller's getters, if the document has any, so nothing may be half-written when it is called.
 *
 * @throws StoreError `ERR_VALIDATION`, `ERR_INVALID_KEY`, `ERR_TOO_LARGE`
 */
export function preparePut(source: ReadSource, document: unknown, condition?: WriteCondition): PreparedWrite {
  const { id, name, keyName } = source
  if (!isPlainObject(document)) {
    const message = `a document of collection ${JSON.stringify(name)} is a plain object, not ${describe(document)}`
    throw new StoreError('ERR_VALIDATION', message, { collection: name, place: '$' })
  }
  const context: KeyContext = { collection: name, place: `$${member(keyName)}` }
  const key = plainKey(document[keyName], context)
  const text = encodeDocument(document, name, isJsonKey(key) ? undefined : keyName)
  return { collectionId: id, key, text, context, condition }
}

/**
 * A delete.
 *
 * @throws StoreError `ERR_INVALID_KEY`
 */
export function prepareDelete(source: ReadSource, key: unknown, condition?: WriteCondition): PreparedWrite {
  const context: KeyContext = { collection: source.name, place: 'key' }
  return { collectionId: source.id, key: plainKey(key, context), text: undefined, context, condition }
}
