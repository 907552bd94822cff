/**
 * Codec 1: documents as JSON text. What is stored is what comes back: a document that JSON cannot hold exactly is
 * refused with the place of the offending value, instead of being changed on the way as `JSON.stringify` would do.
 *
 * Exact are: strings (lone surrogates included), finite numbers, booleans, null, arrays without holes and plain
 * objects, own `__proto__` members included. Two things are as in JSON: object members that are undefined are left
 * out, and −0 becomes 0. Only own enumerable members of objects and the elements of arrays are stored. Dates, Maps, Sets, typed arrays, bigints and
 * instances of classes are refused, and `toJSON` is never called.
 *
 * The check walks the document once without recording places. Only when it fails is the document walked again, slowly,
 * to say where and why.
 */
import { describe, StoreError } from './errors.js'
import { MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH } from './limits.js'

/** The codec byte of JSON text. */
export const CODEC_JSON = 1

const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]*$/
const { getPrototypeOf, getOwnPropertySymbols, hasOwn, keys: ownKeys } = Object

/**
 * The JSON text of a document. `without` names a member to leave out: the key, when JSON cannot hold it.
 *
 * @throws StoreError `ERR_VALIDATION` or `ERR_TOO_LARGE`
 */
export function encodeDocument(document: object, collection: string, without?: string): string {
  const stored = without === undefined ? document : omit(document, without)
  if (!isPlainObject(stored) || !holds(stored, 1)) throw explain(stored, collection)
  let text: string
  try {
    text = JSON.stringify(stored)
  } catch (cause) {
    // The check passed, so only a getter or proxy that answers differently each time can get here.
    throw new StoreError('ERR_VALIDATION', 'the document changed while it was encoded', {
      collection,
      place: '$',
      cause,
    })
  }
  if (text.length * 3 > MAX_DOCUMENT_BYTES) checkSize(Buffer.byteLength(text), collection)
  return text
}

/** The document stored in `bytes` between `start` and `end`, codec byte first. */
export function decodeDocument(bytes: Buffer, start: number, end: number): unknown {
  if (bytes[start] !== CODEC_JSON) {
    throw new StoreError('ERR_NEWER_FORMAT', `a document uses codec ${bytes[start]}, which this version does not know`)
  }
  return JSON.parse(bytes.toString('utf8', start + 1, end))
}

/** Whether `value` is an object that was made by a literal, by JSON or without a prototype, in any realm. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || isForeignObjectPrototype(prototype)
}

/** `Object.prototype` of another realm: the only prototype that itself has none and owns `isPrototypeOf`. */
function isForeignObjectPrototype(prototype: object): boolean {
  return getPrototypeOf(prototype) === null && hasOwn(prototype, 'isPrototypeOf')
}

// ---------------------------------------------------------------- the check

/** Whether JSON holds the members of a plain object exactly. */
function holds(object: Record<string, unknown>, depth: number): boolean {
  for (const name of ownKeys(object)) {
    const value = object[name]
    if (value !== undefined && !holdsValue(value, depth)) return false
  }
  return getOwnPropertySymbols(object).length === 0
}

function holdsValue(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value)
    case 'object':
      if (value === null) return true
      if (depth === MAX_DOCUMENT_DEPTH) return false
      if (Array.isArray(value)) return holdsArray(value, depth + 1)
      return isPlainObject(value) && holds(value, depth + 1)
    default:
      return false
  }
}

function holdsArray(array: unknown[], depth: number): boolean {
  for (let i = 0; i < array.length; i++) if (!holdsValue(array[i], depth)) return false
  return !('toJSON' in array)
}

function checkSize(bytes: number, collection: string): void {
  if (bytes <= MAX_DOCUMENT_BYTES) return
  const message = `a document of ${bytes} bytes is over the limit of ${MAX_DOCUMENT_BYTES} bytes`
  throw new StoreError('ERR_TOO_LARGE', message, { collection, place: '$' })
}

function omit(document: object, name: string): object {
  if (!isPlainObject(document)) return document
  const { [name]: _, ...rest } = document
  return rest
}

// ---------------------------------------------------------------- the explanation

/** A fault and where it is. */
interface Fault {
  readonly place: string
  readonly what: string
}

function explain(document: unknown, collection: string): StoreError {
  const fault = findFault(document, '$', []) ?? { place: '$', what: 'changed while it was checked' }
  const message = `${fault.place} cannot be stored in collection ${JSON.stringify(collection)}: ${fault.what}`
  return new StoreError('ERR_VALIDATION', message, { collection, place: fault.place })
}

/** The first fault at or below `value`; `above` are the objects on the way to it, for cycles. */
function findFault(value: unknown, place: string, above: readonly object[]): Fault | undefined {
  if (typeof value !== 'object' || value === null) {
    return above.length === 0
      ? { place, what: `a document is a plain object, not ${describe(value)}` }
      : scalarFault(value, place)
  }
  const circle = above.indexOf(value)
  if (circle >= 0) return { place, what: 'it is a cycle: the value contains itself' }
  if (above.length === MAX_DOCUMENT_DEPTH) return { place, what: `it is nested more than ${MAX_DOCUMENT_DEPTH} deep` }
  const path = [...above, value]
  if (Array.isArray(value) && above.length > 0) return arrayFault(value, place, path)
  if (isPlainObject(value)) return objectFault(value, place, path)
  if (above.length === 0) return { place, what: `a document is a plain object, not ${describe(value)}` }
  return { place, what: `JSON documents cannot hold ${describe(value)}; convert it first` }
}

function scalarFault(value: unknown, place: string): Fault | undefined {
  if (holdsValue(value, 1)) return undefined
  if (typeof value === 'number') return { place, what: `${value} is not a JSON number` }
  if (value === undefined) return { place, what: 'an array cannot hold undefined; use null' }
  return { place, what: `JSON documents cannot hold ${describe(value)}` }
}

function objectFault(object: Record<string, unknown>, place: string, path: readonly object[]): Fault | undefined {
  for (const name of ownKeys(object)) {
    const value = object[name]
    if (value === undefined) continue
    const fault = findFault(value, place + member(name), path)
    if (fault) return fault
  }
  const [symbol] = getOwnPropertySymbols(object)
  return symbol && { place: `${place}[${String(symbol)}]`, what: 'JSON documents cannot hold members named by symbols' }
}

function arrayFault(array: readonly unknown[], place: string, path: readonly object[]): Fault | undefined {
  for (let i = 0; i < array.length; i++) {
    const fault = findFault(array[i], `${place}[${i}]`, path)
    if (fault) return fault
  }
  return 'toJSON' in array
    ? { place, what: 'values with a toJSON method are not stored; convert them first' }
    : undefined
}

/** How a member is written in a place: `.name`, or `["a name"]` if it is not an identifier. */
export function member(name: string): string {
  return IDENTIFIER.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`
}
