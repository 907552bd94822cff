'use strict'
var __createBinding =
  (this && this.__createBinding) ||
  (Object.create
    ? (o, m, k, k2) => {
        if (k2 === undefined) k2 = k
        var desc = Object.getOwnPropertyDescriptor(m, k)
        if (!desc || ('get' in desc ? !m.__esModule : desc.writable || desc.configurable)) {
          desc = { enumerable: true, get: () => m[k] }
        }
        Object.defineProperty(o, k2, desc)
      }
    : (o, m, k, k2) => {
        if (k2 === undefined) k2 = k
        o[k2] = m[k]
      })
var __setModuleDefault =
  (this && this.__setModuleDefault) ||
  (Object.create
    ? (o, v) => {
        Object.defineProperty(o, 'default', { enumerable: true, value: v })
      }
    : (o, v) => {
        o['default'] = v
      })
var __importStar =
  (this && this.__importStar) ||
  (() => {
    var ownKeys = (o) => {
      ownKeys =
        Object.getOwnPropertyNames ||
        ((o) => {
          var ar = []
          for (var k in o) if (Object.hasOwn(o, k)) ar[ar.length] = k
          return ar
        })
      return ownKeys(o)
    }
    return (mod) => {
      if (mod && mod.__esModule) return mod
      var result = {}
      if (mod != null)
        for (var k = ownKeys(mod), i = 0; i < k.length; i++) if (k[i] !== 'default') __createBinding(result, mod, k[i])
      __setModuleDefault(result, mod)
      return result
    }
  })()
Object.defineProperty(exports, '__esModule', { value: true })
exports.TOO_LARGE = exports.REFUSED = void 0
exports.writeRecord = writeRecord
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
const node_util_1 = require('node:util')
const limits_js_1 = require('../limits.js')
const F = __importStar(require('./format.js'))
const plain_js_1 = require('./plain.js')
/** The document holds what records cannot; who wants to know what looks for it with `findFault`. */
exports.REFUSED = Symbol('refused')
/** The document is over the limit in bytes. */
exports.TOO_LARGE = Symbol('too large')
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
  #shapes
  /** A record of its own memory. Throws `REFUSED` or `TOO_LARGE`. */
  write(document, without, root, shapes) {
    this.#shapes = shapes
    this.#walk(document, without, root)
    let end = this.#writeText()
    const isWide = end - this.#at !== this.#text.length
    if (isWide !== this.#wide) {
      this.#wide = isWide
      this.#walk(document, without, root)
      end = this.#writeText()
      // A getter that answers differently each time.
      if ((end - this.#at !== this.#text.length) !== isWide) throw exports.REFUSED
    }
    if (isWide && !this.#text.isWellFormed()) throw exports.REFUSED
    this.#text = ''
    return this.#finish(end)
  }
  #walk(document, without, root) {
    this.#at = HEADER_ROOM
    this.#text = ''
    if (without !== undefined || !this.#knownObject(document, root, 1)) this.#newObject(document, without, root, 1)
  }
  #writeText() {
    const room = this.#wide ? Buffer.byteLength(this.#text) : this.#text.length * 3
    if (this.#at + this.#text.length > limits_js_1.MAX_ENCODED_DOCUMENT_BYTES) throw exports.TOO_LARGE
    this.#reserve(room)
    return this.#at + this.#bytes.write(this.#text, this.#at, 'utf8')
  }
  #finish(end) {
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
    if (end - start > limits_js_1.MAX_ENCODED_DOCUMENT_BYTES) throw exports.TOO_LARGE
    const record = Buffer.allocUnsafe(end - start)
    bytes.copy(record, 0, start, end)
    if (bytes.length > 16 * FIRST_CAPACITY) this.#bytes = Buffer.allocUnsafeSlow(FIRST_CAPACITY)
    return record
  }
  #value(value, place, depth) {
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
        throw exports.REFUSED
    }
  }
  #object(value, place, depth) {
    if (Array.isArray(value)) {
      if (depth === limits_js_1.MAX_DOCUMENT_DEPTH) throw exports.REFUSED
      this.#array(value, place, depth + 1)
    } else if (getPrototypeOf(value) === objectPrototype || (0, plain_js_1.isPlainObject)(value)) {
      if (depth === limits_js_1.MAX_DOCUMENT_DEPTH) throw exports.REFUSED
      if (!this.#knownObject(value, place, depth + 1)) this.#newObject(value, undefined, place, depth + 1)
    } else if (node_util_1.types.isDate(value)) {
      const millis = value.getTime()
      if (!Number.isFinite(millis)) throw exports.REFUSED
      this.#float(F.DATE, millis)
    } else if (node_util_1.types.isUint8Array(value)) {
      this.#head(F.BYTES, value.length)
      this.#append(value)
    } else if (node_util_1.types.isFloat32Array(value)) {
      this.#head(F.FLOATS, value.length)
      this.#append(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    } else {
      throw exports.REFUSED
    }
  }
  /** Writes an object of the shape expected in its place; writes nothing and returns false if it has another. */
  #knownObject(object, place, depth) {
    const { shape } = place
    if (shape === undefined) return false
    const { names, places } = shape
    const { length } = names
    const start = this.#at
    const text = this.#text
    this.#shapeHead(shape)
    this.#reserve(length * SCALAR_ROOM)
    let i = 0
    for (const name in object) {
      if (i === length || name !== names[i]) break
      const value = object[name]
      if (value === undefined) break
      this.#value(value, places[i], depth)
      i++
    }
    // Counted again, because what is inherited or comes behind must not be left out or slip in.
    if (i === length && ownKeys(object).length === length && getOwnPropertySymbols(object).length === 0) return true
    this.#at = start
    this.#text = text
    return false
  }
  #newObject(object, without, place, depth) {
    if (getOwnPropertySymbols(object).length > 0) throw exports.REFUSED
    const names = []
    const values = []
    for (const name of ownKeys(object)) {
      if (name === without) continue
      const value = object[name]
      if (value === undefined) continue
      if (!name.isWellFormed()) throw exports.REFUSED
      names.push(name)
      values.push(value)
    }
    const shape = this.#shapes.find(names, place)
    place.shape = shape
    if (shape) this.#shapeHead(shape)
    else this.#head(F.NAMED_OBJECT, names.length)
    this.#reserve(2 * names.length * SCALAR_ROOM)
    for (let i = 0; i < names.length; i++) {
      if (!shape) this.#string(names[i])
      this.#value(values[i], shape ? shape.places[i] : place, depth)
    }
  }
  #shapeHead(shape) {
    if (shape.id <= F.OBJECT_LAST - F.OBJECT) {
      this.#reserve(1)
      this.#bytes[this.#at++] = F.OBJECT + shape.id
    } else {
      this.#head(F.LONG_OBJECT, shape.id)
    }
  }
  #array(array, place, depth) {
    const { length } = array
    this.#reserve((length + 1) * SCALAR_ROOM)
    if (length <= F.ARRAY_LAST - F.ARRAY) this.#bytes[this.#at++] = F.ARRAY + length
    else this.#head(F.LONG_ARRAY, length)
    for (let i = 0; i < length; i++) this.#value(array[i], place, depth)
  }
  #string(text) {
    const { length } = text
    if (length <= F.STRING_LAST - F.STRING) {
      this.#bytes[this.#at++] = F.STRING + length
    } else {
      this.#bytes[this.#at++] = F.LONG_STRING
      this.#varint(length)
    }
    if (this.#wide) this.#varint(utf8Length(text))
    this.#text += text
  }
  #number(number) {
    const bytes = this.#bytes
    if ((number | 0) !== number) {
      if (number - number !== 0) throw exports.REFUSED
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
  #float(tag, number) {
    const bytes = this.#bytes
    float[0] = number
    bytes[this.#at++] = tag
    for (let i = 0; i < 8; i++) bytes[this.#at++] = floatBytes[i]
  }
  #bigint(number) {
    const negative = number < 0n
    const hex = number === 0n ? '' : (negative ? -number : number).toString(16)
    const magnitude = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
    if (magnitude.length > limits_js_1.MAX_BIGINT_BYTES) throw exports.REFUSED
    this.#head(F.BIGINT, (magnitude.length << 1) | (negative ? 1 : 0))
    this.#append(magnitude)
  }
  #append(bytes) {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }
  #head(tag, number) {
    this.#reserve(0)
    this.#bytes[this.#at++] = tag
    this.#varint(number)
  }
  #varint(number) {
    const bytes = this.#bytes
    while (number > 0x7f) {
      bytes[this.#at++] = (number & 0x7f) | 0x80
      number >>>= 7
    }
    bytes[this.#at++] = number
  }
  /** Makes room for `more` bytes and one scalar. Every container makes room for its members, so scalars need not. */
  #reserve(more) {
    const needed = this.#at + more + SCALAR_ROOM
    if (needed <= this.#bytes.length) return
    if (this.#at > limits_js_1.MAX_ENCODED_DOCUMENT_BYTES || more > 4 * limits_js_1.MAX_ENCODED_DOCUMENT_BYTES)
      throw exports.TOO_LARGE
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}
/** Bytes of a string in UTF-8. */
function utf8Length(text) {
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
function writeRecord(document, without, root, shapes) {
  if (writer.busy) return new Writer().write(document, without, root, shapes)
  writer.busy = true
  try {
    return writer.write(document, without, root, shapes)
  } finally {
    writer.busy = false
  }
}
