/**
 * The one error class of the store and its closed list of codes. The same codes are used by the engine, so an error
 * means the same wherever it was noticed.
 */

/** What went wrong. The list is closed: code may switch over it. */
export type StoreErrorCode =
  /** The store, snapshot or scan was used after it had been closed. */
  | 'ERR_CLOSED'
  /** Another process has the store open; `pid` names it. */
  | 'ERR_LOCKED'
  /** An earlier write or sync failed, so what is on disk is not known. Close and reopen the store. */
  | 'ERR_POISONED'
  /** No space left. Nothing was half-done. */
  | 'ERR_DISK_FULL'
  /** The operating system refused an operation on a file. */
  | 'ERR_IO'
  /** Bytes on disk are not what was written. */
  | 'ERR_CORRUPT'
  /** The directory exists but is not a store. */
  | 'ERR_NOT_A_STORE'
  /** There is no store, and creating one was not allowed; no collection of the name; or one that was dropped meanwhile. */
  | 'ERR_NOT_FOUND'
  /** The store was written by a newer version in a format that this one does not know. */
  | 'ERR_NEWER_FORMAT'
  /** The sequence lies before the history that is kept. */
  | 'ERR_HISTORY_TRUNCATED'
  /** The sequence has not happened yet. */
  | 'ERR_SEQUENCE'
  /** A key of a wrong type, or over a limit. */
  | 'ERR_INVALID_KEY'
  /** A collection name that is not allowed. */
  | 'ERR_INVALID_NAME'
  /** A document or batch over its size limit. */
  | 'ERR_TOO_LARGE'
  /** Too many of something at once. */
  | 'ERR_LIMIT'
  /** There is already a document under the key that was to be new, or another index of the name. */
  | 'ERR_EXISTS'
  /** Another document has this key in a unique index: `details` has `index`, `indexKey` and `holder`, a key. */
  | 'ERR_UNIQUE'
  /** The index is still being built. */
  | 'ERR_INDEX_BUILDING'
  /** Another commit came first: what this one depends on has changed. Read again, then write again. */
  | 'ERR_CONFLICT'
  /** The transaction was open too long, or too much was written meanwhile. */
  | 'ERR_TRANSACTION_TOO_OLD'
  /** Something took longer than it was given. */
  | 'ERR_TIMEOUT'
  /** Only inside the store: a read limited to memory would have needed the disk. */
  | 'ERR_WOULD_BLOCK'
  /** A cursor that is none, or belongs to another query. */
  | 'ERR_BAD_CURSOR'
  /** No index can be used, and the query requires one. */
  | 'ERR_NO_INDEX'
  /**
   * A document that cannot be stored exactly, `place` says where; one that does not fit its schema, `issues` says why; or a
   * query, `details.pointer` says where.
   */
  | 'ERR_VALIDATION'
  /**
   * What a program says of a collection is not what the store has: of a `schemaVersion`, `details` has the one that is
   * `requested`, and the one that was `found`.
   */
  | 'ERR_DEFINITION'
  /** An argument or option of a wrong type or an unknown name. */
  | 'ERR_INVALID_ARGUMENT'
  /** A bug in the store. Please report it. */
  | 'ERR_INTERNAL'
  /** The host's Node-API is too old. */
  | 'ERR_UNSUPPORTED_RUNTIME'
  /** The native addon for this platform is not installed. */
  | 'ERR_NO_BINARY'

/** The same work may succeed later without a change to the program. */
export const RETRYABLE: ReadonlySet<StoreErrorCode> = new Set([
  'ERR_LOCKED',
  'ERR_DISK_FULL',
  'ERR_WOULD_BLOCK',
  'ERR_CONFLICT',
  'ERR_TRANSACTION_TOO_OLD',
  'ERR_INDEX_BUILDING',
])

/** All codes, in the order of the engine's list. */
export const CODES: ReadonlySet<string> = new Set<StoreErrorCode>([
  'ERR_CLOSED',
  'ERR_LOCKED',
  'ERR_POISONED',
  'ERR_DISK_FULL',
  'ERR_IO',
  'ERR_CORRUPT',
  'ERR_NOT_A_STORE',
  'ERR_NOT_FOUND',
  'ERR_NEWER_FORMAT',
  'ERR_HISTORY_TRUNCATED',
  'ERR_SEQUENCE',
  'ERR_INVALID_KEY',
  'ERR_INVALID_NAME',
  'ERR_TOO_LARGE',
  'ERR_LIMIT',
  'ERR_EXISTS',
  'ERR_UNIQUE',
  'ERR_INDEX_BUILDING',
  'ERR_CONFLICT',
  'ERR_TRANSACTION_TOO_OLD',
  'ERR_TIMEOUT',
  'ERR_WOULD_BLOCK',
  'ERR_BAD_CURSOR',
  'ERR_NO_INDEX',
  'ERR_VALIDATION',
  'ERR_DEFINITION',
  'ERR_INVALID_ARGUMENT',
  'ERR_INTERNAL',
  'ERR_UNSUPPORTED_RUNTIME',
  'ERR_NO_BINARY',
])

/** Something that the schema of a collection found wrong with a document. */
export interface SchemaIssue {
  /** What is wrong, in the words of the validator. */
  readonly message: string
  /** The way from the document to the place. */
  readonly path: readonly PropertyKey[]
  /** The same as text, for example `$.address.tags[3]`. */
  readonly place: string
}

/** What is known about an error besides its code and message. */
export interface StoreErrorDetails {
  /** The collection concerned. */
  readonly collection?: string | undefined
  /** The key concerned, as it was given. */
  readonly key?: unknown
  /** The place of the offending value in a document, key or options object, for example `$.address.tags[3]`. */
  readonly place?: string | undefined
  /** The file or directory concerned. */
  readonly path?: string | undefined
  /** The process that holds the store's lock. */
  readonly pid?: number | undefined
  /** Numbers and names that the engine knows about the failure. */
  readonly details?: Readonly<Record<string, unknown>> | undefined
  /** What the schema found wrong. */
  readonly issues?: readonly SchemaIssue[] | undefined
  /** The error that caused this one. */
  readonly cause?: unknown
}

/** Every error the store throws or rejects with, except the reason of an aborted signal. */
export class StoreError extends Error {
  /** What went wrong. */
  readonly code: StoreErrorCode
  /** Whether the same call may succeed later without a change to the program. */
  readonly retryable: boolean
  /** The collection concerned, if one is. */
  readonly collection: string | undefined
  /** The key concerned, as it was given. */
  readonly key: unknown
  /** The place of the offending value in a document, key or options object, for example `$.address.tags[3]`. */
  readonly place: string | undefined
  /** The file or directory concerned. */
  readonly path: string | undefined
  /** The process that holds the store's lock, for `ERR_LOCKED`. */
  readonly pid: number | undefined
  /** What the schema of the collection found wrong, if that is the error. */
  readonly issues: readonly SchemaIssue[] | undefined
  /** What else the engine knows: for example `size` and `limit`, `requested` and `floor`, `offset`, `osError`. */
  readonly details: Readonly<Record<string, unknown>>

  /** Made by the store; there is no reason to construct one outside of tests. */
  constructor(code: StoreErrorCode, message: string, details: StoreErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'StoreError'
    this.code = code
    this.retryable = RETRYABLE.has(code)
    this.collection = details.collection
    this.key = details.key
    this.place = details.place
    this.path = details.path
    this.pid = details.pid
    this.issues = details.issues
    this.details = details.details ?? {}
  }

  /** Whether `error` is an error of the store and, if a code is given, has that code. */
  static is(error: unknown, code?: StoreErrorCode): error is StoreError {
    return error instanceof StoreError && (code === undefined || error.code === code)
  }
}

/** The error for a wrong argument or option; `place` names it. */
export function invalidArgument(place: string, expected: string, found: unknown): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', `${place} must be ${expected}, not ${describe(found)}`, { place })
}

/** A short description of a value for messages: its type, and its text where that is short. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length <= 40 ? `the string ${JSON.stringify(value)}` : `a string of ${value.length} characters`
    case 'number':
    case 'boolean':
      return String(value)
    case 'bigint':
      return 'a bigint'
    case 'undefined':
      return 'undefined'
    case 'function':
      return 'a function'
    case 'symbol':
      return 'a symbol'
    default:
      return describeObject(value as object | null)
  }
}

function describeObject(value: object | null): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object'
  return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`
}
