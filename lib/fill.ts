/**
 * Fills a computed index with the documents that were there before it: each is read, its values are computed, and it is put
 * again as it is, if nobody else has put it meanwhile. Whoever has knew the function already.
 */
import type { StoreCore } from './core.js'
import { StoreError } from './errors.js'
import { type Packed, versionPage } from './history.js'
import { decodeKey } from './keys.js'
import { asDocument, type ReadSource } from './read.js'
import type { PreparedWrite } from './write-buffer.js'

const CODEC_EXPIRING = 3
const MOMENT_BYTES = 8
/** How long to wait when what is left has expired and is not deleted yet. */
const PAUSE_MS = 50

/** Waits until an index is ready, and computes what its build lacks. */
export async function buildComputed(source: ReadSource, index: number, wait: () => Promise<void>): Promise<void> {
  const { core } = source
  for (;;) {
    try {
      return await wait()
    } catch (error) {
      if (!StoreError.is(error, 'ERR_DEFINITION')) throw error
    }
    const written = await core.during(() => fill(source, index))
    if (written === 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    core.call((native, handle) => native.resumeIndex(handle, index))
  }
}

/** Goes once through all records that lack values; returns how many were put. */
async function fill(source: ReadSource, index: number): Promise<number> {
  const { core } = source
  let written = 0
  for (let after: Buffer | undefined; ; ) {
    const lacking = await readLacking(core, index, after)
    if (lacking.length === 0) return written
    const puts = lacking.map((version) => core.write([withValues(source, version)], 'os'))
    for (const put of await Promise.allSettled(puts)) {
      if (put.status === 'fulfilled') written++
      // It was put by somebody else, or deleted, or it has expired.
      else if (!StoreError.is(put.reason, 'ERR_CONFLICT')) throw put.reason
    }
    after = lacking.at(-1)?.key
  }
}

async function readLacking(core: StoreCore, index: number, after: Buffer | undefined): Promise<readonly Packed[]> {
  const { versions } = await versionPage(core, (native, ticket) => {
    const length = after?.copy(core.runtime.io) ?? 0
    native.recordsWithoutValues(ticket, core.handle, core.runtime.io, index, length)
  })
  return versions
}

/** A put of the same document, with the same moment if it has one of its own. */
function withValues(source: ReadSource, version: Packed): PreparedWrite {
  const { core, name } = source
  const { bytes, key: encoded, end, collection, sequence } = version
  const expires = bytes[version.start] === CODEC_EXPIRING
  const start = version.start + (expires ? 1 + MOMENT_BYTES : 0)
  const expiresAt = expires ? Number(bytes.readBigUInt64LE(version.start + 1)) : undefined
  const key = decodeKey(encoded, 0, encoded.length)
  const document = asDocument(source, key, bytes, start, end) as object
  const record = core.computed.seal(name, document, bytes.subarray(start, end), core.shapes)
  const context = { collection: name, place: 'key' }
  return { collectionId: collection, key, record, context, condition: sequence, expiresAt }
}
