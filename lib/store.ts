/** The store: opening, collections, batches, snapshots, upkeep, closing. */
import { resolve } from 'node:path'
import type { OperationCounts } from './activity.js'
import { BATCH_OPTIONS, Collection, WATCH_OPTIONS } from './collection.js'
import { StoreCore } from './core.js'
import type {
  CollectionDefinition,
  DocumentOf,
  IndexDeclarations,
  IndexKeys,
  KeyIn,
  NeedsKey,
  WritableOf,
} from './definition.js'
import { invalidArgument, StoreError } from './errors.js'
import { readDiff } from './history.js'
import { disposable, now } from './host.js'
import { changeSchema, completeInfo, type ListedIndex } from './indexes.js'
import { checkedSettings, openRetention, retentionRule, type SettingsChange } from './keeping.js'
import type { Key } from './keys.js'
import { MAX_TRANSACTION_MS } from './limits.js'
import { asOfRule } from './moment.js'
import { definitionOperation, preparedOperations, type WriteOperation } from './operation.js'
import { boolean, checkOptions, integer, type OptionRules, oneOf, requireString, signal } from './options.js'
import { type CollectionOptions, ReadCollection } from './read-collection.js'
import { isPlainObject } from './record/plain.js'
import { type SalvageReport, salvage, type VerifyReport, verify } from './repair.js'
import type { RecoveryReport, StoreMetrics } from './reports.js'
import { runtime } from './runtime.js'
import type { Schema } from './schema.js'
import { Snapshot } from './snapshot.js'
import { transact } from './transact.js'
import type { Transaction } from './transaction.js'
import type {
  AbortOptions,
  AnyDocument,
  BatchOptions,
  CollectionInfo,
  CollectionSettings,
  Commit,
  KeyProperty,
  OpenOptions,
  Sequence,
  StoreChange,
  StoreOptions,
  TransactionOptions,
  WatchOptions,
} from './types.js'
import { followStore } from './watch.js'
import type { WriteBuffer } from './write-buffer.js'

const durability = oneOf('memory', 'os', 'disk')
const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
const MEBIBYTE = 1024 * 1024
const OPEN_OPTIONS: OptionRules<OpenOptions> = {
  createIfMissing: boolean,
  cacheBytes: integer(0, 1024 * 1024 * MEBIBYTE),
  memtableBytes: integer(64 * 1024, 4096 * MEBIBYTE),
  walSegmentBytes: integer(64 * 1024, 4096 * MEBIBYTE),
  readThreads: integer(1, 64),
  pageCacheReads: boolean,
  retention: retentionRule,
  durability,
  defaultScanLimit: integer(1, Number.MAX_SAFE_INTEGER),
  logger: { expected: 'a function', accepts: (value) => typeof value === 'function' },
}
const ABORT_OPTIONS: OptionRules<AbortOptions> = { signal }
const TRANSACTION_OPTIONS: OptionRules<TransactionOptions> = {
  ...BATCH_OPTIONS,
  isolation: oneOf('snapshot', 'serializable'),
  retries: integer(0, 1_000_000),
  timeoutMs: integer(1, MAX_TRANSACTION_MS),
}

/**
 * An open store. One process opens a directory at a time; within it, every open of the same directory, from any worker
 * thread and from both `import` and `require`, shares one engine, which closes with the last handle.
 */
export class FountainStore implements AsyncDisposable {
  /** The store's directory, as an absolute path. */
  readonly path: string
  /** What recovery found when the engine was opened. */
  readonly recovery: RecoveryReport
  readonly #core: StoreCore

  private constructor(core: StoreCore, path: string, recovery: RecoveryReport) {
    this.#core = core
    this.path = path
    this.recovery = recovery
  }

  /**
   * Opens the store in the directory `path`, creating it if there is none, and recovers what a crash left behind.
   *
   * Rejects with `ERR_LOCKED` if another process has it open, `ERR_NOT_A_STORE` for a directory of something else,
   * `ERR_NOT_FOUND` without `createIfMissing`, `ERR_NEWER_FORMAT`, `ERR_CORRUPT`, `ERR_IO`, `ERR_INVALID_ARGUMENT`.
   */
  static open(path: string, options?: OpenOptions): Promise<FountainStore>
  /** As above, with the directory among the options. */
  static open(options: StoreOptions): Promise<FountainStore>
  static open(where: string | StoreOptions, options?: OpenOptions): Promise<FountainStore> {
    if (options !== undefined || !isPlainObject(where)) return FountainStore.#open(where, options)
    const { path, ...others } = where as unknown as StoreOptions
    return FountainStore.#open(path, others)
  }

  static async #open(path: unknown, options: OpenOptions | undefined): Promise<FountainStore> {
    if (typeof path !== 'string') throw invalidArgument('path', 'a string', path)
    if (path === '' || path.includes('\0')) throw invalidArgument('path', 'the name of a directory', path)
    const checked = checkOptions(options, OPEN_OPTIONS, 'open')
    const { durability = 'disk', defaultScanLimit = Number.MAX_SAFE_INTEGER, logger, retention, ...engine } = checked
    const kept = retention === undefined ? {} : { retention: openRetention(retention) }
    const thread = runtime()
    const directory = resolve(path)
    const handle = await thread.open(directory, { ...engine, ...kept })
    const core = new StoreCore(thread, handle, { durability, defaultScanLimit, logger })
    const recovery: RecoveryReport = JSON.parse(core.call((native) => native.recovery(handle)))
    logOpening(core, directory, recovery)
    return new FountainStore(core, directory, recovery)
  }

  /**
   * Reads every file of the store in the directory `path` and proves it: checksums, order, counts, links. Goes on after a
   * fault, so the report has all of them. Writes nothing, and needs a store that nobody has open, whether it can be opened
   * or not.
   *
   * Rejects with `ERR_LOCKED`, `ERR_NOT_FOUND`, `ERR_NOT_A_STORE`, `ERR_NEWER_FORMAT`, `ERR_IO`, `ERR_INVALID_ARGUMENT`. What
   * is wrong with a file is in the report.
   */
  static verify(path: string): Promise<VerifyReport> {
    return verify(path)
  }

  /**
   * Saves what can be read of the store in `source`, which stays as it is to the byte, into a new store in `destination`,
   * which must not be there or be an empty directory. Sequences and history stay, what was deleted stays deleted, and the
   * report tells exactly what is missing.
   *
   * Rejects as `verify`, and with `ERR_DISK_FULL`, and with `ERR_CORRUPT` if nothing of the source can be read at all.
   */
  static salvage(source: string, destination: string): Promise<SalvageReport> {
    return salvage(source, destination)
  }

  /** The sequence of the newest commit; 0 for a new store. */
  get sequence(): Sequence {
    return this.#core.call((native, handle) => native.sequence(handle))
  }

  /** A collection of documents that carry their key in `id`. It comes into being with its first write. */
  collection<T extends { readonly id: Key } = AnyDocument>(
    name: string,
    options?: { readonly key?: 'id' },
  ): Collection<T, T['id']>
  /** A collection of documents that carry their key in another property: `store.collection<User, 'email'>(…)`. */
  collection<T extends object, P extends KeyProperty<T>>(
    name: string,
    options: { readonly key: P },
  ): Collection<T, Extract<T[P], Key>>
  /**
   * A collection with a schema, which judges every document that is written through it, and with indexes. All types follow
   * from these: what is written, what is read, names and keys of indexes.
   */
  collection<
    S extends Schema,
    const I extends IndexDeclarations<DocumentOf<S>> = Readonly<Record<never, never>>,
    P extends KeyProperty<DocumentOf<S>> = KeyProperty<DocumentOf<S>> & 'id',
  >(
    name: string,
    definition: CollectionDefinition<S, P, I> & NeedsKey<DocumentOf<S>, P>,
  ): Collection<DocumentOf<S>, KeyIn<DocumentOf<S>, P>, IndexKeys<DocumentOf<S>, I>, WritableOf<S>>
  collection(name: string, options?: CollectionOptions): unknown {
    return new Collection(this.#core, name, options)
  }

  /** The names of the collections that have been written to, sorted. */
  async collections(): Promise<string[]> {
    return JSON.parse(this.#core.call((native, handle) => native.collections(handle)))
  }

  /**
   * Creates a collection before anything is written to it, which its first write would do as well, with settings. Fine if it
   * is there with the same settings, or if none are given; else it rejects with `ERR_EXISTS`.
   */
  async createCollection(name: string, settings?: CollectionSettings): Promise<void> {
    await this.#changeSettings('createCollection', name, settings)
  }

  /**
   * Changes settings of a collection, from the commit that does it on; `null` takes one back. What a retention no longer
   * keeps goes with the next compaction. Rejects with `ERR_NOT_FOUND` if nothing was ever written to the collection.
   */
  async alterCollection(name: string, settings: SettingsChange): Promise<void> {
    if (settings === undefined) throw invalidArgument('settings', 'a plain object', settings)
    await this.#changeSettings('alterCollection', name, settings)
  }

  /** A collection with its settings and indexes; undefined if nothing was ever written to it. */
  async collectionInfo(name: string): Promise<CollectionInfo | undefined> {
    requireString(name, 'name')
    const core = this.#core
    const info = JSON.parse(core.call((native, handle) => native.collectionInfo(handle, name)))
    if (info === null) return undefined
    return { ...info, indexes: info.indexes.map((index: ListedIndex) => completeInfo(core, index, name)) }
  }

  /**
   * Drops a collection with its documents and indexes, in the same short time whatever it holds; snapshots of before still
   * have it. What its retention keeps keeps its space, which by default is everything: alter the retention first to have the
   * space back (`docs/collections.md`). Collection objects made before it take no more writes (`ERR_NOT_FOUND`): ask the store for a new one.
   * Rejects with `ERR_NOT_FOUND` if nothing was ever written to it.
   */
  async dropCollection(name: string): Promise<void> {
    requireString(name, 'name')
    await changeSchema(this.#core, { op: 'dropCollection', collection: name })
    this.#core.computed.forget(name)
  }

  /**
   * The creation of a collection, as by `createCollection`, for `batch`.
   *
   * @throws StoreError for bad names and settings
   */
  createCollectionOp(name: string, settings?: CollectionSettings): WriteOperation {
    requireString(name, 'name')
    const core = this.#core
    const options = this.#checkedSettings('createCollectionOp', settings)
    const id = core.call((native, handle) => native.collection(handle, name), { collection: name })
    return definitionOperation(core, { id, name }, { op: 'createCollection', options })
  }

  /**
   * Dropping the collection that has this name now, as by `dropCollection`, for `batch`. The batch can write nothing to it, and
   * nothing to another one of the same name.
   *
   * @throws StoreError `ERR_NOT_FOUND` if nothing was ever written to it
   */
  dropCollectionOp(name: string): WriteOperation {
    requireString(name, 'name')
    const core = this.#core
    const isThere = core.call((native, handle) => native.collectionInfo(handle, name), { collection: name }) !== 'null'
    if (!isThere) throw new StoreError('ERR_NOT_FOUND', `there is no collection ${name}`, { collection: name })
    const id = core.call((native, handle) => native.knownCollection(handle, name), { collection: name })
    return definitionOperation(core, { id, name }, { op: 'dropCollection' }, () => core.computed.forget(name))
  }

  /**
   * Several operations, on any collections, as one commit: all of them happen or none. The last one on a key wins. An
   * empty batch writes nothing and answers with the newest sequence. Changes of what collections and indexes there are come
   * first, in their order, wherever they stand: the puts of a batch are in the indexes that it defines. Rejects with
   * `ERR_NOT_FOUND` for a write to a collection that was dropped, by the batch itself or before.
   */
  batch(operations: readonly WriteOperation[], options?: BatchOptions): Promise<Commit> {
    const core = this.#core
    try {
      core.assertOpen()
      const checked = checkOptions(options, BATCH_OPTIONS, 'batch')
      checked.signal?.throwIfAborted()
      if (!Array.isArray(operations)) throw invalidArgument('operations', 'an array of operations', operations)
      const prepared = preparedOperations(operations, core)
      const add = (batch: WriteBuffer) => {
        for (const { write } of prepared) batch.appendToBatch(write)
      }
      const durability = checked.durability ?? core.durability
      const committed = core.writeAll(prepared.length, add, durability, checked.requireSequenceAtLeast)
      core.activity.storeBatch()
      const afterwards = prepared.flatMap(({ committed }) => (committed === undefined ? [] : [committed]))
      if (afterwards.length === 0) return committed
      return committed.then((commit) => {
        for (const tell of afterwards) tell()
        return commit
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Runs `work` in a transaction and commits what it wrote as one commit when it returns; resolves with what it returned.
   * If another commit came in between, `work` is run again, on a newer state, so it should have no other effects. If it
   * throws or rejects, nothing is written. Writes that have not resolved when it begins are as those of others: it need not
   * see them, so await what it should see.
   *
   * Rejects with `ERR_CONFLICT` or `ERR_TRANSACTION_TOO_OLD` when all attempts were refused, `ERR_TIMEOUT`, `ERR_EXISTS`
   * for an insert, and what writes reject with.
   */
  transaction<R>(work: (transaction: Transaction) => R | Promise<R>, options?: TransactionOptions): Promise<R> {
    try {
      this.#core.assertOpen()
      const checked = checkOptions(options, TRANSACTION_OPTIONS, 'transaction')
      checked.signal?.throwIfAborted()
      if (typeof work !== 'function') throw invalidArgument('work', 'a function', work)
      return transact(this.#core, work, checked)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The store as it is now, for as long as the snapshot is open. */
  snapshot(): Snapshot {
    return new Snapshot(this.#core, this.#core.pinNewest(), this.#view)
  }

  /**
   * The store as the commit with this sequence left it; 0 is the empty store before the first. Or the store at a time:
   * commits of the second before it may be missing, and of what is long ago those of up to a 128th of its age.
   *
   * @throws StoreError `ERR_HISTORY_TRUNCATED` if it is no longer kept, `ERR_SEQUENCE` if it has not happened yet
   */
  at(moment: Sequence | Date): Snapshot {
    return new Snapshot(this.#core, this.#core.pinAt(this.#sequenceOf(moment, 'moment')), this.#view)
  }

  /**
   * The documents that differ between two moments, by collection and key, as they are at the later one, which is now unless
   * given. What was changed and changed back is not among them.
   *
   * @throws StoreError for bad arguments; the iteration rejects with `ERR_INVALID_ARGUMENT` if `from` is later than `to`, and
   * with `ERR_HISTORY_TRUNCATED` if it is no longer kept
   */
  diff(from: Sequence | Date, to?: Sequence | Date, options?: AbortOptions): AsyncGenerator<StoreChange, void> {
    const { signal } = checkOptions(options, ABORT_OPTIONS, 'diff')
    const upto = to === undefined ? this.sequence : this.#sequenceOf(to, 'to')
    return disposable(readDiff(this.#core, this.#sequenceOf(from, 'from'), upto, signal))
  }

  /** Writes what is in memory out as a table and waits until that is on disk. */
  async flush(): Promise<void> {
    await this.#upkeep('flush')
  }

  /** Flushes and merges all tables, dropping what nothing can read any more. Takes as long as the store is large. */
  async compact(): Promise<void> {
    await this.#upkeep('compact')
  }

  /** How often what was done through this handle since it was opened, or since the last `resetMetrics`. */
  metricsSnapshot(): OperationCounts {
    this.#core.assertOpen()
    return this.#core.activity.counts
  }

  /** Begins to count anew what is done through this handle; answers with what `metricsSnapshot` said before. */
  resetMetrics(): OperationCounts {
    this.#core.assertOpen()
    return this.#core.activity.reset()
  }

  /** Counters and sizes of the engine and its storage, at this moment. */
  metrics(): StoreMetrics {
    const engine = JSON.parse(this.#core.call((native, handle) => native.metrics(handle)))
    return { ...engine, queuedWriteBytes: this.#core.queue.bytes }
  }

  /**
   * Waits for reads and writes under way, then closes. Everything after the call fails with `ERR_CLOSED`, except
   * `close` itself, which answers as the first time. Open snapshots and scans end; so do calls that go on page by page, such as
   * `toArray` of many documents, and `updateWhere` where a schema judges documents: with `ERR_CLOSED`, and nothing changed.
   */
  close(): Promise<void> {
    const core = this.#core
    if (core.isOpen) core.activity.log({ type: 'close', path: this.path })
    return core.close()
  }

  /** Closes the store. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  readonly #view = (name: string, options: CollectionOptions | undefined, at: Snapshot) =>
    new ReadCollection<object, Key>(this.#core, name, options, at)

  /**
   * What commits change from now on, or from `from` on, in their order and each once; within a commit by collection and key.
   * The loop waits for more at the end, which keeps the process alive, until it is left, the signal is aborted, or the store
   * closes, when it rejects with `ERR_CLOSED`. One that falls behind is served from the history: it rejects with
   * `ERR_HISTORY_TRUNCATED` if that is not kept.
   *
   * @throws StoreError for bad options
   */
  watch(options?: WatchOptions): AsyncGenerator<StoreChange, void> {
    const { from, signal } = checkOptions(options, WATCH_OPTIONS, 'watch')
    return followStore(this.#core, from, signal)
  }

  async #changeSettings(op: 'createCollection' | 'alterCollection', name: string, settings: unknown): Promise<void> {
    requireString(name, 'name')
    await changeSchema(this.#core, { op, collection: name, options: this.#checkedSettings(op, settings) })
  }

  #checkedSettings(call: string, settings: unknown): object | undefined {
    if (settings === undefined) return undefined
    return checkedSettings(settings, call, (time) => this.#sequenceOf(time, 'since'))
  }

  #sequenceOf(moment: Sequence | Date, place: string): Sequence {
    if (!asOfRule.accepts(moment)) throw invalidArgument(place, `${wholeNumber.expected} or a Date`, moment)
    return this.#core.sequenceOf(moment)
  }

  async #upkeep(kind: 'flush' | 'compact'): Promise<void> {
    const core = this.#core
    core.assertOpen()
    await core.during(async () => {
      const begin = now()
      await core.queue.drain()
      await core.request(
        {},
        (native, ticket) => native[kind](ticket, core.handle),
        () => undefined,
      )
      core.activity.log({ type: kind === 'flush' ? 'flush' : 'compaction', ms: now() - begin })
    })
  }
}

/** Tells the logger what opening did. */
function logOpening({ activity }: StoreCore, path: string, recovery: RecoveryReport): void {
  const { created, clean, replayedCommits, replayedBytes, discarded, quarantined } = recovery
  activity.log({ type: 'open', path, created })
  if (created || clean) return
  const discardedBytes = discarded.reduce((sum, tail) => sum + tail.bytes, 0)
  activity.log({ type: 'recovery', replayedCommits, replayedBytes, discardedBytes, quarantined: quarantined.length })
}
