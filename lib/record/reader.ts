/**
 * From the bytes of a record to a document.
 *
 * The whole text is decoded at once and cut apart. Objects of one shape are made by a function made for it, so that
 * they share one hidden class and no name is looked up; where code cannot be made from text, for example under a
 * content security policy, a loop does the same more slowly. Reading runs no code of the user, so the state of the
 * document being read can lie in this module.
 */
import { StoreError } from '../errors.js'
import * as F from './format.js'
import type { Shape, ShapeLookup } from './shapes.js'

/** Shapes that are read rarely are not worth a function. */
const READS_BEFORE_COMPILING = 8
/** Strings of longer texts are decoded one by one: a part of a text keeps the whole text in memory. */
const MAX_SHARED_TEXT_BYTES = 2048

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

let bytes: Buffer
let at = 0
let wide = false
let shapes: ShapeLookup
/** The decoded text, or undefined if its strings are decoded one by one. */
let text: string | undefined
/** The next character of the text, or its next byte if it is not decoded. */
let textAt = 0

/** The document stored in `record` between `start` and `end`, codec byte first. */
export function readRecord(record: Buffer, start: number, end: number, table: ShapeLookup): object {
  if (record[start] !== F.CODEC_RECORD) throw unknownFormat(`codec ${record[start]}`)
  const flags = record[start + 1] as number
  if (flags > (F.FLAG_WIDE | F.FLAG_LONG)) throw unknownFormat(`flags ${flags}`)
  const isLong = (flags & F.FLAG_LONG) !== 0
  const from = start + (isLong ? 6 : 4)
  const split = from + (isLong ? record.readUInt32LE(start + 2) : record.readUInt16LE(start + 2))
  bytes = record
  at = from
  wide = (flags & F.FLAG_WIDE) !== 0
  shapes = table
  if (end - split <= MAX_SHARED_TEXT_BYTES) {
    text = wide ? record.toString('utf8', split, end) : record.toString('latin1', split, end)
    textAt = 0
  } else {
    text = undefined
    textAt = split
  }
  return value() as object
}

function value(): unknown {
  const tag = bytes[at++] as number
  if (tag <= F.INT_LAST) return tag
  if (tag <= F.STRING_LAST) return string(tag - F.STRING)
  if (tag <= F.ARRAY_LAST) return array(tag - F.ARRAY)
  if (tag <= F.OBJECT_LAST) return object(tag - F.OBJECT)
  switch (tag) {
    case F.NULL:
      return null
    case F.FALSE:
      return false
    case F.TRUE:
      return true
    case F.INT_8:
      return (bytes[at++] as number) + 64
    case F.INT_16:
      return (((bytes[at++] as number) | ((bytes[at++] as number) << 8)) << 16) >> 16
    case F.INT_32:
      at += 4
      return bytes.readInt32LE(at - 4)
    case F.FLOAT:
      return readFloat()
    case F.LONG_STRING:
      return string(varint())
    case F.LONG_ARRAY:
      return array(varint())
    case F.LONG_OBJECT:
      return object(varint())
    case F.NAMED_OBJECT:
      return namedObject(varint())
    case F.DATE:
      return new Date(readFloat())
    case F.BIGINT:
      return bigint(varint())
    case F.BYTES:
      return take(varint())
    case F.FLOATS:
      return new Float32Array(take(varint() * 4).buffer)
    default:
      throw unknownFormat(`a value of type ${tag}`)
  }
}

function string(units: number): string {
  const size = wide ? varint() : units
  if (text === undefined) {
    const start = textAt
    textAt += size
    return wide ? bytes.toString('utf8', start, textAt) : bytes.toString('latin1', start, textAt)
  }
  const start = textAt
  textAt += units
  return text.substring(start, textAt)
}

function array(length: number): unknown[] {
  const elements: unknown[] = []
  for (let i = 0; i < length; i++) elements.push(value())
  return elements
}

function object(id: number): object {
  const shape = shapes.byId(id)
  if (shape.build !== undefined) return shape.build()
  if (++shape.reads === READS_BEFORE_COMPILING) shape.build = compile(shape)
  return loop(shape)
}

function loop(shape: Shape): object {
  const made: Record<string, unknown> = {}
  for (const name of shape.names) setMember(made, name, value())
  return made
}

function namedObject(count: number): object {
  const made: Record<string, unknown> = {}
  for (let i = 0; i < count; i++) {
    const name = value() as string
    setMember(made, name, value())
  }
  return made
}

/** A member named `__proto__` is a member like any other, not the prototype. */
function setMember(made: Record<string, unknown>, name: string, member: unknown): void {
  if (name !== '__proto__') made[name] = member
  else Object.defineProperty(made, name, { value: member, enumerable: true, configurable: true, writable: true })
}

/** A function that makes objects of a shape. */
function compile(shape: Shape): () => object {
  // In brackets, a name is never the prototype; without them, it is faster.
  const written = (name: string) => (name === '__proto__' ? '["__proto__"]' : JSON.stringify(name))
  const members = shape.names.map((name) => `${written(name)}: value()`)
  try {
    return new Function('value', `return () => ({ ${members.join(', ')} })`)(value) as () => object
  } catch {
    return () => loop(shape)
  }
}

function readFloat(): number {
  for (let i = 0; i < 8; i++) floatBytes[i] = bytes[at++] as number
  return float[0] as number
}

function bigint(coded: number): bigint {
  const magnitude = coded >> 1
  if (magnitude === 0) return 0n
  const number = BigInt(`0x${bytes.toString('hex', at, at + magnitude)}`)
  at += magnitude
  return (coded & 1) === 1 ? -number : number
}

/** The next bytes of the structure in memory of their own. */
function take(length: number): Uint8Array<ArrayBuffer> {
  const taken = new Uint8Array(length)
  taken.set(bytes.subarray(at, at + length))
  at += length
  return taken
}

function varint(): number {
  let number = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] as number
    number |= (byte & 0x7f) << shift
    if (byte < 0x80) return number >>> 0
  }
}

function unknownFormat(what: string): StoreError {
  return new StoreError('ERR_NEWER_FORMAT', `a document uses ${what}, which this version does not know`)
}
