/**
 * Documents on their way to records and back. What is stored is what comes back: a document that a record cannot hold
 * exactly is refused with the place of the offending value, instead of being changed on the way.
 *
 * Exact are: well-formed strings, finite numbers, booleans, null, bigints of up to 512 bits, Dates, Uint8Arrays (Buffers
 * come back as Uint8Arrays), Float32Arrays, arrays without holes and plain objects, own `__proto__` members included. Two
 * things are as in JSON: object members that are undefined are left out, and −0 becomes 0. Only own enumerable members
 * of objects and the elements of arrays are stored. Other instances of classes, Maps and Sets are refused, and `toJSON` is
 * never called.
 *
 * Writing a record finds that something is wrong, but not where. Only then is the document walked again, slowly, to say
 * where and why.
 */
import { types } from 'node:util'
import { describe, StoreError } from './errors.js'
import { MAX_BIGINT_BYTES, MAX_COMPUTED_BYTES, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH } from './limits.js'
import { isPlainObject } from './record/plain.js'
import type { Place, ShapeTable } from './record/shapes.js'
import { REFUSED, type RecordBytes, TOO_LARGE, writeRecord } from './record/writer.js'

const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]*$/
const BIGINT_END = 1n << BigInt(8 * MAX_BIGINT_BYTES)
const { getOwnPropertySymbols, keys: ownKeys } = Object

/**
 * The record of a document, good until the next one is encoded. `without` names a member to leave out: the key, when records
 * cannot hold it.
 *
 * @throws StoreError `ERR_VALIDATION` or `ERR_TOO_LARGE`
 */
export function encodeDocument(
  document: object,
  collection: string,
  root: Place,
  shapes: ShapeTable,
  without?: string,
): RecordBytes {
  try {
    return writeRecord(document, without, root, shapes)
  } catch (error) {
    if (error === REFUSED) throw explain(without === undefined ? document : omit(document, without), collection)
    if (error === TOO_LARGE) throw tooLarge(collection)
    throw error
  }
}

/**
 * The record of the values that were computed from a document, by index, good until the next one is encoded.
 *
 * @throws StoreError `ERR_VALIDATION` or `ERR_TOO_LARGE`
 */
export function encodeValues(
  values: Readonly<Record<string, readonly unknown[]>>,
  collection: string,
  root: Place,
  shapes: ShapeTable,
): RecordBytes {
  const record = encodeDocument(values, collection, root, shapes)
  if (record.end - record.start <= MAX_COMPUTED_BYTES) return record
  const message = `the values computed for the indexes of a document are over the limit of ${MAX_COMPUTED_BYTES} bytes`
  throw new StoreError('ERR_TOO_LARGE', message, { collection, place: '$', details: { limit: MAX_COMPUTED_BYTES } })
}

function tooLarge(collection: string): StoreError {
  const message = `a document is over the limit of ${MAX_DOCUMENT_BYTES} bytes`
  return new StoreError('ERR_TOO_LARGE', message, { collection, place: '$', details: { limit: MAX_DOCUMENT_BYTES } })
}

function omit(document: object, name: string): object {
  const { [name]: _, ...rest } = document as Record<string, unknown>
  return rest
}

// ---------------------------------------------------------------- the explanation

/** A fault and where it is. */
interface Fault {
  readonly place: string
  readonly what: string
}

function explain(document: unknown, collection: string): StoreError {
  const fault = findFault(document, '$', []) ?? { place: '$', what: 'changed while it was encoded' }
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
  if (types.isUint8Array(value) || types.isFloat32Array(value)) return undefined
  if (!types.isDate(value)) return { place, what: `documents cannot hold ${describe(value)}; convert it first` }
  return Number.isFinite(value.getTime()) ? undefined : { place, what: 'an invalid Date' }
}

function scalarFault(value: unknown, place: string): Fault | undefined {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? undefined : { place, what: 'a string with half of a surrogate pair is not text' }
    case 'number':
      return Number.isFinite(value) ? undefined : { place, what: `${value} is not a finite number` }
    case 'bigint':
      return value > -BIGINT_END && value < BIGINT_END ? undefined : { place, what: 'a bigint of more than 512 bits' }
    case 'undefined':
      return { place, what: 'an array cannot hold undefined; use null' }
    case 'function':
    case 'symbol':
      return { place, what: `documents cannot hold ${describe(value)}` }
    default:
      return undefined
  }
}

function objectFault(object: Record<string, unknown>, place: string, path: readonly object[]): Fault | undefined {
  for (const name of ownKeys(object)) {
    const value = object[name]
    if (value === undefined) continue
    if (!name.isWellFormed())
      return { place: place + member(name), what: 'a name with half of a surrogate pair is not text' }
    const fault = findFault(value, place + member(name), path)
    if (fault) return fault
  }
  const [symbol] = getOwnPropertySymbols(object)
  return symbol && { place: `${place}[${String(symbol)}]`, what: 'documents cannot hold members named by symbols' }
}

function arrayFault(array: readonly unknown[], place: string, path: readonly object[]): Fault | undefined {
  for (let i = 0; i < array.length; i++) {
    const fault = findFault(array[i], `${place}[${i}]`, path)
    if (fault) return fault
  }
  return undefined
}

/** How a member is written in a place: `.name`, or `["a name"]` if it is not an identifier. */
export function member(name: string): string {
  return IDENTIFIER.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`
}
