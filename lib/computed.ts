/**
 * Indexes on what a function of the program computes from documents. The function runs here, where a document is written;
 * what it says travels and is stored with the record, so the engine never calls JavaScript, and can rebuild, check and repair
 * such an index like any other. Who writes a collection must know the functions of its indexes: a write without their values
 * is refused.
 */
import { encodeValues } from './codec.js'
import { describe, invalidArgument, StoreError } from './errors.js'
import type { IndexKind, IndexValue } from './indexes.js'
import { MAX_COMPUTED_BYTES, MAX_INDEX_VERSION, MAX_KEY_DEPTH } from './limits.js'
import { integer } from './options.js'
import { Place, type ShapeTable } from './record/shapes.js'
import { copyOf, type RecordBytes } from './record/writer.js'

/** An index on the values that a function computes from a document. */
export interface ComputedIndex<T = never, V extends IndexValue = IndexValue> {
  /** Whether several documents may have the same value. Default: `'multi'`. */
  readonly kind?: IndexKind | undefined
  /**
   * The version of the function, from 1 on. Whoever changes what it computes drops the index and defines it with another
   * version.
   */
  readonly version: number
  /** The values under which a document is found, any number. It must say the same whenever it is called with the same. */
  readonly values: (document: T) => readonly V[]
}

/** An index as it is remembered. */
export interface KnownComputed {
  readonly kind: IndexKind
  readonly version: number
  readonly values: (document: never) => unknown
}

const version = integer(1, MAX_INDEX_VERSION)

/** The definition of a computed index, if it is one. */
export function checkedComputed(given: Partial<ComputedIndex>, place: string): KnownComputed {
  const { kind = 'multi', values } = given
  const other = ['on', 'sparse'].find((name) => name in given)
  if (other !== undefined) throw beside(`${place}.${other}`)
  if (kind !== 'unique' && kind !== 'multi') throw invalidArgument(`${place}.kind`, '"unique" or "multi"', kind)
  if (!version.accepts(given.version)) throw invalidArgument(`${place}.version`, version.expected, given.version)
  if (typeof values !== 'function') throw invalidArgument(`${place}.values`, 'a function', values)
  return { kind, version: given.version as number, values }
}

function beside(place: string): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', `${place} must not be there beside a function`, { place })
}

/** A function that the program has for an index, in one version. */
export interface NamedFunction extends KnownComputed {
  readonly index: string
}

/** The functions for one collection. */
interface Known {
  /** By `name@version`: parts of a program may be of different versions. */
  readonly functions: Map<string, NamedFunction>
  /** Where the shape of their values is remembered. */
  readonly place: Place
}

/** An index whose documents are being given their values here. */
interface Fill {
  readonly collection: string
  readonly index: string
  /** What keeps that from going on. */
  trouble?: StoreError
}

/** The functions that the program has for the collections of a store. */
export class ComputedIndexes {
  readonly #collections = new Map<string, Known>()
  readonly #fills = new Set<Fill>()

  /** Remembers the function of an index, instead of the one of this version before. */
  learn(collection: string, index: string, { kind, version, values }: KnownComputed): NamedFunction {
    let known = this.#collections.get(collection)
    if (known === undefined) {
      known = { functions: new Map(), place: new Place() }
      this.#collections.set(collection, known)
    }
    const learned = { index, kind, version, values }
    known.functions.set(memberOf(index, version), learned)
    return learned
  }

  /** Forgets a function, if it is still the one of its version and index, or without one all of a collection. */
  forget(collection: string, only?: NamedFunction): void {
    if (only === undefined) {
      this.#collections.delete(collection)
    } else if (this.known(collection, only.index, only.version) === only) {
      this.#collections.get(collection)?.functions.delete(memberOf(only.index, only.version))
    }
  }

  /** The function for a version of an index, if there is one. */
  known(collection: string, index: string, version: number): NamedFunction | undefined {
    return this.#collections.get(collection)?.functions.get(memberOf(index, version))
  }

  /** Whether documents of the collection have values to be computed. */
  has(collection: string): boolean {
    const known = this.#collections.get(collection)
    return known !== undefined && known.functions.size > 0
  }

  /** Runs what gives the documents of an index their values; `work` may say what keeps it from going on. */
  async whileFilling<R>(
    collection: string,
    index: string,
    work: (trouble: (error: StoreError | undefined) => void) => Promise<R>,
  ): Promise<R> {
    const fill: Fill = { collection, index }
    this.#fills.add(fill)
    try {
      return await work((error) => {
        if (error === undefined) delete fill.trouble
        else fill.trouble = error
      })
    } finally {
      this.#fills.delete(fill)
    }
  }

  /** What keeps an index from being built, given what the engine says: that values are missing is no news to who puts them there. */
  trouble(collection: string, index: string, error: StoreError | undefined): StoreError | undefined {
    const fills = [...this.#fills].filter((fill) => fill.collection === collection && fill.index === index)
    if (fills.length === 0 || error?.code !== 'ERR_DEFINITION') return error
    return fills.find((fill) => fill.trouble)?.trouble
  }

  /**
   * The record of a document with its values in front; the record itself, which has to be used at once, if there are none.
   *
   * @throws StoreError `ERR_VALIDATION`, `ERR_TOO_LARGE`, and what the functions throw
   */
  seal(collection: string, document: object, record: RecordBytes, shapes: ShapeTable): RecordBytes {
    const known = this.#collections.get(collection)
    if (known === undefined || known.functions.size === 0) return record
    // The functions may write, too, and the values are encoded where the record is.
    const kept = copyOf(record)
    const values: Record<string, readonly unknown[]> = {}
    for (const [member, { index, values: compute }] of known.functions) {
      values[member] = checkedValues(compute(document as never), collection, index)
    }
    const sealed = withValues(encodeValues(values, collection, known.place, shapes), kept)
    return { bytes: sealed, start: 0, end: sealed.length }
  }
}

/** Under which the values of an index lie. */
function memberOf(index: string, version: number): string {
  return `${index}@${version}`
}

const CODEC_COMPUTED = 4
const HEADER_BYTES = 5

function withValues({ bytes, start, end }: RecordBytes, record: Uint8Array): Uint8Array {
  const length = end - start
  const sealed = Buffer.allocUnsafe(HEADER_BYTES + length + record.length)
  sealed[0] = CODEC_COMPUTED
  sealed.writeUInt32LE(length, 1)
  sealed.set(bytes.subarray(start, end), HEADER_BYTES)
  sealed.set(record, HEADER_BYTES + length)
  return sealed
}

function checkedValues(values: unknown, collection: string, index: string): readonly unknown[] {
  // A promise is none, and what becomes of it is nobody's concern.
  if (values instanceof Promise) values.catch(() => undefined)
  if (!Array.isArray(values)) throw badValues(collection, index, `an array of values, not ${describe(values)}`)
  const left = { bytes: MAX_COMPUTED_BYTES }
  const wrong = values.findIndex((value) => !isIndexValue(value, 0, left))
  if (left.bytes < 0) throw tooLarge(collection, index)
  if (wrong < 0) return values
  throw badValues(collection, index, `values that an index can hold, and [${wrong}] is ${describe(values[wrong])}`)
}

function tooLarge(collection: string, index: string): StoreError {
  const values = `the values that index ${JSON.stringify(index)} of ${JSON.stringify(collection)} has of a document`
  const message = `${values} are over the limit of ${MAX_COMPUTED_BYTES} bytes`
  return new StoreError('ERR_TOO_LARGE', message, { collection, details: { index, limit: MAX_COMPUTED_BYTES } })
}

function badValues(collection: string, index: string, expected: string): StoreError {
  const message = `the function of index ${JSON.stringify(index)} of ${JSON.stringify(collection)} must return ${expected}`
  return new StoreError('ERR_VALIDATION', message, { collection, details: { index } })
}

/** `left` bytes may still come: a value that contains another many times is small here and endless as a record. */
function isIndexValue(value: unknown, depth: number, left: { bytes: number }): boolean {
  left.bytes -= 1 + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 0)
  if (left.bytes < 0) return false
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return true
    case 'number':
      return Number.isFinite(value)
    case 'object':
      if (value === null || value instanceof Date || value instanceof Uint8Array) return true
      if (!Array.isArray(value) || depth === MAX_KEY_DEPTH) return false
      // A hole is no value, which `every` would pass over.
      for (const element of value) if (!isIndexValue(element, depth + 1, left)) return false
      return true
    default:
      return false
  }
}
