/**
 * What comes: what commits change from a sequence on, as they are made, read page by page on a read thread that waits for the
 * next one.
 */
import { NEWEST, type StoreCore } from './core.js'
import { changeOf, nameOf, type Packed, versionPage } from './history.js'
import { decodeKey, type Key } from './keys.js'
import { PAGE_BYTES } from './limits.js'
import { abandoned } from './pin.js'
import { asDocument, type ReadSource, type WriteSource } from './read.js'
import type { CollectionChange, Sequence, StoreChange } from './types.js'

/** The collection number of what is said of the change before: which document there was. */
const PREVIOUS = 0
/** The collection number of what is said of the change before: the document meets the conditions no longer. */
const LEAVES = 1

/** A change, with what is said of it. */
interface Told {
  readonly version: Packed
  readonly previous: Packed | undefined
  readonly leaves: boolean
}

/** A native watch while it is followed, apart from the iterator, so that a finalizer can end it. */
class Following {
  /** Whether the iterator was left, so that nobody cares for what it waits for. */
  left = false
  /** The sequence behind which the changes begin. */
  readonly begin: Sequence
  readonly #core: StoreCore
  readonly #signal: AbortSignal | undefined
  #watch: number | undefined

  /** Takes over a native watch. */
  constructor(core: StoreCore, watch: number, begin: Sequence, signal: AbortSignal | undefined) {
    this.#core = core
    this.#watch = watch
    this.begin = begin
    this.#signal = signal
    core.watches.add(this.#end)
    signal?.addEventListener('abort', this.#end)
  }

  /** The native handle; undefined when it has ended. */
  get watch(): number | undefined {
    return this.#watch
  }

  /** Ends the watch; more than once does nothing. */
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

/** What is followed, and what becomes of it. */
interface Plan<R> {
  readonly core: StoreCore
  /** The id of the one collection, or 0 for all. */
  readonly collection: number
  /** Its name. */
  readonly name?: string
  readonly signal: AbortSignal | undefined
  readonly make: (told: Told) => R
  /** What is told before the first change, of the state behind which the changes begin. */
  readonly first?: ((begin: Sequence) => AsyncIterable<R>) | undefined
}

/**
 * The changes of a watch, in their order, without end: until it is left, the signal is aborted, the store closed or the one
 * collection that is followed dropped.
 */
async function* readChanges<R>(plan: Plan<R>, following: Following): AsyncGenerator<R, void> {
  const { core, collection, signal, make, first } = plan
  try {
    signal?.throwIfAborted()
    if (first !== undefined) yield* first(following.begin)
    for (let after = following.begin; ; ) {
      signal?.throwIfAborted()
      core.assertOpen()
      const { watch } = following
      if (watch === undefined) return
      const next: Parameters<typeof versionPage>[1] = (native, ticket) => {
        native.watchNext(ticket, watch, collection, after, PAGE_BYTES)
      }
      const { said, versions } = await versionPage(core, next, { collection: plan.name })
      for (const told of together(versions)) {
        yield make(told)
        signal?.throwIfAborted()
        if (collection !== 0 && told.version.key.length === 0) return
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

/** Each change with what is said of it behind it. */
function* together(versions: readonly Packed[]): Generator<Told> {
  for (let at = 0; at < versions.length; ) {
    const version = versions[at++] as Packed
    let previous: Packed | undefined
    let leaves = false
    for (let said = versions[at]; said !== undefined && said.collection <= LEAVES; said = versions[++at]) {
      if (said.collection === PREVIOUS) previous = said
      else leaves = true
    }
    yield { version, previous, leaves }
  }
}

/** What commits after a sequence, or from now on, change in all collections. */
export function followStore(core: StoreCore, from?: Sequence, signal?: AbortSignal): AsyncGenerator<StoreChange, void> {
  const names = new Map<number, string>()
  const make = ({ version }: Told): StoreChange => {
    const { sequence } = version
    // A commit that drops a collection leaves none of its name.
    const collection = nameOf(core, names, version.collection, [sequence, sequence - 1])
    return { collection, change: changeOf(core, version) }
  }
  const watch = core.call((native, handle) => native.watch(handle))
  const begin = from ?? core.call((native) => native.watchBegin(watch))
  const following = new Following(core, watch, begin, signal)
  return new Changes(readChanges({ core, collection: 0, signal, make }, following), following)
}

/** What one who follows a collection wants, checked. */
export interface Wanted<T> {
  readonly from: Sequence | undefined
  readonly signal: AbortSignal | undefined
  /** Conditions, as the engine takes them. */
  readonly where: unknown
  readonly regex: boolean
  readonly prev: boolean
  /** Reads the documents of a state for which the conditions hold; none are told first without it. */
  readonly initial: ((state: Sequence) => AsyncIterable<T[]>) | undefined
}

/** What commits after a sequence, or from now on, change in one collection, up to the one that drops it. */
export function followCollection<T, K extends Key>(
  source: WriteSource,
  wanted: Wanted<T>,
): AsyncGenerator<CollectionChange<T, K>, void> {
  const { core, name } = source
  const { from, signal, where, regex, prev, initial } = wanted
  const collection = source.claim()
  const sight = where !== undefined || prev || initial !== undefined ? JSON.stringify({ where, prev }) : undefined
  const watch = core.call(
    (native, handle) =>
      sight === undefined
        ? native.watch(handle)
        : native.watchCollection(handle, collection, from ?? NEWEST, sight, regex),
    { collection: name },
  )
  // Of a plain watch the newest, by now.
  const begin = (sight === undefined ? from : undefined) ?? core.call((native) => native.watchBegin(watch))
  const following = new Following(core, watch, begin, signal)
  const make = (told: Told) => collectionChange<T, K>(source, told)
  // What had the name then may be another collection, of which nothing is told later.
  const wasThere = (state: Sequence) =>
    core.call((native, handle) => native.collectionAt(handle, name, state), { collection: name }) === collection
  const first =
    initial && ((state: Sequence) => readInitial<T, K>(source, state, wasThere(state) ? initial(state) : undefined))
  return new Changes(readChanges({ core, collection, name, signal, make, first }, following), following)
}

function collectionChange<T, K extends Key>(
  source: ReadSource,
  { version, previous, leaves }: Told,
): CollectionChange<T, K> {
  const { sequence, key, deleted, bytes, start, end } = version
  if (key.length === 0) return { op: 'drop', sequence }
  const id = decodeKey(key, 0, key.length) as K
  const document = (bytes: Buffer, start: number, end: number) => asDocument(source, id, bytes, start, end) as T
  const before = previous && { prev: document(previous.bytes, previous.start, previous.end) }
  if (deleted) return { op: 'delete', id, ...before, sequence }
  return { op: leaves ? 'leave' : 'put', id, doc: document(bytes, start, end), ...before, sequence }
}

/** The documents of a state as if they were put, and that these were all. */
async function* readInitial<T, K extends Key>(
  source: ReadSource,
  sequence: Sequence,
  pages: AsyncIterable<T[]> | undefined,
): AsyncGenerator<CollectionChange<T, K>, void> {
  for await (const page of pages ?? []) {
    for (const doc of page) {
      yield { op: 'put', id: (doc as Record<string, unknown>)[source.keyName] as K, doc, sequence, initial: true }
    }
  }
  yield { op: 'ready', sequence }
}
