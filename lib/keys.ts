/**
 * Keys and their order-preserving encoding, `docs/format.md` §6.3: comparing encoded keys byte by byte is comparing
 * the keys. Numbers sort before bigints, these before strings, then bytes, then arrays; strings sort by code point.
 *
 * Encoding never runs user code: arrays, the only keys that could do so, are copied by `plainKey` first, and bytes with
 * them. That is what lets the write buffer append in place without fear of being re-entered.
 */
import { describe, StoreError, type StoreErrorCode } from './errors.js'
import { KEY_ROOM_BYTES, MAX_BIGINT_BYTES, MAX_KEY_BYTES, MAX_KEY_DEPTH } from './limits.js'

/**
 * What may be a key. NaN is not a key, and −0 is stored as 0. Strings must be well-formed (no lone surrogates).
 * Arrays order by their elements and are the way to compound keys: `['2026-11-22', 7]`.
 */
export type Key = string | number | bigint | Uint8Array | readonly Key[]

/** What a message about a bad key should name. */
export interface KeyContext {
  /** The collection's name. */
  readonly collection: string
  /** Where the key was found: `$.id` in a document, `key` for an argument. */
  readonly place: string
}

const TAG_NUMBER = 0x20
const TAG_BIGINT = 0x28
const TAG_STRING = 0x30
const TAG_BYTES = 0x38
const TAG_ARRAY = 0x40
/** A bigint's length byte: this plus n for n bytes of a value ≥ 0, this less one less n for a negative one. */
const BIGINT_ZERO = 0x80
/** Strings up to this length are tried as ASCII, one character at a time, before the general way. */
const SHORT_STRING = 64

/** A fault in a key, without the context that only the outermost caller knows. */
class KeyFault {
  constructor(
    readonly code: StoreErrorCode,
    readonly what: string,
    public trail = '',
  ) {}
}

/**
 * A copy of the key, so that encoding it runs no user code and no later change reaches it. Checks types and depth.
 *
 * @throws StoreError `ERR_INVALID_KEY`
 */
export function plainKey(key: unknown, context: KeyContext): Key {
  if (typeof key === 'string' || typeof key === 'number') return key
  return guarded(key, context, () => copyKey(key, 0))
}

/**
 * Writes the encoding of a plain key into `out` at `at`, which must have `KEY_ROOM_BYTES` of room, and returns where
 * it ends.
 *
 * @throws StoreError `ERR_INVALID_KEY`
 */
export function encodeKey(key: Key, out: Buffer, at: number, context: KeyContext): number {
  if (typeof key === 'string' && key.length <= SHORT_STRING) {
    const end = encodeAscii(key, out, at)
    if (end > 0) return end
  }
  return guarded(key, context, () => {
    const end = encodeElement(key, out, at, at + MAX_KEY_BYTES)
    if (end - at > MAX_KEY_BYTES) throw tooLong(`${end - at} bytes`)
    return end
  })
}

/** The encoding of a plain key as bytes of its own. */
export function keyBytes(key: Key, context: KeyContext): Buffer {
  const room = Buffer.allocUnsafe(KEY_ROOM_BYTES)
  return Buffer.from(room.subarray(0, encodeKey(key, room, 0, context)))
}

/**
 * The encoding shared by all keys that begin with `prefix`: strings that start with a string, byte keys that start
 * with bytes, arrays whose first elements are those of an array.
 *
 * @throws StoreError `ERR_INVALID_KEY` for other types, which have no prefixes
 */
export function prefixBytes(prefix: unknown, context: KeyContext): Buffer {
  const plain = plainKey(prefix, context)
  if (typeof plain === 'number' || typeof plain === 'bigint') {
    throw keyError(
      new KeyFault('ERR_INVALID_KEY', `a prefix is a string, bytes or an array, not ${describe(plain)}`),
      plain,
      context,
    )
  }
  const whole = keyBytes(plain, context)
  return whole.subarray(0, whole.length - 1) // without the terminator
}

/** Whether a document can hold a plain key as an ordinary member: all but the infinities. */
export function isDocumentKey(key: Key): boolean {
  if (typeof key === 'number') return Number.isFinite(key)
  return !Array.isArray(key) || key.every(isDocumentKey)
}

/** The key encoded in `bytes` between `start` and `end`. */
export function decodeKey(bytes: Buffer, start: number, end: number): Key {
  const reader = { bytes, at: start }
  const key = decodeElement(reader)
  if (reader.at !== end) throw corrupt(`a key of ${end - start} bytes has ${end - reader.at} too many`)
  return key
}

// ---------------------------------------------------------------- encoding

/** Writes a string if it is plain ASCII without NUL; returns 0 if it is not. */
function encodeAscii(text: string, out: Buffer, at: number): number {
  out[at] = TAG_STRING
  let pos = at + 1
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit === 0 || unit > 0x7f) return 0
    out[pos++] = unit
  }
  out[pos++] = 0
  return pos
}

/** Stops as soon as `limit` is passed, so the room needed is bounded by one more element. */
function encodeElement(key: Key, out: Buffer, at: number, limit: number): number {
  switch (typeof key) {
    case 'string':
      return encodeString(key, out, at)
    case 'number':
      return encodeNumber(key, out, at)
    case 'bigint':
      return encodeBigInt(key, out, at)
    default:
      return key instanceof Uint8Array ? encodeBytes(key, out, at) : encodeArray(key, out, at, limit)
  }
}

function encodeNumber(key: number, out: Buffer, at: number): number {
  if (Number.isNaN(key)) throw new KeyFault('ERR_INVALID_KEY', 'NaN is not a key: it has no place in the order')
  out[at] = TAG_NUMBER
  out.writeDoubleBE(key === 0 ? 0 : key, at + 1)
  if (key < 0) complement(out, at + 1, at + 9)
  else out[at + 1] = (out[at + 1] as number) ^ 0x80
  return at + 9
}

/** Whether a bigint is over the limit, which is told without writing it down: that can take minutes. */
export function isLongBigint(value: bigint): boolean {
  const magnitude = value < 0n ? -value : value
  return BigInt.asUintN(8 * MAX_BIGINT_BYTES, magnitude) !== magnitude
}

function encodeBigInt(key: bigint, out: Buffer, at: number): number {
  const negative = key < 0n
  let digits = key === 0n ? '' : (negative ? -key : key).toString(16)
  if (digits.length % 2 === 1) digits = `0${digits}`
  const length = digits.length / 2
  if (length > MAX_BIGINT_BYTES) throw tooLong(`a bigint of ${length} bytes`, `${MAX_BIGINT_BYTES} bytes for a bigint`)
  out[at] = TAG_BIGINT
  out[at + 1] = negative ? BIGINT_ZERO - 1 - length : BIGINT_ZERO + length
  out.write(digits, at + 2, 'hex')
  if (negative) complement(out, at + 2, at + 2 + length)
  return at + 2 + length
}

function encodeString(key: string, out: Buffer, at: number): number {
  if (key.length > MAX_KEY_BYTES) throw tooLong(`a string of ${key.length} characters`)
  if (!key.isWellFormed())
    throw new KeyFault('ERR_INVALID_KEY', 'a string with a lone surrogate is not a key: it has no UTF-8 form')
  out[at] = TAG_STRING
  if (key.includes('\0')) return escaped(Buffer.from(key, 'utf8'), out, at + 1)
  const end = at + 1 + out.write(key, at + 1, 'utf8')
  out[end] = 0
  return end + 1
}

function encodeBytes(key: Uint8Array, out: Buffer, at: number): number {
  if (key.length > MAX_KEY_BYTES) throw tooLong(`${key.length} bytes`)
  out[at] = TAG_BYTES
  return escaped(key, out, at + 1)
}

function encodeArray(key: readonly Key[], out: Buffer, at: number, limit: number): number {
  out[at] = TAG_ARRAY
  let pos = at + 1
  for (let i = 0; i < key.length; i++) {
    pos = located(i, () => encodeElement(key[i] as Key, out, pos, limit))
    if (pos > limit) throw tooLong(`an array of more than ${limit - at} bytes`)
  }
  out[pos] = 0
  return pos + 1
}

/** Writes bytes with each 0 as 0 0xFF, and the terminator. */
function escaped(bytes: Uint8Array, out: Buffer, at: number): number {
  let pos = at
  for (const byte of bytes) {
    out[pos++] = byte
    if (byte === 0) out[pos++] = 0xff
  }
  out[pos] = 0
  return pos + 1
}

function complement(out: Buffer, start: number, end: number): void {
  for (let i = start; i < end; i++) out[i] = ~(out[i] as number)
}

// ---------------------------------------------------------------- checking

function copyKey(key: unknown, depth: number): Key {
  if (typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint') return key
  if (ArrayBuffer.isView(key) && key instanceof Uint8Array) return new Uint8Array(key)
  if (!Array.isArray(key)) {
    throw new KeyFault(
      'ERR_INVALID_KEY',
      `a key is a string, a number, a bigint, bytes (Uint8Array) or an array of these, not ${describe(key)}`,
    )
  }
  if (depth === MAX_KEY_DEPTH)
    throw new KeyFault('ERR_INVALID_KEY', `arrays in a key nest at most ${MAX_KEY_DEPTH} deep`)
  if (key.length > MAX_KEY_BYTES) throw tooLong(`an array of ${key.length} elements`)
  const copy: Key[] = []
  for (let i = 0; i < key.length; i++) copy.push(located(i, () => copyKey(key[i], depth + 1)))
  return copy
}

function tooLong(size: string, limit = `${MAX_KEY_BYTES} bytes`): KeyFault {
  return new KeyFault('ERR_INVALID_KEY', `${size} is over the limit of ${limit} for an encoded key`)
}

/** Runs `work` on element `index`, adding its place to a fault. */
function located<R>(index: number, work: () => R): R {
  try {
    return work()
  } catch (fault) {
    if (fault instanceof KeyFault) fault.trail = `[${index}]${fault.trail}`
    throw fault
  }
}

/** Runs `work`, turning a fault into the error that names collection, key and place. */
function guarded<R>(key: unknown, context: KeyContext, work: () => R): R {
  try {
    return work()
  } catch (fault) {
    throw fault instanceof KeyFault ? keyError(fault, key, context) : fault
  }
}

function keyError(fault: KeyFault, key: unknown, context: KeyContext): StoreError {
  const place = context.place + fault.trail
  const message = `${place} is not a key of collection ${JSON.stringify(context.collection)}: ${fault.what}`
  return new StoreError(fault.code, message, { collection: context.collection, key, place })
}

// ---------------------------------------------------------------- decoding

interface Reader {
  readonly bytes: Buffer
  at: number
}

function decodeElement(reader: Reader): Key {
  const tag = take(reader)
  switch (tag) {
    case TAG_NUMBER:
      return decodeNumber(reader)
    case TAG_BIGINT:
      return decodeBigInt(reader)
    case TAG_STRING:
      return unescaped(reader).toString('utf8')
    case TAG_BYTES:
      return new Uint8Array(unescaped(reader))
    case TAG_ARRAY:
      return decodeArray(reader)
    default:
      throw corrupt(`a key has the unknown tag 0x${tag.toString(16)}`)
  }
}

function decodeNumber(reader: Reader): number {
  const raw = takeBytes(reader, 8)
  if ((raw[0] as number) & 0x80) raw[0] = (raw[0] as number) ^ 0x80
  else complement(raw, 0, 8)
  return raw.readDoubleBE(0)
}

function decodeBigInt(reader: Reader): bigint {
  const length = take(reader)
  const negative = length < BIGINT_ZERO
  const magnitude = takeBytes(reader, negative ? BIGINT_ZERO - 1 - length : length - BIGINT_ZERO)
  if (negative) complement(magnitude, 0, magnitude.length)
  const value = magnitude.length === 0 ? 0n : BigInt(`0x${magnitude.toString('hex')}`)
  return negative ? -value : value
}

function decodeArray(reader: Reader): Key[] {
  const elements: Key[] = []
  while (reader.bytes[reader.at] !== 0) elements.push(decodeElement(reader))
  reader.at++
  return elements
}

/** Bytes up to the terminator, with escapes undone. */
function unescaped(reader: Reader): Buffer {
  const out: number[] = []
  for (;;) {
    const byte = take(reader)
    if (byte !== 0) out.push(byte)
    else if (reader.bytes[reader.at] === 0xff) {
      out.push(0)
      reader.at++
    } else return Buffer.from(out)
  }
}

function take(reader: Reader): number {
  const byte = reader.bytes[reader.at++]
  if (byte === undefined) throw corrupt('a key ends too soon')
  return byte
}

function takeBytes(reader: Reader, length: number): Buffer {
  const end = reader.at + length
  if (end > reader.bytes.length) throw corrupt('a key ends too soon')
  const copy = Buffer.from(reader.bytes.subarray(reader.at, end))
  reader.at = end
  return copy
}

function corrupt(what: string): StoreError {
  return new StoreError('ERR_CORRUPT', what)
}
