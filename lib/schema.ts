/**
 * Schemas: what the documents of a collection must be, checked when they are written. Any validator that follows the
 * Standard Schema specification, version 1, will do; what it makes of a document is what is stored. Reading trusts what was
 * stored.
 *
 * Validators that answer with a promise are refused: writes happen in the order in which they are called, and one that
 * waits for its validator would be overtaken by those after it. Who needs such a check makes it before the write.
 */
import { member } from './codec.js'
import { describe, invalidArgument, type SchemaIssue, StoreError } from './errors.js'
import type { OptionRule } from './options.js'
import { isPlainObject } from './record/plain.js'

/** What a validator says of a value: what it made of it, or what is wrong with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** Something that a validator found wrong. */
export interface StandardIssue {
  /** What is wrong. */
  readonly message: string
  /** The way from the document to the place. */
  readonly path?: readonly (PropertyKey | StandardStep)[] | undefined
}

/** A step of the way to a place. */
export interface StandardStep {
  /** The name of the member, or the number of the element. */
  readonly key: PropertyKey
}

/** The types of a schema. */
export interface SchemaTypes<Input, Output> {
  /** What may be written. */
  readonly input: Input
  /** What is stored and read. */
  readonly output: Output
}

/** A validator that follows the Standard Schema specification; those of zod, valibot and arktype do. */
export interface Schema<Input = unknown, Output = Input> {
  /** What the specification asks of a validator. */
  readonly '~standard': {
    /** The version of the specification. */
    readonly version: 1
    /** Who made the validator. */
    readonly vendor: string
    /** Judges a value. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    /** Of types only; never there. */
    readonly types?: SchemaTypes<Input, Output> | undefined
  }
}

/** What may be written into a collection with this schema. */
export type SchemaInput<S extends Schema> = NonNullable<S['~standard']['types']>['input']

/** What is stored in a collection with this schema, and read from it. */
export type SchemaOutput<S extends Schema> = NonNullable<S['~standard']['types']>['output']

const TYPE_ONLY: Schema = Object.freeze({
  '~standard': Object.freeze({
    version: 1 as const,
    vendor: 'fountainstore',
    validate: (value: unknown) => ({ value }),
  }),
})

/** A schema of types only: `type<User>()` checks nothing when the program runs. */
export function type<T extends object>(): Schema<T, T> {
  return TYPE_ONLY as Schema<T, T>
}

/** Whether a schema looks at documents when the program runs. */
export function judges(schema: Schema | undefined): schema is Schema {
  return schema !== undefined && schema !== TYPE_ONLY
}

/** What an option must be to be a schema. */
export const schemaRule: OptionRule = {
  expected: 'a validator that follows Standard Schema, version 1',
  accepts: (value) => {
    if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return false
    const standard = (value as Partial<Schema>)['~standard']
    return standard?.version === 1 && typeof standard.validate === 'function'
  },
}

/** Where a validated document is to go. */
export interface SchemaContext {
  readonly name: string
  readonly keyName: string
  readonly schema: Schema | undefined
}

/**
 * What the schema of a collection makes of a document.
 *
 * @throws StoreError `ERR_VALIDATION` with the issues, `ERR_INVALID_ARGUMENT` for a validator that answers with a promise
 */
export function validated({ name, keyName, schema }: SchemaContext, document: unknown): unknown {
  if (!judges(schema)) return document
  const key = isPlainObject(document) ? document[keyName] : undefined
  const known = { collection: name, key }
  const result = judge(schema, document, known)
  if (result.issues === undefined) return result.value
  const issues = result.issues.map(readIssue)
  const [first] = issues
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''
  const what = first === undefined ? 'its schema refuses it' : `${first.place}: ${first.message}${more}`
  const message = `a document does not fit the schema of collection ${JSON.stringify(name)}: ${what}`
  throw new StoreError('ERR_VALIDATION', message, { ...known, place: first?.place ?? '$', issues })
}

function judge(schema: Schema, document: unknown, known: { collection: string; key: unknown }): SchemaResult<unknown> {
  let result: ReturnType<Schema['~standard']['validate']>
  try {
    result = schema['~standard'].validate(document)
  } catch (cause) {
    const message = `the schema of collection ${JSON.stringify(known.collection)} threw: ${String(cause)}`
    throw new StoreError('ERR_VALIDATION', message, { ...known, place: '$', cause })
  }
  if (isThenable(result)) {
    // Nobody waits for it.
    result.then(undefined, () => undefined)
    throw invalidArgument('schema', 'a validator that answers at once', result)
  }
  if (!isResult(result)) {
    throw invalidArgument(
      'schema',
      'a validator that answers with { value } or { issues }, as Standard Schema says',
      result,
    )
  }
  return result
}

function isThenable(result: unknown): result is PromiseLike<unknown> {
  return typeof result === 'object' && result !== null && 'then' in result
}

/** Whether a validator has answered as it must. */
function isResult(result: unknown): boolean {
  if (typeof result !== 'object' || result === null) return false
  const { issues } = result as { readonly issues?: unknown }
  const isIssue = (issue: unknown) => typeof issue === 'object' && issue !== null
  return issues === undefined ? 'value' in result : Array.isArray(issues) && issues.every(isIssue)
}

function readIssue({ message, path = [] }: StandardIssue): SchemaIssue {
  // Some validators have lists of their own kind.
  const steps = Array.from(path, (step) => (typeof step === 'object' && step !== null ? step.key : step))
  const place = steps.map((step) => (typeof step === 'number' ? `[${step}]` : member(String(step))))
  return {
    message: typeof message === 'string' ? message : describe(message),
    path: steps,
    place: `$${place.join('')}`,
  }
}
