/** From what a program writes in a query to the JSON that the engine reads: Dates, bigints and bytes become typed values. */
import { describe, StoreError } from './errors.js'
import { isPlainObject } from './record/plain.js'

/** Deepest nesting that is followed; the engine allows less. */
const MAX_DEPTH = 120

/**
 * The JSON value for `value`, which stands at `place`.
 *
 * @throws StoreError `ERR_VALIDATION` for what a query cannot say
 */
export function queryJson(value: unknown, place: string, depth = 0): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      if (Number.isFinite(value)) return value
      break
    case 'bigint':
      return { $bigint: value.toString() }
    case 'object':
      if (depth < MAX_DEPTH) return objectJson(value, place, depth)
      throw new StoreError('ERR_VALIDATION', `${place} nests too deep`, { place })
  }
  throw refused(value, place)
}

function objectJson(value: object | null, place: string, depth: number): unknown {
  if (value === null) return null
  if (value instanceof Date && !Number.isNaN(value.getTime())) return { $date: value.getTime() }
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map((element, index) => queryJson(element, `${place}[${index}]`, depth + 1))
  if (!isPlainObject(value)) throw refused(value, place)
  const members = Object.keys(value)
    .filter((name) => value[name] !== undefined)
    .map((name) => [name, queryJson(value[name], `${place}[${JSON.stringify(name)}]`, depth + 1)] as const)
  return Object.fromEntries(members)
}

function refused(value: unknown, place: string): StoreError {
  return new StoreError('ERR_VALIDATION', `${place} is ${describe(value)}, which a query cannot say`, { place })
}
