/**
 * From a document to the bytes of a record.
 *
 * Structure goes into a buffer as the document is walked; all strings are joined to one text, which is written behind
 * it in one call. Whether the text has anything beyond ASCII shows only then; if the guess was wrong, the document is
 * walked once more. An object is first compared with the shape that the last one in its place had, which costs one
 * comparison of names per member and is right nearly always.
 *
 * Getters and proxies of a document run while it is walked. If they write to a store, they use another writer.
 *
 * A record is not copied: it lies in the writer's memory until the next one is written, and who keeps it copies it.
 */
import { types } from 'node:util'
import { MAX_BIGINT_BYTES, MAX_DOCUMENT_DEPTH, MAX_ENCODED_DOCUMENT_BYTES } from '../limits.js'
import * as F from './format.js'
import { isPlainObject } from './plain.js'
import type { Place, Shape, ShapeTable } from './shapes.js'

/** The document holds what records cannot; who wants to know what looks for it with `findFault`. */
export const REFUSED: unique symbol = Symbol('refused')
/** The document is over the limit in bytes. */
export const TOO_LARGE: unique symbol = Symbol('too large')

const FIRST_CAPACITY = 64 * 1024
/** Room before the structure for codec, flags and the longest length. */
const HEADER_ROOM = 6
/** More than any scalar takes in the structure, strings included. */
const SCALAR_ROOM = 16
/** Strings up to this length are measured here rather than natively. */
const SHORT_STRING = 40

/** Memory that grew beyond this is not kept for the next record. */
const MAX_KEPT_BYTES = 16 * FIRST_CAPACITY

const objectPrototype = Object.prototype
const { getPrototypeOf, getOwnPropertySymbols, hasOwn, keys: ownKeys } = Object

/** Where a record lies. */
export interface RecordBytes {
  readonly bytes: Uint8Array
  /** The place of its codec byte. */
  readonly start: number
  /** The place behind its last byte. */
  readonly end: number
}

/** The bytes of a record in memory of their own. */
export function copyOf({ bytes, start, end }: RecordBytes): Buffer {
  return Buffer.from(bytes.subarray(start, end))
}

/** Writes one document at a time. */
class Writer {
  busy = false
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_CAPACITY)
  /** The same bytes, for numbers. */
  #view = viewOf(this.#bytes)
  readonly #written = { bytes: this.#bytes, start: 0, end: 0 }
  #at = 0
  /** The members of the objects that are being walked, those of an inner one above those of the outer one. */
  readonly #values: unknown[] = []
  #top = 0
  #text = ''
  #wide = false
  #shapes!: ShapeTable

  /** The record of a document, good until the next call. Throws `REFUSED` or `TOO_LARGE`. */
  write(document: object, without: string | undefined, root: Place, shapes: ShapeTable): RecordBytes {
    this.#shapes = shapes
    this.#walk(document, without, root)
    let end = this.#writeText()
    const isWide = end - this.#at !== this.#text.length
    if (isWide !== this.#wide) {
      this.#wide = isWide
      this.#walk(document, without, root)
      end = this.#writeText()
      // A getter that answers differently each time.
      if ((end - this.#at !== this.#text.length) !== isWide) throw REFUSED
    }
    this.#text = ''
    return this.#finish(end)
  }

  /** Lets go of what a document had, if it could not be written to its end. */
  forget(): void {
    this.#text = ''
    this.#values.length = 0
    this.#top = 0
  }

  #walk(document: object, without: string | undefined, root: Place): void {
    this.#at = HEADER_ROOM
    this.#text = ''
    if (without !== undefined || !this.#knownObject(document, root, 1)) this.#newObject(document, without, root, 1)
  }

  #writeText(): number {
    const room = this.#wide ? Buffer.byteLength(this.#text) : this.#text.length * 3
    if (this.#at + this.#text.length > MAX_ENCODED_DOCUMENT_BYTES) throw TOO_LARGE
    this.#reserve(room)
    return this.#at + this.#bytes.write(this.#text, this.#at, 'utf8')
  }

  #finish(end: number): RecordBytes {
    const bytes = this.#bytes
    const length = this.#at - HEADER_ROOM
    const long = length > 0xffff
    const start = long ? 0 : 2
    bytes[start] = F.CODEC_RECORD
    bytes[start + 1] = (this.#wide ? F.FLAG_WIDE : 0) | (long ? F.FLAG_LONG : 0)
    bytes[start + 2] = length
    bytes[start + 3] = length >> 8
    if (long) {
      bytes[start + 4] = length >> 16
      bytes[start + 5] = length >> 24
    }
    if (end - start > MAX_ENCODED_DOCUMENT_BYTES) throw TOO_LARGE
    if (bytes.length > MAX_KEPT_BYTES) {
      this.#use(Buffer.allocUnsafeSlow(FIRST_CAPACITY))
      return { bytes, start, end }
    }
    const written = this.#written
    written.bytes = bytes
    written.start = start
    written.end = end
    return written
  }

  #value(value: unknown, place: Place, depth: number): void {
    this.#reserve(0)
    switch (typeof value) {
      case 'string':
        this.#string(value)
        return
      case 'number':
        this.#number(value)
        return
      case 'boolean':
        this.#bytes[this.#at++] = value ? F.TRUE : F.FALSE
        return
      case 'bigint':
        this.#bigint(value)
        return
      case 'object':
        if (value === null) this.#bytes[this.#at++] = F.NULL
        else this.#object(value, place, depth)
        return
      default:
        throw REFUSED
    }
  }

  #object(value: object, place: Place, depth: number): void {
    if (Array.isArray(value)) {
      if (depth === MAX_DOCUMENT_DEPTH) throw REFUSED
      this.#array(value, place, depth + 1)
    } else if (getPrototypeOf(value) === objectPrototype || isPlainObject(value)) {
      if (depth === MAX_DOCUMENT_DEPTH) throw REFUSED
      if (!this.#knownObject(value, place, depth + 1)) this.#newObject(value, undefined, place, depth + 1)
    } else if (types.isDate(value)) {
      const millis = value.getTime()
      if (!Number.isFinite(millis)) throw REFUSED
      this.#float(F.DATE, millis)
    } else if (types.isUint8Array(value)) {
      this.#head(F.BYTES, value.length)
      this.#append(value)
    } else if (types.isFloat32Array(value)) {
      this.#head(F.FLOATS, value.length)
      this.#append(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    } else {
      throw REFUSED
    }
  }

  /** Writes an object of the shape expected in its place; writes nothing and returns false if it has another. */
  #knownObject(object: object, place: Place, depth: number): boolean {
    const { shape } = place
    if (shape === undefined) return false
    const { names, places } = shape
    const values = this.#values
    const base = this.#top
    // Decided before any member is walked: to walk them and then think better of it could double at every level.
    if (!takeMembers(object as Record<string, unknown>, names, values, base)) return false
    this.#top = base + names.length
    this.#shapeHead(shape)
    for (let i = 0; i < names.length; i++) {
      const value = values[base + i]
      values[base + i] = undefined
      this.#value(value, places[i] as Place, depth)
    }
    this.#top = base
    return true
  }

  #newObject(object: object, without: string | undefined, place: Place, depth: number): void {
    if (getOwnPropertySymbols(object).length > 0) throw REFUSED
    const names: string[] = []
    const values: unknown[] = []
    for (const name of ownKeys(object)) {
      if (name === without) continue
      const value = (object as Record<string, unknown>)[name]
      if (value === undefined) continue
      if (!name.isWellFormed()) throw REFUSED
      names.push(name)
      values.push(value)
    }
    const shape = this.#shapes.find(names, place)
    place.shape = shape
    if (shape) this.#shapeHead(shape)
    else this.#head(F.NAMED_OBJECT, names.length)
    for (let i = 0; i < names.length; i++) {
      if (!shape) this.#value(names[i], place, depth)
      this.#value(values[i], shape ? (shape.places[i] as Place) : place, depth)
    }
  }

  #shapeHead(shape: Shape): void {
    if (shape.id <= F.OBJECT_LAST - F.OBJECT) {
      this.#bytes[this.#at++] = F.OBJECT + shape.id
    } else {
      this.#head(F.LONG_OBJECT, shape.id)
    }
  }

  #array(array: readonly unknown[], place: Place, depth: number): void {
    const { length } = array
    if (length <= F.ARRAY_LAST - F.ARRAY) this.#bytes[this.#at++] = F.ARRAY + length
    else this.#head(F.LONG_ARRAY, length)
    for (let i = 0; i < length; i++) this.#value(array[i], place, depth)
  }

  #string(text: string): void {
    const { length } = text
    if (length <= F.STRING_LAST - F.STRING) {
      this.#bytes[this.#at++] = F.STRING + length
    } else {
      this.#bytes[this.#at++] = F.LONG_STRING
      this.#varint(length)
    }
    if (this.#wide) {
      // Each by itself: halves of a pair that meet in the joined text would pass for a whole one.
      if (!text.isWellFormed()) throw REFUSED
      this.#varint(utf8Length(text))
    }
    this.#text += text
  }

  #number(number: number): void {
    const bytes = this.#bytes
    if ((number | 0) !== number) {
      if (number - number !== 0) throw REFUSED
      this.#float(F.FLOAT, number)
    } else if (number >= 0 && number < 320) {
      if (number > F.INT_LAST) bytes[this.#at++] = F.INT_8
      bytes[this.#at++] = number > F.INT_LAST ? number - 64 : number
    } else if (number >= -32768 && number < 32768) {
      bytes[this.#at++] = F.INT_16
      bytes[this.#at++] = number
      bytes[this.#at++] = number >> 8
    } else {
      bytes[this.#at++] = F.INT_32
      bytes[this.#at++] = number
      bytes[this.#at++] = number >> 8
      bytes[this.#at++] = number >> 16
      bytes[this.#at++] = number >> 24
    }
  }

  #float(tag: number, number: number): void {
    const at = this.#at
    this.#bytes[at] = tag
    this.#view.setFloat64(at + 1, number, true)
    this.#at = at + 9
  }

  #bigint(number: bigint): void {
    const negative = number < 0n
    const hex = number === 0n ? '' : (negative ? -number : number).toString(16)
    const magnitude = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
    if (magnitude.length > MAX_BIGINT_BYTES) throw REFUSED
    this.#head(F.BIGINT, (magnitude.length << 1) | (negative ? 1 : 0))
    this.#append(magnitude)
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #head(tag: number, number: number): void {
    this.#bytes[this.#at++] = tag
    this.#varint(number)
  }

  #varint(number: number): void {
    const bytes = this.#bytes
    while (number > 0x7f) {
      bytes[this.#at++] = (number & 0x7f) | 0x80
      number >>>= 7
    }
    bytes[this.#at++] = number
  }

  /** Makes room for `more` bytes, and for the tag and the fixed bytes of one value behind them. Every value begins so. */
  #reserve(more: number): void {
    const needed = this.#at + more + SCALAR_ROOM
    if (needed <= this.#bytes.length) return
    if (this.#at > MAX_ENCODED_DOCUMENT_BYTES || more > 4 * MAX_ENCODED_DOCUMENT_BYTES) throw TOO_LARGE
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#use(grown)
  }

  #use(bytes: Buffer): void {
    this.#bytes = bytes
    this.#view = viewOf(bytes)
  }
}

const viewOf = ({ buffer, byteOffset, length }: Buffer) => new DataView(buffer, byteOffset, length)

/**
 * Puts the members of an object behind the first `base` of `values`, if these are the names of all that are to be stored.
 * Otherwise it is false, and none is there. A getter is asked once, so what is written is what was compared.
 */
function takeMembers(
  object: Record<string, unknown>,
  names: readonly string[],
  values: unknown[],
  base: number,
): boolean {
  let count = 0
  let isKnown = true
  // As quick as the engine knows the object's names, where a list of them would be made for each object.
  for (const name in object) {
    const value = object[name]
    if (name !== names[count] || value === undefined) {
      isKnown = false
      break
    }
    values[base + count++] = value
  }
  // Inherited members come last here, and are none of the object's.
  isKnown &&= count === names.length && (count === 0 || hasOwn(object, names[count - 1] as string))
  if (isKnown && getOwnPropertySymbols(object).length === 0) return true
  values.fill(undefined, base, base + count)
  return false
}

/** Bytes of a string in UTF-8. */
function utf8Length(text: string): number {
  if (text.length > SHORT_STRING) return Buffer.byteLength(text)
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    // A surrogate pair takes four bytes, two for each half; unpaired halves are refused later.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return bytes
}

const writer = new Writer()

/**
 * The record of a document, codec byte first, good until the next one is written. `without` names a member to leave out.
 *
 * Throws `REFUSED` or `TOO_LARGE`, and what getters of the document throw.
 */
export function writeRecord(
  document: object,
  without: string | undefined,
  root: Place,
  shapes: ShapeTable,
): RecordBytes {
  if (writer.busy) return new Writer().write(document, without, root, shapes)
  writer.busy = true
  try {
    return writer.write(document, without, root, shapes)
  } catch (error) {
    writer.forget()
    throw error
  } finally {
    writer.busy = false
  }
}
