/**
 * Turns documents and keys into writes: everything that can be wrong with them is found here, before anything is queued.
 *
 * A record is not copied until it lies among what is queued, so a write is good until the next one is prepared: it is
 * queued, or kept by `kept`, before any code of the program runs.
 */
import { encodeDocument } from './codec.js'
import { describe, StoreError } from './errors.js'
import { expiryOf } from './keeping.js'
import { decodeKey, isDocumentKey, type Key, type KeyContext, keyBytes, plainKey } from './keys.js'
import { requireString } from './options.js'
import { largerBlock, type ReadSource, type WriteSource } from './read.js'
import { isPlainObject } from './record/plain.js'
import { copyOf, type RecordBytes } from './record/writer.js'
import { judges, validated } from './schema.js'
import type { ExpiryOptions } from './types.js'
import type { PreparedWrite } from './write-buffer.js'

/** What a write may demand of the record that it replaces. */
export type WriteCondition = PreparedWrite['condition']

/**
 * A put of what the schema makes of a document. Runs the caller's getters, if the document has any, the schema, and the
 * functions of computed indexes, so nothing may be half-written when it is called.
 *
 * @throws StoreError `ERR_VALIDATION`, `ERR_INVALID_KEY`, `ERR_TOO_LARGE`
 */
export function preparePut(
  source: WriteSource,
  given: unknown,
  condition?: WriteCondition,
  expiry?: ExpiryOptions,
): PreparedWrite {
  const expiresAt = expiryOf(expiry)
  const { name, keyName, keyContext: context } = source
  const document = validated(source, given)
  if (!isPlainObject(document)) {
    const message = `a document of collection ${JSON.stringify(name)} is a plain object, not ${describe(document)}`
    throw new StoreError('ERR_VALIDATION', message, { collection: name, place: '$' })
  }
  const key = plainKey(document[keyName], context)
  const id = source.claim()
  const encoded = encode(source, id, document, key, context)
  const record = source.core.computed.seal(name, document, encoded, source.core.shapes)
  return { collectionId: id, key, record, context, condition, expiresAt }
}

/** A key that cannot be one is reported as that, even if the document cannot hold it either. */
function encode(source: ReadSource, id: number, document: object, key: Key, context: KeyContext): RecordBytes {
  const { core, name, keyName } = source
  const without = isDocumentKey(key) ? undefined : keyName
  try {
    return encodeDocument(document, name, core.shapes.rootOf(id), core.shapes, without)
  } catch (error) {
    keyBytes(key, context)
    throw error
  }
}

/**
 * A put of a document in JSON text. With a schema the document is made, to be judged, and with computed indexes for their
 * functions.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT`, `ERR_VALIDATION`, `ERR_INVALID_KEY`, `ERR_TOO_LARGE`
 */
export function prepareJson(
  source: WriteSource,
  json: unknown,
  condition?: WriteCondition,
  expiry?: ExpiryOptions,
): PreparedWrite {
  requireString(json, 'json')
  const expiresAt = expiryOf(expiry)
  const { core, name, keyName, keyContext: context } = source
  if (!json.isWellFormed()) {
    const message = `the JSON text of a document of ${JSON.stringify(name)} has half of a surrogate pair, which is not text`
    throw new StoreError('ERR_VALIDATION', message, { collection: name, place: '$' })
  }
  if (judges(source.schema) || core.computed.has(name))
    return preparePut(source, parseJson(source, json), condition, expiry)
  for (let block: Buffer = core.runtime.io; ; ) {
    const into = block
    const known = { collection: name, place: '$' }
    const length = placingKey(context, () =>
      core.call((native, handle) => native.jsonToRecord(handle, json, keyName, into), known),
    )
    if (length < 0) {
      block = largerBlock(block, length)
      continue
    }
    const keyEnd = 4 + block.readUInt32LE(0)
    const record = { bytes: block, start: keyEnd, end: length }
    return { collectionId: source.claim(), key: decodeKey(block, 4, keyEnd), record, context, condition, expiresAt }
  }
}

/** Names the place of a key that is none, as it is named in documents. */
function placingKey<R>({ collection, place }: KeyContext, work: () => R): R {
  try {
    return work()
  } catch (error) {
    const isOfKey = StoreError.is(error, 'ERR_INVALID_KEY') || (StoreError.is(error) && error.details.what === 'key')
    if (!isOfKey) throw error
    const message = `${place} is not a key of collection ${JSON.stringify(collection)}: ${error.message}`
    throw new StoreError('ERR_INVALID_KEY', message, { collection, place, details: error.details, cause: error })
  }
}

function parseJson({ name }: ReadSource, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    const message = `this is no JSON text: ${(cause as Error).message}`
    throw new StoreError('ERR_VALIDATION', message, { collection: name, place: '$', cause })
  }
}

/**
 * A delete.
 *
 * @throws StoreError `ERR_INVALID_KEY`
 */
export function prepareDelete(source: WriteSource, key: unknown, condition?: WriteCondition): PreparedWrite {
  const context: KeyContext = { collection: source.name, place: 'key' }
  const plain = plainKey(key, context)
  return { collectionId: source.claim(), key: plain, record: undefined, context, condition }
}

/**
 * A write that stays good whatever is prepared after it, if its key can be encoded; that of others is when they are queued.
 *
 * @throws StoreError `ERR_INVALID_KEY`
 */
export function kept(write: PreparedWrite): PreparedWrite {
  keyBytes(write.key, write.context)
  if (write.record === undefined) return write
  const bytes = copyOf(write.record)
  return { ...write, record: { bytes, start: 0, end: bytes.length } }
}
