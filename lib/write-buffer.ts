/**
 * The growing buffer in which writes of one tick travel to the engine: transactions one after another, each
 *
 *     u32 number of operations, u32 bytes of operations, then per operation
 *     u8 kind, u8 condition, u8 expires, a zero byte, u32 collection, u32 key length, u32 value length, key, value
 *
 * all little-endian; a value is a record. If the condition is that the record has a certain sequence,
 * that comes before the key, as a u64, and then, if it expires, the milliseconds since 1970, as a u64. In a transaction it may
 * expire as the record that it replaces does. What the store's sequence must have reached is an operation, too, with that as its
 * value, and so is a change of what collections and indexes there are, with JSON text. The native side copies the bytes when they are
 * submitted, so a buffer can be used again at once. Appending runs no user code and is all or nothing.
 */
import { StoreError } from './errors.js'
import { encodeKey, type Key, type KeyContext } from './keys.js'
import { KEY_ROOM_BYTES, MAX_BATCH_BYTES } from './limits.js'
import type { RecordBytes } from './record/writer.js'
import type { Sequence } from './types.js'

/** One put or delete, with a plain key and the document already encoded. */
export interface PreparedWrite {
  /** The collection's id in the engine. */
  readonly collectionId: number
  /** The plain key. */
  readonly key: Key
  /** The document's record, or undefined for a delete. It may be good only until another write is prepared. */
  readonly record: RecordBytes | undefined
  /** What a message about the key should name. */
  readonly context: KeyContext
  /** What must be true of the record: that there is none, or the sequence of the commit that put it there. */
  readonly condition?: 'absent' | Sequence | undefined
  /** When it expires, in milliseconds since 1970, if it does; `'kept'` in a transaction: as the record that it replaces. */
  readonly expiresAt?: number | 'kept' | undefined
}

/** A change of what collections and indexes there are, in a batch. */
export interface PreparedDefinition {
  /** The collection's id in the engine. */
  readonly collectionId: number
  /** What is changed, as the native side reads it: JSON text in UTF-8. */
  readonly definition: Uint8Array
  /** Whether it drops the collection. */
  readonly drops?: true
  /** What a message should name. */
  readonly context: Pick<KeyContext, 'collection'>
}

const KIND_PUT = 1
const KIND_DELETE = 2
const KIND_REQUIRE = 3
const KIND_DEFINE = 4
const CONDITION_ABSENT = 1 << 8
const CONDITION_SEQUENCE = 2 << 8
const EXPIRES = 1 << 16
const KEEPS_EXPIRY = 2 << 16
const SEQUENCE_BYTES = 8
const EXPIRY_BYTES = 8
const TRANSACTION_HEADER = 8
const OPERATION_HEADER = 16
const FIRST_CAPACITY = 64 * 1024

/** Transactions on their way to the engine. */
export class WriteBuffer {
  #bytes = Buffer.allocUnsafeSlow(FIRST_CAPACITY)
  /** The same bytes, for numbers. */
  #view = viewOf(this.#bytes)
  #length = 0

  /** The underlying bytes; only the first `length` count. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** Bytes in use. */
  get length(): number {
    return this.#length
  }

  /** Forgets everything, keeping the memory. */
  clear(): void {
    this.#length = 0
  }

  /** Appends a transaction of one operation, or throws and appends nothing. */
  append(write: PreparedWrite): void {
    const start = this.#length
    try {
      this.#reserve(TRANSACTION_HEADER)
      this.#length += TRANSACTION_HEADER
      this.appendOperation(write)
    } catch (error) {
      this.#length = start
      throw error
    }
    this.#setHeader(start, 1)
  }

  /** Appends a transaction of the operations in another buffer, which requires that the store has reached `least`. */
  appendAll(operations: WriteBuffer, count: number, least?: Sequence): void {
    const start = this.#length
    // Room for all of it before anything is changed.
    this.#reserve(TRANSACTION_HEADER + operations.length + OPERATION_HEADER + SEQUENCE_BYTES)
    operations.bytes.copy(this.#bytes, start + TRANSACTION_HEADER, 0, operations.length)
    this.#length += TRANSACTION_HEADER + operations.length
    if (least !== undefined) this.#appendRequirement(least)
    this.#setHeader(start, count + (least === undefined ? 0 : 1))
  }

  /** Appends an operation to those of one batch, which this buffer has and nothing else, or throws. */
  appendToBatch(write: PreparedWrite | PreparedDefinition): void {
    if ('definition' in write) this.#appendSpecial(KIND_DEFINE, write.collectionId, write.definition)
    else this.appendOperation(write)
    if (this.#length + TRANSACTION_HEADER > MAX_BATCH_BYTES) throw batchTooLarge(write)
  }

  /** Appends an operation that is not part of a transaction in this buffer, or throws and appends nothing. */
  appendOperation(write: PreparedWrite): void {
    const { record, condition, expiresAt } = write
    const recordLength = record === undefined ? 0 : record.end - record.start
    this.#reserve(OPERATION_HEADER + SEQUENCE_BYTES + EXPIRY_BYTES + KEY_ROOM_BYTES + recordLength)
    const bytes = this.#bytes
    const view = this.#view
    const header = this.#length
    const ofSequence = typeof condition === 'number'
    const expiry = header + OPERATION_HEADER + (ofSequence ? SEQUENCE_BYTES : 0)
    const keyStart = expiry + (typeof expiresAt === 'number' ? EXPIRY_BYTES : 0)
    const keyEnd = encodeKey(write.key, bytes, keyStart, write.context)
    if (record !== undefined) bytes.set(record.bytes.subarray(record.start, record.end), keyEnd)
    const expires = expiresAt === undefined ? 0 : expiresAt === 'kept' ? KEEPS_EXPIRY : EXPIRES
    const kind = (record === undefined ? KIND_DELETE : KIND_PUT) | expires
    view.setUint32(header, kind | (ofSequence ? CONDITION_SEQUENCE : condition ? CONDITION_ABSENT : 0), true)
    if (typeof expiresAt === 'number') view.setBigUint64(expiry, BigInt(expiresAt), true)
    if (ofSequence) view.setBigUint64(header + OPERATION_HEADER, BigInt(condition), true)
    view.setUint32(header + 4, write.collectionId, true)
    view.setUint32(header + 8, keyEnd - keyStart, true)
    view.setUint32(header + 12, recordLength, true)
    this.#length = keyEnd + recordLength
  }

  /** Completes the transaction that begins at `start` and ends here. */
  #setHeader(start: number, operations: number): void {
    this.#view.setUint32(start, operations, true)
    this.#view.setUint32(start + 4, this.#length - start - TRANSACTION_HEADER, true)
  }

  #appendRequirement(least: Sequence): void {
    const value = Buffer.alloc(SEQUENCE_BYTES)
    value.writeBigUInt64LE(BigInt(least))
    this.#appendSpecial(KIND_REQUIRE, 0, value)
  }

  /** Appends an operation that is about no record. */
  #appendSpecial(kind: number, collectionId: number, value: Uint8Array): void {
    this.#reserve(OPERATION_HEADER + value.length)
    const at = this.#length
    this.#bytes.fill(0, at, at + OPERATION_HEADER)
    this.#bytes[at] = kind
    this.#view.setUint32(at + 4, collectionId, true)
    this.#view.setUint32(at + 12, value.length, true)
    this.#bytes.set(value, at + OPERATION_HEADER)
    this.#length = at + OPERATION_HEADER + value.length
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
    this.#view = viewOf(grown)
  }
}

const viewOf = ({ buffer, byteOffset, length }: Buffer) => new DataView(buffer, byteOffset, length)

function batchTooLarge(write: PreparedWrite | PreparedDefinition): StoreError {
  const { collection } = write.context
  const message = `a batch is over the limit of ${MAX_BATCH_BYTES} bytes; write it as several`
  return new StoreError('ERR_TOO_LARGE', message, { collection, key: 'key' in write ? write.key : undefined })
}
