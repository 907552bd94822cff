/**
 * Point reads. A read is tried in memory first and answers at once; only what is not in memory goes to a read thread.
 */
import type { StoreCore } from './core.js'
import { fromThrown } from './failures.js'
import type { CheckedIndex } from './indexes.js'
import { decodeKey, encodeKey, isDocumentKey, type Key, type KeyContext } from './keys.js'
import { KEY_ROOM_BYTES } from './limits.js'
import { NOT_FOUND, NOT_READ, TOO_SMALL, WOULD_BLOCK } from './native.js'
import { holdWrites, isTransaction, LeaseSlot } from './pin.js'
import { readRecord, readWithText } from './record/reader.js'
import type { Schema } from './schema.js'
import { ownTurn } from './turn.js'

/** What reading a collection needs to know of it. */
export interface ReadSource {
  readonly core: StoreCore
  /** The collection's name. */
  readonly name: string
  /** The collection's id in the engine, for reading; that of no collection as long as the name has none. */
  readonly id: number
  /** The property that holds the key. */
  readonly keyName: string
  /** What documents must be when they are written. */
  readonly schema: Schema | undefined
  /** The indexes that the program has declared, by name. */
  readonly indexes: ReadonlyMap<string, CheckedIndex>
}

/** What writing to a collection needs to know of it, too. */
export interface WriteSource extends ReadSource {
  /** What a message about the key of a document should name. */
  readonly keyContext: KeyContext
  /** The collection's id for writing; a new one if the name has none. */
  claim(): number
}

/** The answer is not in memory. */
export const PENDING: unique symbol = Symbol('pending')

/** Makes what is answered out of a record between two places of a block. */
export type Finish = (source: ReadSource, key: Key, bytes: Buffer, start: number, end: number) => unknown

/** The document of a record. */
export const asDocument: Finish = (source, key, bytes, start, end) =>
  restoreKey(readRecord(bytes, start, end, source.core.shapes), source, key)

/** The document of a record as JSON text, made without the document; also while the store is being closed. */
export const asJson: Finish = ({ core, name }, key, bytes, start, end) => {
  try {
    return core.runtime.native.recordToJson(core.handle, bytes.subarray(start, end))
  } catch (error) {
    throw fromThrown(error, { collection: name, key })
  }
}

/** Reads at once: the document, undefined for a miss, or `PENDING` if it was not to wait for the disk and would have to. */
export function readNow(
  source: ReadSource,
  key: Key,
  at: number,
  atOnce: boolean,
  finish: Finish = asDocument,
): unknown {
  const { core, id } = source
  const { lent, io } = core.runtime
  // Only documents can be made of a structure and its text.
  if (finish !== asDocument) return readInto(source, key, at, atOnce, finish, io)
  const keyLength = encodeKey(key, io, 0, { collection: source.name, place: 'key' })
  let answer: number | string
  try {
    answer = lent.getLent(core.handle, id, keyLength, at, atOnce)
  } catch (error) {
    throw fromThrown(error, { collection: source.name, key })
  }
  if (typeof answer === 'string') return restoreKey(readWithText(io, answer, core.shapes), source, key)
  if (answer >= 0) return asDocument(source, key, io, 0, answer)
  if (answer === NOT_FOUND) return undefined
  if (answer === WOULD_BLOCK) return PENDING
  return readInto(source, key, at, atOnce, finish, largerBlock(io, answer))
}

/** As `readNow`, through a block, or a larger one if it has no room for the answer. */
function readInto(source: ReadSource, key: Key, at: number, atOnce: boolean, finish: Finish, first: Buffer): unknown {
  const { core, id } = source
  for (let block = first; ; ) {
    const keyLength = encodeKey(key, block, 0, { collection: source.name, place: 'key' })
    let length: number
    try {
      length = core.runtime.native.getSync(core.handle, id, block, keyLength, at, atOnce)
    } catch (error) {
      throw fromThrown(error, { collection: source.name, key })
    }
    if (length >= 0) return finish(source, key, block, 0, length)
    if (length === NOT_FOUND) return undefined
    if (length === WOULD_BLOCK) return PENDING
    block = largerBlock(block, length)
  }
}

/** Reads on a read thread. */
export function readLater(source: ReadSource, key: Key, at: number, finish: Finish = asDocument): Promise<unknown> {
  const { core, id } = source
  const start = (native: typeof core.runtime.native, ticket: number) => {
    const { io } = core.runtime
    const keyLength = encodeKey(key, io, 0, { collection: source.name, place: 'key' })
    native.get(ticket, core.handle, id, io, keyLength, at)
  }
  return core.request({ collection: source.name, key }, start, (found, length) => {
    if (found === 0) return undefined
    return finish(source, key, core.runtime.collect(length), 0, length)
  })
}

/** Most keys that are read by one call: more would keep the event loop for longer than it takes to give way. */
const MAX_KEYS_PER_CALL = 1000

/** Reads several documents at one sequence: in memory, and what memory does not have on a read thread. */
export function readMany(source: ReadSource, keys: readonly Key[], at: number): Promise<unknown[]> {
  // As one piece of work, which closing the store waits for, pauses included.
  return source.core.during(() => readInParts(source, keys, at))
}

async function readInParts(source: ReadSource, keys: readonly Key[], view: number): Promise<unknown[]> {
  const found: unknown[] = []
  const slot = new LeaseSlot()
  const { turn } = source.core.runtime
  try {
    for (let from = 0, at = view; from < keys.length; at = slot.lease?.sequence ?? view) {
      // A transaction reads at once, and gives way afterwards: what it writes after the call it must not see.
      if (!isTransaction(at)) await ownTurn(turn)
      const { io, native } = source.core.runtime
      const { end, length } = packKeys(source, keys, from, io)
      const part = keys.slice(from, end)
      const answer = manyNow(source, part, length, at)
      if (isTransaction(at) && (answer === PENDING || answer.length < keys.length)) slot.lease = holdWrites(native, at)
      const documents = answer === PENDING ? await manyLater(source, part, length, at) : answer
      for (const document of documents) found.push(document)
      from += documents.length
    }
    if (isTransaction(view)) await ownTurn(turn)
    return found
  } finally {
    slot.release()
  }
}

/** Writes keys from number `from` on into `io`, as many as one call may have and as have room. */
function packKeys(source: ReadSource, keys: readonly Key[], from: number, io: Buffer): { end: number; length: number } {
  const context: KeyContext = { collection: source.name, place: 'key' }
  const most = Math.min(keys.length, from + MAX_KEYS_PER_CALL)
  let length = 0
  let end = from
  for (; end < most && length + 4 + KEY_ROOM_BYTES <= io.length; end++) {
    const keyEnd = encodeKey(keys[end] as Key, io, length + 4, context)
    io.writeUInt32LE(keyEnd - length - 4, length)
    length = keyEnd
  }
  return { end, length }
}

/** The documents under the keys that lie in the first bytes of the thread's block, or `PENDING`. */
function manyNow(source: ReadSource, keys: readonly Key[], packed: number, at: number): unknown[] | typeof PENDING {
  const { core, id } = source
  const { native, io } = core.runtime
  // A block that turns out too small has the keys in it no more.
  const packedKeys = Buffer.from(io.subarray(0, packed))
  for (let block: Buffer = io; ; ) {
    let length: number
    try {
      length = native.getManySync(core.handle, id, block, packed, at, true)
    } catch (error) {
      throw fromThrown(error, { collection: source.name })
    }
    if (length >= 0) return decodeMany(source, keys, block)
    if (length === WOULD_BLOCK) {
      packedKeys.copy(io)
      return PENDING
    }
    block = largerBlock(block, length)
    packedKeys.copy(block)
  }
}

function manyLater(source: ReadSource, keys: readonly Key[], packed: number, at: number): Promise<unknown[]> {
  const { core, id } = source
  return core.request(
    { collection: source.name },
    (native, ticket) => native.getMany(ticket, core.handle, id, core.runtime.io, packed, at),
    (_, length) => decodeMany(source, keys, core.runtime.collect(length)),
  )
}

/** Answers that lie one after another, `i32 length` and a document each, up to the first that was left out. */
function decodeMany(source: ReadSource, keys: readonly Key[], bytes: Buffer): unknown[] {
  const found: unknown[] = []
  let start = 0
  for (const key of keys) {
    const length = bytes.readInt32LE(start)
    if (length === NOT_READ) break
    start += 4
    if (length === NOT_FOUND) {
      found.push(undefined)
      continue
    }
    found.push(asDocument(source, key, bytes, start, start + length))
    start += length
  }
  return found
}

/** A block for the answer that did not fit into `block`. */
export function largerBlock(block: Buffer, answer: number): Buffer {
  if (answer !== TOO_SMALL) throw new RangeError(`the addon answered ${answer}`)
  return Buffer.allocUnsafeSlow(Math.max(block.readUInt32LE(0), KEY_ROOM_BYTES))
}

/** Puts a key that records cannot hold back into its document; other keys were stored as part of it. */
function restoreKey(document: unknown, source: ReadSource, key: Key): unknown {
  if (isDocumentKey(key)) return document
  return { [source.keyName]: copyOf(key), ...(document as object) }
}

/** As `restoreKey`, for a key that is still encoded, and decoded only if it has to be. */
export function restoreEncodedKey(
  document: unknown,
  source: ReadSource,
  bytes: Buffer,
  start: number,
  end: number,
): unknown {
  return mayBeInfinite(bytes, start) ? restoreKey(document, source, decodeKey(bytes, start, end)) : document
}

/** Whether an encoded key may be or contain an infinity, which a document cannot hold. */
function mayBeInfinite(bytes: Buffer, start: number): boolean {
  const tag = bytes[start]
  if (tag !== NUMBER_TAG) return tag === ARRAY_TAG
  const sign = bytes.readUInt16BE(start + 1)
  return sign === INFINITY || sign === MINUS_INFINITY
}

const NUMBER_TAG = 0x20
const ARRAY_TAG = 0x40
/** How the encodings of the infinities begin, and of no finite number. */
const INFINITY = 0xfff0
const MINUS_INFINITY = 0x000f

/** The caller's key may be changed later; the document gets its own. */
function copyOf(key: Key): Key {
  if (key instanceof Uint8Array) return new Uint8Array(key)
  if (Array.isArray(key)) return key.map(copyOf)
  return key === 0 ? 0 : key
}
