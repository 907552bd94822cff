/** Checks of options objects: an unknown name or a wrong type is an error that names it, never ignored. */

import { describe, invalidArgument, StoreError } from './errors.js'
import { isPlainObject } from './record/plain.js'

/** What an option must be, in words, and the test for it. */
export interface OptionRule {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

/** The options that a function knows. */
export type OptionRules<O> = { readonly [N in keyof Required<O>]: OptionRule }

const NONE: Readonly<Record<string, never>> = Object.freeze({})

/**
 * Checks an options object against the rules and returns a copy, or an empty one for undefined. Each option is read once: a
 * getter that says something else the second time would bring in what nothing has checked.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT`
 */
export function checkOptions<O extends object>(
  options: O | undefined,
  rules: OptionRules<O>,
  where: string,
): Partial<O> {
  if (options === undefined) return NONE as Partial<O>
  if (!isPlainObject(options)) throw invalidArgument(`the options of ${where}`, 'a plain object', options)
  const checked: Partial<O> = {}
  for (const name of Object.keys(options)) {
    const rule = Object.hasOwn(rules, name) ? rules[name as keyof O] : undefined
    if (rule === undefined) throw unknownOption(name, Object.keys(rules), where)
    const value = options[name]
    if (value !== undefined && !rule.accepts(value)) {
      throw invalidArgument(`options.${name} of ${where}`, rule.expected, value)
    }
    checked[name as keyof O] = value as O[keyof O]
  }
  return checked
}

function unknownOption(name: string, known: readonly string[], where: string): StoreError {
  const knows = known.length === 0 ? 'none' : known.join(', ')
  const message = `${where} has no option ${JSON.stringify(name)}; it knows ${knows}`
  return new StoreError('ERR_INVALID_ARGUMENT', message, { place: `options.${name}` })
}

/** One of a few strings. */
export function oneOf(...allowed: readonly string[]): OptionRule {
  const expected = allowed.map((text) => JSON.stringify(text)).join(' or ')
  return { expected, accepts: (value) => typeof value === 'string' && allowed.includes(value) }
}

/** A whole number between two bounds, both allowed. */
export function integer(least: number, most: number): OptionRule {
  const accepts = (value: unknown) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most
  return { expected: `a whole number from ${least} to ${most}`, accepts }
}

/** True or false. */
export const boolean: OptionRule = { expected: 'true or false', accepts: (value) => typeof value === 'boolean' }

/** An AbortSignal of any realm. */
export const signal: OptionRule = {
  expected: 'an AbortSignal',
  accepts: (value) => typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value,
}

/** Anything; checked where it is used. */
export const anything: OptionRule = { expected: 'anything', accepts: () => true }

/**
 * Checks that an argument is a string.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT`
 */
export function requireString(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') throw invalidArgument(name, 'a string', value)
}

/**
 * A path into documents, as far as it is not the engine's to judge.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT` for what is no text, `ERR_VALIDATION` for what leads to nothing in a document
 */
export function checkedPath(path: unknown, place: string): string {
  if (typeof path !== 'string' || !path.isWellFormed()) throw invalidArgument(place, 'a path', path)
  if (!BESIDE.test(path)) return path
  const message = `${place} begins with what is beside a document; a member of such a name is written ["$name"], not ${describe(path)}`
  throw new StoreError('ERR_VALIDATION', message, { place })
}

/** A first name that, without brackets, is one of what is beside a document. */
const BESIDE = /^\.?\$/
