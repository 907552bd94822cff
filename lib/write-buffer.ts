/**
 * The growing buffer in which the writes of one tick travel to the engine: transactions one after another, each
 *
 *     u32 number of operations, u32 bytes of operations, then per operation
 *     u8 kind, 3 zero bytes, u32 collection, u32 key length, u32 value length, key, value
 *
 * all little-endian; a value is a codec byte and the document. The native side copies the bytes when they are
 * submitted, so a buffer can be used again at once. Appending runs no user code and is all or nothing.
 */
import { CODEC_JSON } from './codec.js'
import { StoreError } from './errors.js'
import { encodeKey, type Key, type KeyContext } from './keys.js'
import { KEY_ROOM_BYTES, MAX_BATCH_BYTES } from './limits.js'

/** One put or delete, with a plain key and the document already encoded. */
export interface PreparedWrite {
  /** The collection's id in the engine. */
  readonly collectionId: number
  /** The plain key. */
  readonly key: Key
  /** The document's JSON text, or undefined for a delete. */
  readonly text: string | undefined
  /** What a message about the key should name. */
  readonly context: KeyContext
}

const KIND_PUT = 1
const KIND_DELETE = 2
const TRANSACTION_HEADER = 8
const OPERATION_HEADER = 16
const FIRST_CAPACITY = 64 * 1024
/** Longest UTF-8 form of one UTF-16 code unit. */
const MAX_UTF8_PER_UNIT = 3
/** Above this many characters a text is measured before room is made for it. */
const MEASURE_FROM = 64 * 1024

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

  /** Appends one transaction, or throws and appends nothing. */
  append(writes: readonly PreparedWrite[]): void {
    const start = this.#length
    try {
      this.#reserve(TRANSACTION_HEADER)
      this.#length += TRANSACTION_HEADER
      for (const write of writes) {
        this.#appendOperation(write)
        if (this.#length - start > MAX_BATCH_BYTES) throw batchTooLarge(write)
      }
      this.#bytes.writeUInt32LE(writes.length, start)
      this.#bytes.writeUInt32LE(this.#length - start - TRANSACTION_HEADER, start + 4)
    } catch (error) {
      this.#length = start
      throw error
    }
  }

  #appendOperation(write: PreparedWrite): void {
    const { text } = write
    this.#reserve(OPERATION_HEADER + KEY_ROOM_BYTES + (text === undefined ? 0 : 1 + utf8Room(text)))
    const bytes = this.#bytes
    const header = this.#length
    const keyStart = header + OPERATION_HEADER
    const keyEnd = encodeKey(write.key, bytes, keyStart, write.context)
    let end = keyEnd
    if (text !== undefined) {
      bytes[end++] = CODEC_JSON
      end += bytes.write(text, end, 'utf8')
    }
    bytes.writeUInt32LE(text === undefined ? KIND_DELETE : KIND_PUT, header)
    bytes.writeUInt32LE(write.collectionId, header + 4)
    bytes.writeUInt32LE(keyEnd - keyStart, header + 8)
    bytes.writeUInt32LE(end - keyEnd, header + 12)
    this.#length = end
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

function utf8Room(text: string): number {
  return text.length > MEASURE_FROM ? Buffer.byteLength(text) : text.length * MAX_UTF8_PER_UNIT
}

function batchTooLarge(write: PreparedWrite): StoreError {
  const { collection } = write.context
  const message = `a batch is over the limit of ${MAX_BATCH_BYTES} bytes; write it as several`
  return new StoreError('ERR_TOO_LARGE', message, { collection, key: write.key })
}
