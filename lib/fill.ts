/**
 * Fills a computed index with the documents that were there before it: each is read, its values are computed, and it is put
 * again as it is, if nobody else has put it meanwhile. Whoever has knew the function already.
 */
import type { StoreCore } from './core.js'
import { StoreError } from './errors.js'
import { type Packed, unpack } from './history.js'
import { pause } from './host.js'
import { decodeKey } from './keys.js'
import { asDocument, type ReadSource } from './read.js'
import type { PreparedWrite } from './write-buffer.js'

const CODEC_EXPIRING = 3
const MOMENT_BYTES = 8
/** How long to wait when what is left has expired and is not deleted yet, or the disk is full. */
const PAUSE_MS = 100
/** What the store refuses a document for that cannot be in the index; the index is dropped for it, like any other. */
const UNFIT: ReadonlySet<unknown> = new Set(['ERR_UNIQUE', 'ERR_LIMIT', 'ERR_TOO_LARGE'])

/** An index to be filled. */
export interface Unfilled {
  /** The engine's number of it. */
  readonly id: number
  readonly name: string
  /** That of the function. */
  readonly version: number
  /** Says what keeps it from being filled. */
  trouble(error: StoreError | undefined): void
  /** Resolves when it is ready. */
  wait(): Promise<void>
  /** Drops it. */
  drop(): Promise<unknown>
}

/** Waits until an index is ready, and computes what its build lacks. */
export async function buildComputed(source: ReadSource, index: Unfilled): Promise<void> {
  const { core } = source
  for (;;) {
    try {
      return await index.wait()
    } catch (error) {
      if (!StoreError.is(error, 'ERR_DEFINITION')) throw error
    }
    const written = await core.during(() => fill(source, index))
    if (written === 0) await pause(PAUSE_MS)
    core.call((native, handle) => native.resumeIndex(handle, index.id))
  }
}

/** Goes once through all records that lack values, or until the disk is full; returns how many were put. */
async function fill(source: ReadSource, index: Unfilled): Promise<number> {
  const { core } = source
  let written = 0
  for (let after: Buffer | undefined; ; ) {
    const { lacking, next } = await readLacking(core, index.id, after)
    const puts = await Promise.allSettled(
      (await prepared(source, index, lacking)).map((write) => core.queue.push(write, 'os')),
    )
    written += puts.filter(({ status }) => status === 'fulfilled').length
    const failures = puts.flatMap((put) => (put.status === 'rejected' ? [put.reason] : []))
    // It was put by somebody else, or deleted, or it has expired.
    const failure = failures.find((error) => !StoreError.is(error, 'ERR_CONFLICT'))
    const isFull = StoreError.is(failure, 'ERR_DISK_FULL')
    index.trouble(isFull ? failure : undefined)
    if (isFull) return 0
    if (failure !== undefined) throw await givenUp(index, failure)
    if (next === undefined) return written
    after = next
  }
}

/** All of them, before the first is on its way: a function that throws leaves nothing behind that nobody awaits. */
async function prepared(source: ReadSource, index: Unfilled, lacking: readonly Packed[]): Promise<PreparedWrite[]> {
  try {
    return lacking.map((version) => withValues(source, index, version))
  } catch (error) {
    throw await givenUp(index, error)
  }
}

/** The error for whoever waits, after what it ends has ended. */
async function givenUp(index: Unfilled, error: unknown): Promise<unknown> {
  // Somebody else may have dropped it; the error is that of the document in any case.
  if (error instanceof StoreError && UNFIT.has(error.code)) await index.drop().catch(() => undefined)
  return error
}

/** The next records behind a key, and where to go on if that is not the end. */
async function readLacking(core: StoreCore, index: number, after: Buffer | undefined) {
  core.assertOpen()
  return core.request(
    {},
    (native, ticket) => {
      const length = after?.copy(core.runtime.io) ?? 0
      native.recordsWithoutValues(ticket, core.handle, core.runtime.io, index, length)
    },
    (keyLength, length) => {
      const bytes = core.runtime.collect(length)
      const lacking = unpack(bytes.subarray(keyLength))
      return { lacking, next: keyLength === 0 ? undefined : bytes.subarray(0, keyLength) }
    },
  )
}

/** A put of the same document, with the same moment if it has one of its own. */
function withValues(source: ReadSource, index: Unfilled, version: Packed): PreparedWrite {
  const { core, name } = source
  if (core.computed.known(name, index.name, index.version) === undefined) {
    const message = `the function of index ${JSON.stringify(index.name)} was forgotten when an index of the name was dropped`
    throw new StoreError('ERR_DEFINITION', message, { collection: name, details: { index: index.name } })
  }
  const { bytes, key: encoded, end, collection, sequence } = version
  const expires = bytes[version.start] === CODEC_EXPIRING
  const start = version.start + (expires ? 1 + MOMENT_BYTES : 0)
  const expiresAt = expires ? Number(bytes.readBigUInt64LE(version.start + 1)) : undefined
  const key = decodeKey(encoded, 0, encoded.length)
  const document = asDocument(source, key, bytes, start, end) as object
  const record = core.computed.seal(name, document, { bytes, start, end }, core.shapes)
  const context = { collection: name, place: 'key' }
  return { collectionId: collection, key, record, context, condition: sequence, expiresAt }
}
