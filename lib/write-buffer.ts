/**
 * The growing buffer in which the writes of one tick travel to the engine: transactions one after another, each
 *
 *     u32 number of operations, u32 bytes of operations, then per operation
 *     u8 kind, u8 condition, u8 expires, a zero byte, u32 collection, u32 key length, u32 value length, key, value
 *
 * all little-endian; a value is a record. If the condition is that the record has a certain sequence,
 * that comes before the key, as a u64, and then, if it expires, the milliseconds since 1970, as a u64. In a transaction it may
 * expire as the record that it replaces does. What the store's sequence must have reached is an operation, too, with that as its
 * value. The native side copies the bytes when they are
 * submitted, so a buffer can be used again at once. Appending runs no user code and is all or nothing.
 */
import { StoreError } from './errors.js'
import { encodeKey, type Key, type KeyContext } from './keys.js'
import { KEY_ROOM_BYTES, MAX_BATCH_BYTES } from './limits.js'
import type { Sequence } from './types.js'

/** One put or delete, with a plain key and the document already encoded. */
export interface PreparedWrite {
  /** The collection's id in the engine. */
  readonly collectionId: number
  /** The plain key. */
  readonly key: Key
  /** The document's record, or undefined for a delete. */
  readonly record: Uint8Array | undefined
  /** What a message about the key should name. */
  readonly context: KeyContext
  /** What must be true of the record: that there is none, or the sequence of the commit that put it there. */
  readonly condition?: 'absent' | Sequence | undefined
  /** When it expires, in milliseconds since 1970, if it does; `'kept'` in a transaction: as the record that it replaces. */
  readonly expiresAt?: number | 'kept' | undefined
}

const KIND_PUT = 1
const KIND_DELETE = 2
const KIND_REQUIRE = 3
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

  /** Appends one transaction, which requires that the store has reached `least`, or throws and appends nothing. */
  append(writes: readonly PreparedWrite[], least?: Sequence): void {
    const start = this.#length
    try {
      this.#reserve(TRANSACTION_HEADER)
      this.#length += TRANSACTION_HEADER
      for (const write of writes) {
        this.appendOperation(write)
        if (this.#length - start > MAX_BATCH_BYTES) throw batchTooLarge(write)
      }
      if (least !== undefined) this.#appendRequirement(least)
      this.#bytes.writeUInt32LE(writes.length + (least === undefined ? 0 : 1), start)
      this.#bytes.writeUInt32LE(this.#length - start - TRANSACTION_HEADER, start + 4)
    } catch (error) {
      this.#length = start
      throw error
    }
  }

  /** Appends an operation that is not part of a transaction in this buffer, or throws and appends nothing. */
  appendOperation(write: PreparedWrite): void {
    const { record, condition, expiresAt } = write
    const room = OPERATION_HEADER + SEQUENCE_BYTES + EXPIRY_BYTES + KEY_ROOM_BYTES
    this.#reserve(room + (record === undefined ? 0 : record.length))
    const bytes = this.#bytes
    const header = this.#length
    const ofSequence = typeof condition === 'number'
    const expiry = header + OPERATION_HEADER + (ofSequence ? SEQUENCE_BYTES : 0)
    const keyStart = expiry + (typeof expiresAt === 'number' ? EXPIRY_BYTES : 0)
    const keyEnd = encodeKey(write.key, bytes, keyStart, write.context)
    const end = keyEnd + (record === undefined ? 0 : record.length)
    if (record !== undefined) bytes.set(record, keyEnd)
    const expires = expiresAt === undefined ? 0 : expiresAt === 'kept' ? KEEPS_EXPIRY : EXPIRES
    const kind = (record === undefined ? KIND_DELETE : KIND_PUT) | expires
    bytes.writeUInt32LE(kind | (ofSequence ? CONDITION_SEQUENCE : condition ? CONDITION_ABSENT : 0), header)
    if (typeof expiresAt === 'number') bytes.writeBigUInt64LE(BigInt(expiresAt), expiry)
    if (ofSequence) bytes.writeBigUInt64LE(BigInt(condition), header + OPERATION_HEADER)
    bytes.writeUInt32LE(write.collectionId, header + 4)
    bytes.writeUInt32LE(keyEnd - keyStart, header + 8)
    bytes.writeUInt32LE(end - keyEnd, header + 12)
    this.#length = end
  }

  #appendRequirement(least: Sequence): void {
    this.#reserve(OPERATION_HEADER + SEQUENCE_BYTES)
    const at = this.#length
    this.#bytes.fill(0, at, at + OPERATION_HEADER)
    this.#bytes[at] = KIND_REQUIRE
    this.#bytes.writeUInt32LE(SEQUENCE_BYTES, at + 12)
    this.#bytes.writeBigUInt64LE(BigInt(least), at + OPERATION_HEADER)
    this.#length = at + OPERATION_HEADER + SEQUENCE_BYTES
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

function batchTooLarge(write: PreparedWrite): StoreError {
  const { collection } = write.context
  const message = `a batch is over the limit of ${MAX_BATCH_BYTES} bytes; write it as several`
  return new StoreError('ERR_TOO_LARGE', message, { collection, key: write.key })
}
