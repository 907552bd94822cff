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
/** Text of two records that lies further apart is not decoded together: most of it would be what lies between. */
const MAX_BETWEEN_TEXT_BYTES = 256
/** Bytes of the longest number in a structure. */
const MAX_VARINT_BYTES = 5
/** Codec, flags and a length of two bytes. */
const SHORT_HEADER = 4

/** Arrays begin as copies of this one, for the reason why objects are copies; see `compile`. */
const NO_ELEMENTS: unknown[] = []

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)

/** The document being read. One object, so that functions made from text can see it, too. */
class Reading {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  wide = false
  /** The text is decoded and its characters are its bytes: strings can be cut off as they come. */
  plain = false
  /** The decoded text, or undefined if its strings are decoded one by one. */
  text: string | undefined = undefined
  /** The next character of the text, or its next byte if it is not decoded. */
  textAt = 0
  shapes: ShapeLookup | undefined = undefined
}

const now = new Reading()

/**
 * The text of records that lie close together in a block, decoded for all of them at once with what lies between: making a
 * string takes longer than copying what would be a few of them. A string that is kept keeps all of that in memory, 2 KiB at
 * most, so it is done only where neighbours are near. Only as good as what is in the block.
 */
export class SharedText {
  /** Behind the last record of the block. */
  readonly #limit: number
  #text = ''
  #from = 0
  #to = 0
  /** Where the text that was lent last ended. */
  #last = -1

  /** For records that end at or before `limit`. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Gives `now` the text between two places, which is plain and not long. */
  lend(bytes: Buffer, from: number, to: number): void {
    if (to > this.#to || from < this.#from) {
      const isNear = this.#last >= 0 && from - this.#last <= MAX_BETWEEN_TEXT_BYTES
      this.#from = from
      this.#to = isNear ? Math.min(this.#limit, from + MAX_SHARED_TEXT_BYTES) : to
      this.#text = bytes.toString('latin1', from, this.#to)
    }
    this.#last = to
    now.text = this.#text
    now.textAt = from - this.#from
  }
}

/**
 * The document stored in `record` between `start` and `end`, codec byte first. `shared` is of the block that is read now, and
 * its records are read in their order.
 */
export function readRecord(
  record: Buffer,
  start: number,
  end: number,
  table: ShapeLookup,
  shared?: SharedText,
): object {
  if (record[start] !== F.CODEC_RECORD) throw unknownFormat(`codec ${record[start]}`)
  const flags = record[start + 1] as number
  if (flags > (F.FLAG_WIDE | F.FLAG_LONG)) throw unknownFormat(`flags ${flags}`)
  const isLong = (flags & F.FLAG_LONG) !== 0
  const wide = (flags & F.FLAG_WIDE) !== 0
  const from = start + (isLong ? 6 : 4)
  const split =
    from +
    (isLong ? record.readUInt32LE(start + 2) : (record[start + 2] as number) | ((record[start + 3] as number) << 8))
  if (split > end) throw damaged('a structure that ends behind it')
  now.bytes = record
  now.at = from
  now.wide = wide
  now.shapes = table
  if (end - split <= MAX_SHARED_TEXT_BYTES) {
    now.plain = !wide
    if (shared !== undefined && !wide) {
      shared.lend(record, split, end)
    } else {
      now.text = record.toString(wide ? 'utf8' : 'latin1', split, end)
      now.textAt = 0
    }
  } else {
    now.text = undefined
    now.plain = false
    now.textAt = split
  }
  return value() as object
}

/** The document whose record lies at the start of a block, with its text, which is plain and not long. */
export function readWithText(record: Buffer, plainText: string, table: ShapeLookup): object {
  now.bytes = record
  now.at = SHORT_HEADER
  now.wide = false
  now.shapes = table
  now.text = plainText
  now.plain = true
  now.textAt = 0
  return value() as object
}

function value(): unknown {
  const tag = now.bytes[now.at++] as number
  if (tag <= F.INT_LAST) return tag
  if (tag <= F.STRING_LAST) return string(tag - F.STRING)
  if (tag <= F.ARRAY_LAST) return array(tag - F.ARRAY)
  if (tag <= F.OBJECT_LAST) return object(tag - F.OBJECT)
  return otherValue(tag)
}

function otherValue(tag: number): unknown {
  const { bytes } = now
  switch (tag) {
    case F.NULL:
      return null
    case F.FALSE:
      return false
    case F.TRUE:
      return true
    case F.INT_8:
      return (bytes[now.at++] as number) + 64
    case F.INT_16:
      return (((bytes[now.at++] as number) | ((bytes[now.at++] as number) << 8)) << 16) >> 16
    case F.INT_32:
      now.at += 4
      return bytes.readInt32LE(now.at - 4)
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
  const size = now.wide ? varint() : units
  const start = now.textAt
  if (now.text === undefined) {
    now.textAt = start + size
    return now.wide ? now.bytes.toString('utf8', start, now.textAt) : now.bytes.toString('latin1', start, now.textAt)
  }
  now.textAt = start + units
  return now.text.substring(start, now.textAt)
}

function array(length: number): unknown[] {
  const elements = NO_ELEMENTS.slice()
  for (let i = 0; i < length; i++) elements.push(value())
  return elements
}

function object(id: number): object {
  const shape = (now.shapes as ShapeLookup).byId(id)
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

/**
 * A function that makes objects of a shape. What most members are, small integers and short strings, it reads itself.
 *
 * Each object is a copy of one that has all the members, and not an object literal: where most of what a literal made lived
 * for a while, V8 makes all that it makes from then on in the old generation ("pretenuring"). Objects die there unseen until
 * a major collection and keep what they refer to, so that documents nobody has any more are copied by each minor one.
 */
function compile(shape: Shape): () => object {
  // In brackets, a name is never the prototype; without them, it is faster.
  const written = (name: string) => (name === '__proto__' ? '["__proto__"]' : JSON.stringify(name))
  const members = shape.names.map((name) => `${written(name)}: undefined`)
  const sets = shape.names.map((name, index) => `made[${JSON.stringify(name)}] = v${index}`)
  const reads = shape.names.map((_, index) => {
    const cut = `text.substring(textAt, textAt += tag - ${F.STRING})`
    const general = `now.at = at; now.textAt = textAt; v${index} = value(); at = now.at; textAt = now.textAt`
    return `let v${index}; tag = bytes[at]
      if (tag <= ${F.INT_LAST}) { v${index} = tag; at++ }
      else if (tag <= ${F.STRING_LAST} && plain) { v${index} = ${cut}; at++ }
      else { ${general} }`
  })
  const body = `const all = { ${members.join(', ')} }
  return () => {
    const { bytes, plain, text } = now
    let { at, textAt } = now
    let tag
    ${reads.join('\n')}
    now.at = at; now.textAt = textAt
    const made = { ...all }
    ${sets.join('; ')}
    return made
  }`
  try {
    return new Function('now', 'value', body)(now, value) as () => object
  } catch {
    return () => loop(shape)
  }
}

function readFloat(): number {
  const { bytes, at } = now
  // One by one, as a loop takes twice as long.
  floatBytes[0] = bytes[at] as number
  floatBytes[1] = bytes[at + 1] as number
  floatBytes[2] = bytes[at + 2] as number
  floatBytes[3] = bytes[at + 3] as number
  floatBytes[4] = bytes[at + 4] as number
  floatBytes[5] = bytes[at + 5] as number
  floatBytes[6] = bytes[at + 6] as number
  floatBytes[7] = bytes[at + 7] as number
  now.at = at + 8
  return float[0] as number
}

function bigint(coded: number): bigint {
  const magnitude = coded >> 1
  if (magnitude === 0) return 0n
  const number = BigInt(`0x${now.bytes.toString('hex', now.at, now.at + magnitude)}`)
  now.at += magnitude
  return (coded & 1) === 1 ? -number : number
}

/** The next bytes of the structure in memory of their own. */
function take(length: number): Uint8Array<ArrayBuffer> {
  const taken = new Uint8Array(length)
  taken.set(now.bytes.subarray(now.at, now.at + length))
  now.at += length
  return taken
}

function varint(): number {
  let number = 0
  for (let read = 0; read < MAX_VARINT_BYTES; read++) {
    const byte = now.bytes[now.at++] as number
    number |= (byte & 0x7f) << (7 * read)
    if (byte < 0x80) return number >>> 0
  }
  throw damaged('a number without end')
}

function damaged(what: string): StoreError {
  return new StoreError('ERR_CORRUPT', `a document has ${what}`)
}

function unknownFormat(what: string): StoreError {
  return new StoreError('ERR_NEWER_FORMAT', `a document uses ${what}, which this version does not know`)
}
