/**
 * From a document to the bytes of a record.
 *
 * Structure goes into a buffer as the document is walked; all strings are joined to one text, which is written behind
 * it in one call. Whether the text has anything beyond ASCII shows only then; if the guess was wrong, the document is
 * walked once more. An object is first compared with the shape that the last one in its place had, which costs one
 * comparison of names per member and is right nearly always.
 *
 * Getters and proxies of a document run while it is walked. If they write to a store, they use another writer.
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

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)
const objectPrototype = Object.prototype
const { getPrototypeOf, getOwnPropertySymbols, keys: ownKeys } = Object

/** Writes one document at a time. */
class Writer {
  busy = false
  #bytes = Buffer.allocUnsafeSlow(FIRST_CAPACITY)
  #at = 0
  #text = ''
  #wide = false
  #shapes!: ShapeTable

  /** A record of its own memory. Throws `REFUSED` or `TOO_LARGE`. */
  write(document: object, without: string | undefined, root: Place, shapes: ShapeTable): Buffer {
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

  #finish(end: number): Buffer {
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
    const record = Buffer.allocUnsafe(end - start)
    bytes.copy(record, 0, start, end)
    if (bytes.length > 16 * FIRST_CAPACITY) this.#bytes = Buffer.allocUnsafeSlow(FIRST_CAPACITY)
    return record
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
    // Decided before any member is walked: to walk them and then think better of it could double at every level.
    if (shape === undefined || !hasShape(object as Record<string, unknown>, shape.names)) return false
    const { names, places } = shape
    this.#shapeHead(shape)
    for (let i = 0; i < names.length; i++) {
      this.#value((object as Record<string, unknown>)[names[i] as string], places[i] as Place, depth)
    }
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
    const bytes = this.#bytes
    float[0] = number
    bytes[this.#at++] = tag
    for (let i = 0; i < 8; i++) bytes[this.#at++] = floatBytes[i] as number
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
    this.#bytes = grown
  }
}

/** Whether these are the names of all members that are to be stored. */
function hasShape(object: Record<string, unknown>, names: readonly string[]): boolean {
  const own = ownKeys(object)
  if (own.length !== names.length) return false
  for (let i = 0; i < own.length; i++) {
    const name = own[i] as string
    if (name !== names[i] || object[name] === undefined) return false
  }
  return getOwnPropertySymbols(object).length === 0
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
 * The record of a document in memory of its own, codec byte first. `without` names a member to leave out.
 *
 * Throws `REFUSED` or `TOO_LARGE`, and what getters of the document throw.
 */
export function writeRecord(document: object, without: string | undefined, root: Place, shapes: ShapeTable): Buffer {
  if (writer.busy) return new Writer().write(document, without, root, shapes)
  writer.busy = true
  try {
    return writer.write(document, without, root, shapes)
  } finally {
    writer.busy = false
  }
}
