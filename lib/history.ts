/**
 * What was: the versions of one document, and how two moments differ. All is read page by page on a read thread; the pages are
 * those of `watch.ts`, too.
 */
import type { StoreCore } from './core.js'
import { StoreError, type StoreErrorDetails } from './errors.js'
import { decodeKey, encodeKey, type Key } from './keys.js'
import { PAGE_BYTES } from './limits.js'
import type { LeaseSlot } from './pin.js'
import { asDocument, type ReadSource } from './read.js'
import { readRecord } from './record/reader.js'
import type { Change, Sequence, StoreChange, Version } from './types.js'

const HEADER = 20
const DELETED = 0xffffffff

/** One version in a page; it lies in `bytes`, the document between `start` and `end` unless it was deleted. */
export interface Packed {
  readonly sequence: Sequence
  readonly collection: number
  /** Empty where the collection was dropped. */
  readonly key: Buffer
  readonly deleted: boolean
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

/** A page as `crates/engine` packs it. */
export interface Page {
  /** What the engine says beside it. */
  readonly said: number
  readonly versions: readonly Packed[]
}

/**
 * The versions of a document, newest first, up to the sequence that `begin` gives; it is kept by the lease in `slot`. The
 * newest is whatever that is when the first page is read, so that at least one version of it is kept.
 */
export async function* readHistory<T>(
  source: ReadSource,
  key: Key,
  begin: () => Sequence | Promise<Sequence>,
  slot: LeaseSlot,
  signal?: AbortSignal,
): AsyncGenerator<Version<T>, void> {
  try {
    // What it keeps is kept from now on, not from when it has an answer on.
    const begun = begin()
    for (let newest = typeof begun === 'number' ? begun : await begun; newest !== 0; ) {
      signal?.throwIfAborted()
      const { said, versions } = await historyPage(source, key, newest, PAGE_BYTES)
      for (const version of versions) {
        const { sequence, deleted, bytes, start, end } = version
        yield { sequence, doc: deleted ? undefined : (asDocument(source, key, bytes, start, end) as T) }
        newest = sequence - 1
      }
      if (said === 0) return
    }
  } finally {
    slot.release()
  }
}

/** The newest version of a document up to a sequence, or of all, without the document. */
export async function readMeta(source: ReadSource, key: Key, upto: Sequence) {
  const [version] = (await historyPage(source, key, upto, 1)).versions
  return version && { sequence: version.sequence, deleted: version.deleted }
}

/** The documents that differ between two moments, by collection and key, as they are at the later one. */
export async function* readDiff(
  core: StoreCore,
  after: Sequence,
  upto: Sequence,
  signal?: AbortSignal,
): AsyncGenerator<StoreChange, void> {
  const names = new Map<number, string>()
  for (let behind: Packed | undefined; ; ) {
    signal?.throwIfAborted()
    const request = { collection: 0, after, upto, maxBytes: PAGE_BYTES }
    const { said, versions } = await versionPage(core, (native, ticket) => {
      native.diff(ticket, core.handle, core.runtime.io, startBehind(behind, core.runtime.io), request)
    })
    for (const version of versions) {
      behind = version
      const collection = nameOf(core, names, version.collection, [upto, after])
      yield { collection, change: changeOf(core, version) }
    }
    if (said === 0) return
  }
}

function historyPage(source: ReadSource, key: Key, upto: Sequence, maxBytes: number): Promise<Page> {
  const { core, id, name } = source
  return versionPage(core, (native, ticket) => {
    const { io } = core.runtime
    const length = encodeKey(key, io, 0, { collection: name, place: 'key' })
    native.history(ticket, core.handle, io, { collection: id, key: length, upto, maxBytes })
  })
}

type Start = (native: StoreCore['runtime']['native'], ticket: number) => void

/** Asks for a page of versions; what is known of it is for errors. */
export function versionPage(core: StoreCore, start: Start, known: StoreErrorDetails = {}): Promise<Page> {
  core.assertOpen()
  return core.request(known, start, (said, length) => ({ said, versions: unpack(core.runtime.collect(length)) }))
}

/** The versions in the bytes of a page. */
export function unpack(bytes: Buffer): Packed[] {
  const versions: Packed[] = []
  for (let at = 0; at < bytes.length; ) {
    const keyEnd = at + HEADER + bytes.readUInt32LE(at + 12)
    const length = bytes.readUInt32LE(at + 16)
    const deleted = length === DELETED
    const end = deleted ? keyEnd : keyEnd + length
    versions.push({
      sequence: Number(bytes.readBigUInt64LE(at)),
      collection: bytes.readUInt32LE(at + 8),
      key: bytes.subarray(at + HEADER, keyEnd),
      deleted,
      bytes,
      start: keyEnd,
      end,
    })
    at = end
  }
  return versions
}

/** Writes where to go on behind a version into `io`: its collection, its key and a zero byte. Returns the length. */
function startBehind(version: Packed | undefined, io: Buffer): number {
  if (version === undefined) return 0
  const length = io.writeUInt32BE(version.collection) + version.key.copy(io, 4)
  io[length] = 0
  return length + 1
}

/** What became of a document of any collection. */
export function changeOf(core: StoreCore, version: Packed): Change<unknown, Key> {
  const { sequence, key, bytes, start, end } = version
  if (key.length === 0) return { op: 'drop', sequence }
  const id = decodeKey(key, 0, key.length)
  if (version.deleted) return { op: 'delete', id, sequence }
  return { op: 'put', id, doc: readRecord(bytes, start, end, core.shapes), sequence }
}

/** The name of a collection by its id, now or at one of some moments; `names` keeps what is known. */
export function nameOf(core: StoreCore, names: Map<number, string>, id: number, moments: readonly Sequence[]): string {
  for (let next = -1; !names.has(id) && next < moments.length; next++) {
    const moment = moments[next] ?? core.call((native, handle) => native.sequence(handle))
    for (const [other, name] of collectionsAt(core, moment)) names.set(other, name)
  }
  return names.get(id) ?? ''
}

/** The collections that there were at a moment; none if that is not known any more. */
function collectionsAt(core: StoreCore, moment: Sequence): [number, string][] {
  try {
    return JSON.parse(core.call((native, handle) => native.collectionsAt(handle, moment)))
  } catch (error) {
    if (StoreError.is(error, 'ERR_HISTORY_TRUNCATED')) return []
    throw error
  }
}
