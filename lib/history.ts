/**
 * What was and what comes: the versions of one document, how two moments differ, and what commits change from a sequence on.
 * All is read page by page on a read thread.
 */
import type { StoreCore } from './core.js'
import { StoreError } from './errors.js'
import { decodeKey, encodeKey, type Key } from './keys.js'
import { PAGE_BYTES } from './limits.js'
import { abandoned } from './pin.js'
import { asDocument, type ReadSource, type WriteSource } from './read.js'
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

/** The versions of a document up to a sequence, newest first. */
export async function* readHistory<T>(
  source: ReadSource,
  key: Key,
  upto: Sequence,
  signal?: AbortSignal,
): AsyncGenerator<Version<T>, void> {
  for (let newest = upto; newest > 0; ) {
    signal?.throwIfAborted()
    const { said, versions } = await historyPage(source, key, newest, PAGE_BYTES)
    for (const version of versions) {
      const { sequence, deleted, bytes, start, end } = version
      yield { sequence, doc: deleted ? undefined : (asDocument(source, key, bytes, start, end) as T) }
      newest = sequence - 1
    }
    if (said === 0) return
  }
}

/** The newest version of a document up to a sequence, without the document. */
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

/** A native watch while it is followed, apart from the iterator, so that a finalizer can end it. */
class Following {
  /** Whether the iterator was left, so that nobody cares for what it waits for. */
  left = false
  readonly #core: StoreCore
  readonly #signal: AbortSignal | undefined
  #watch: number | undefined

  constructor(core: StoreCore, signal: AbortSignal | undefined) {
    this.#core = core
    this.#signal = signal
  }

  /** Begins to watch; returns the native handle. */
  begin(): number {
    const watch = this.#core.call((native, handle) => native.watch(handle))
    this.#watch = watch
    this.#core.watches.add(this.#end)
    this.#signal?.addEventListener('abort', this.#end)
    return watch
  }

  /** Ends the watch, if it has begun; more than once does nothing. */
  release(): void {
    this.#signal?.removeEventListener('abort', this.#end)
    this.#core.watches.delete(this.#end)
    this.#end()
  }

  /** Whoever waits is answered with `ERR_CLOSED`. */
  readonly #end = () => {
    if (this.#watch !== undefined) this.#core.runtime.native.unwatch(this.#watch)
    this.#watch = undefined
  }
}

/** Changes as they come. Other than of a generator, `return` ends a `next` that waits for a commit. */
class Changes<R> implements AsyncGenerator<R, void> {
  readonly #changes: AsyncGenerator<R, void>
  readonly #following: Following

  constructor(changes: AsyncGenerator<R, void>, following: Following) {
    this.#changes = changes
    this.#following = following
    // While somebody waits for a change, the generator is alive, even if this is not.
    abandoned.register(changes, following)
  }

  next(): Promise<IteratorResult<R, void>> {
    return this.#changes.next()
  }

  return(): Promise<IteratorResult<R, void>> {
    this.#leave()
    return this.#changes.return()
  }

  throw(error: unknown): Promise<IteratorResult<R, void>> {
    this.#leave()
    return this.#changes.throw(error)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #leave(): void {
    this.#following.left = true
    this.#following.release()
  }
}

/**
 * What commits after a sequence change, in their order, without end: until it is left, the signal is aborted, the store
 * closed or the one collection that is followed dropped. `collection` is an id, or 0 for all; `make` is what becomes of each.
 */
function follow<R>(
  core: StoreCore,
  collection: number,
  from: Sequence,
  signal: AbortSignal | undefined,
  make: (version: Packed) => R,
): AsyncGenerator<R, void> {
  const following = new Following(core, signal)
  return new Changes(readChanges(core, collection, from, signal, following, make), following)
}

async function* readChanges<R>(
  core: StoreCore,
  collection: number,
  from: Sequence,
  signal: AbortSignal | undefined,
  following: Following,
  make: (version: Packed) => R,
): AsyncGenerator<R, void> {
  try {
    const watch = following.begin()
    for (let after = from; ; ) {
      signal?.throwIfAborted()
      const { said, versions } = await versionPage(core, (native, ticket) => {
        native.watchNext(ticket, watch, collection, after, PAGE_BYTES)
      })
      for (const version of versions) {
        yield make(version)
        signal?.throwIfAborted()
        if (collection !== 0 && version.key.length === 0) return
      }
      after = said
    }
  } catch (error) {
    if (following.left) return
    signal?.throwIfAborted()
    throw error
  } finally {
    following.release()
  }
}

/** What commits after a sequence change in all collections. */
export function followStore(core: StoreCore, from: Sequence, signal?: AbortSignal): AsyncGenerator<StoreChange, void> {
  const names = new Map<number, string>()
  return follow(core, 0, from, signal, (version) => {
    const { sequence } = version
    // A commit that drops a collection leaves none of its name.
    const collection = nameOf(core, names, version.collection, [sequence, sequence - 1])
    return { collection, change: changeOf(core, version) }
  })
}

/** What commits after a sequence change in one collection, up to the one that drops it. */
export function followCollection<T, K extends Key>(
  source: WriteSource,
  from: Sequence,
  signal?: AbortSignal,
): AsyncGenerator<Change<T, K>, void> {
  return follow(source.core, source.claim(), from, signal, (version) => {
    const { sequence, key, deleted, bytes, start, end } = version
    if (key.length === 0) return { op: 'drop', sequence }
    const id = decodeKey(key, 0, key.length) as K
    if (deleted) return { op: 'delete', id, sequence }
    return { op: 'put', id, doc: asDocument(source, id, bytes, start, end) as T, sequence }
  })
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

/** Asks for a page of versions. */
export function versionPage(core: StoreCore, start: Start): Promise<Page> {
  core.assertOpen()
  return core.request({}, start, (said, length) => ({ said, versions: unpack(core.runtime.collect(length)) }))
}

function unpack(bytes: Buffer): Packed[] {
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

function changeOf(core: StoreCore, version: Packed): Change<unknown, Key> {
  const { sequence, key, bytes, start, end } = version
  if (key.length === 0) return { op: 'drop', sequence }
  const id = decodeKey(key, 0, key.length)
  if (version.deleted) return { op: 'delete', id, sequence }
  return { op: 'put', id, doc: readRecord(bytes, start, end, core.shapes), sequence }
}

/** The name of a collection by its id, now or at one of some moments; `names` keeps what is known. */
function nameOf(core: StoreCore, names: Map<number, string>, id: number, moments: readonly Sequence[]): string {
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
