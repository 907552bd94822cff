/**
 * From what a program writes in a query to the JSON that the engine reads: Dates, bigints and bytes become typed values,
 * `{ $date }`, `{ $bigint }` and `{ $bytes }`, as which they may be written, too.
 *
 * Members that are undefined are left out, as of documents, but not of conditions: there, what was to be a value would
 * become no condition at all, and match everything. Of values to store, objects that look like typed values are refused,
 * since they would be stored as something else.
 */
import { describe, StoreError } from './errors.js'
import { isLongBigint } from './keys.js'
import { MAX_QUERY_BYTES } from './limits.js'
import { isPlainObject } from './record/plain.js'

/** Deepest nesting that is followed; the engine allows less. */
const MAX_DEPTH = 120

/** What part of a query a value is. */
export type QueryPart = 'conditions' | 'values' | 'other'

const TYPED: ReadonlySet<string | undefined> = new Set(['$date', '$bigint', '$bytes'])

/**
 * How many bytes of text may still come: each value is taken from it before it is made, as the least that it takes as text.
 * What contains another value many times is small here and endless as text.
 */
export interface Budget {
  bytes: number
}

/** What a whole query may take. */
export const wholeBudget = (): Budget => ({ bytes: MAX_QUERY_BYTES })

/**
 * The JSON value for `value`, which stands at `place` and is taken from what is left of a query.
 *
 * @throws StoreError `ERR_VALIDATION` for what a query cannot say, `ERR_TOO_LARGE` for more than the engine reads
 */
export function queryJson(value: unknown, place: string, part: QueryPart, left = wholeBudget()): unknown {
  return jsonOf(value, place, part, 0, left)
}

/**
 * The text of a whole query.
 *
 * @throws StoreError `ERR_TOO_LARGE` for more than the engine reads, and for more than a string can be
 */
export function queryText(body: object): string {
  let text: string
  try {
    text = JSON.stringify(body)
  } catch (error) {
    // All of it is plain, and nothing contains itself.
    if (error instanceof RangeError) throw tooLarge('query')
    throw error
  }
  if (text.length > MAX_QUERY_BYTES) throw tooLarge('query')
  return text
}

function jsonOf(value: unknown, place: string, part: QueryPart, depth: number, left: Budget): unknown {
  take(left, 1, place)
  switch (typeof value) {
    case 'string':
      take(left, value.length, place)
      if (value.isWellFormed()) return value
      break
    case 'boolean':
      return value
    case 'number':
      if (Number.isFinite(value)) return value
      break
    case 'bigint':
      if (isLongBigint(value)) break
      return { $bigint: value.toString() }
    case 'object':
      if (depth < MAX_DEPTH) return objectJson(value, place, part, depth, left)
      throw new StoreError('ERR_VALIDATION', `${place} nests too deep`, { place })
  }
  throw refused(value, place)
}

function objectJson(value: object | null, place: string, part: QueryPart, depth: number, left: Budget): unknown {
  if (value === null) return null
  if (value instanceof Date && !Number.isNaN(value.getTime())) return { $date: value.getTime() }
  if (value instanceof Uint8Array) {
    take(left, (value.length * 4) / 3, place)
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
  }
  if (Array.isArray(value)) {
    // A hole is no value, which `map` would pass over.
    const elements: unknown[] = []
    for (const [index, element] of value.entries()) {
      elements.push(jsonOf(element, `${place}[${index}]`, part, depth + 1, left))
    }
    return elements
  }
  if (!isPlainObject(value)) throw refused(value, place)
  const names = Object.keys(value).filter((name) => part === 'conditions' || value[name] !== undefined)
  if (part === 'values' && names.length === 1 && TYPED.has(names[0])) throw looksTyped(names[0] as string, place)
  const members = names.map((name) => {
    take(left, name.length, place)
    if (!name.isWellFormed()) throw refused(name, `a name in ${place}`)
    return [name, jsonOf(value[name], `${place}[${JSON.stringify(name)}]`, part, depth + 1, left)] as const
  })
  return Object.fromEntries(members)
}

function take(left: Budget, bytes: number, place: string): void {
  left.bytes -= bytes
  if (left.bytes < 0) throw tooLarge(place)
}

function looksTyped(name: string, place: string): StoreError {
  const message = `${place} is an object with the one member ${name}, which would not be stored as it is: give the value itself`
  return new StoreError('ERR_VALIDATION', message, { place })
}

function tooLarge(place: string): StoreError {
  const message = `a query is over the limit of ${MAX_QUERY_BYTES} bytes, at ${place}`
  return new StoreError('ERR_TOO_LARGE', message, { place, details: { limit: MAX_QUERY_BYTES } })
}

function refused(value: unknown, place: string): StoreError {
  return new StoreError('ERR_VALIDATION', `${place} is ${describe(value)}, which a query cannot say`, { place })
}
