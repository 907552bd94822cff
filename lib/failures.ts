/** Failures of the native side, as the errors that users see. */
import { CODES, StoreError, type StoreErrorCode, type StoreErrorDetails } from './errors.js'
import { decodeKey, type Key } from './keys.js'

/** The error that the native side reports as JSON text, either thrown or with a completion. */
export function fromNative(json: string, known: StoreErrorDetails = {}): StoreError {
  const report = parseReport(json)
  if (report === undefined) return new StoreError('ERR_INTERNAL', json, known)
  const { details } = report
  return new StoreError(report.code, report.message, {
    ...known,
    collection: text(details.collection) ?? known.collection,
    key: recordKey(details.key) ?? known.key,
    path: text(details.path) ?? known.path,
    pid: typeof details.pid === 'number' ? details.pid : known.pid,
    details: { ...details, ...restored(details, 'indexKey'), ...restored(details, 'holder') },
  })
}

/** The member of the details that is a key, as a value. */
function restored(details: Readonly<Record<string, unknown>>, name: string): Record<string, unknown> {
  return name in details ? { [name]: shownValue(details[name]) } : {}
}

/** A value of a key, which the native side writes as queries do. */
function shownValue(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(shownValue)
  if (typeof json !== 'object' || json === null) return json
  const { $bigint, $date, $bytes, $number } = json as Record<string, string>
  if ($bigint !== undefined) return BigInt($bigint)
  if ($date !== undefined) return new Date($date)
  if ($bytes !== undefined) return new Uint8Array(Buffer.from($bytes, 'base64'))
  return Number($number)
}

/** The key of a record, which the native side reports as it is encoded. */
function recordKey(digits: unknown): Key | undefined {
  if (typeof digits !== 'string') return undefined
  const bytes = Buffer.from(digits, 'hex')
  return decodeKey(bytes, 0, bytes.length)
}

function parseReport(json: string) {
  let report: { code?: unknown; message?: unknown; details?: unknown } | null
  try {
    report = JSON.parse(json)
  } catch {
    return undefined
  }
  const code = report?.code
  if (typeof code !== 'string' || !CODES.has(code)) return undefined
  const details = (report?.details ?? {}) as Readonly<Record<string, unknown>>
  return { code: code as StoreErrorCode, message: String(report?.message), details }
}

/** Turns whatever a native function threw into a `StoreError`. */
export function fromThrown(thrown: unknown, known: StoreErrorDetails = {}): StoreError {
  if (thrown instanceof StoreError) return thrown
  // Not by `instanceof`: a program in a context of its own (a test runner, `node:vm`) has another Error than the addon.
  if (typeof thrown !== 'object' || thrown === null) return new StoreError('ERR_INTERNAL', String(thrown), known)
  const { code, message } = thrown as { code?: unknown; message?: unknown }
  if (typeof code === 'string' && CODES.has(code)) return fromNative(String(message), known)
  return new StoreError('ERR_INTERNAL', String(message), { ...known, cause: thrown })
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
