/**
 * Reading a collection: by key, by index, by query, its history. On snapshots and in transactions that is all there is.
 *
 * A collection object holds no state of its own; any number may exist for one name. The key property is a matter of
 * the view, not of the store, so use the same one everywhere.
 */
import type { ComputedIndex } from './computed.js'
import { NEWEST, type StoreCore } from './core.js'
import type { AnyIndexes } from './definition.js'
import { invalidArgument, StoreError } from './errors.js'
import { readHistory, readMeta } from './history.js'
import { disposable } from './host.js'
import {
  checkedDefinitions,
  type IndexBounds,
  type IndexDefinition,
  type IndexKey,
  indexName,
  keyQuery,
  learnComputed,
  rangeQuery,
} from './indexes.js'
import { type Key, plainKey } from './keys.js'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from './limits.js'
import { asOfRule, Moment, type StateRead, stateOf } from './moment.js'
import { anything, boolean, checkOptions, integer, type OptionRules, requireString, signal } from './options.js'
import { abandoned, isTransaction, type Lease, LeaseSlot } from './pin.js'
import { Query } from './query.js'
import { checkedSpec } from './query-spec.js'
import type { FindSpec, Path, Select, SelectPath, Without } from './query-types.js'
import { encodeRange } from './range.js'
import {
  asDocument,
  asJson,
  type Finish,
  PENDING,
  type ReadSource,
  readLater,
  readMany,
  readNow,
  type WriteSource,
} from './read.js'
import { isPlainObject } from './record/plain.js'
import { Scan } from './scan.js'
import { type Schema, schemaRule } from './schema.js'
import { checkVersion } from './schema-version.js'
import { abortable } from './signal.js'
import { Snapshot } from './snapshot.js'
import { CollectionSource, type FixedIds, FixedSource } from './source.js'
import type { DocumentMeta, ReadOptions, ScanOptions, Sequence, SyncReadOptions, Version } from './types.js'

/** Options of `store.collection`. */
export interface CollectionOptions {
  /** The property that holds the key. Default: `'id'`. */
  readonly key?: string | undefined
  /** What documents must be when they are written. Default: anything. */
  readonly schema?: Schema | undefined
  /** The version of the schema that documents follow, see `CollectionDefinition`. Default: any. */
  readonly schemaVersion?: number | undefined
  /** The indexes that `ready()` defines, by name. Default: none. */
  readonly indexes?: Readonly<Record<string, IndexDefinition | ComputedIndex>> | undefined
}

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
const SYNC_READ_OPTIONS: OptionRules<SyncReadOptions> = {
  snapshot: { expected: 'a Snapshot', accepts: (value) => value instanceof Snapshot },
  asOf: asOfRule,
}
const READ_OPTIONS: OptionRules<ReadOptions> = { ...SYNC_READ_OPTIONS, signal }
const COLLECTION_OPTIONS: OptionRules<CollectionOptions> = {
  key: { expected: 'the name of a property', accepts: (value) => typeof value === 'string' && value !== '' },
  schema: schemaRule,
  schemaVersion: wholeNumber,
  indexes: { expected: 'an object of definitions', accepts: isPlainObject },
}
const SCAN_OPTIONS: OptionRules<ScanOptions> = {
  prefix: anything,
  gt: anything,
  gte: anything,
  lt: anything,
  lte: anything,
  reverse: boolean,
  limit: wholeNumber,
  pageSize: integer(1, MAX_PAGE_SIZE),
  ...READ_OPTIONS,
}

/** Options of reads through an index. */
export interface IndexReadOptions extends ReadOptions {
  /** From the last key to the first. Default: false. */
  readonly reverse?: boolean | undefined
  /** Most documents. Default: the store's `defaultScanLimit`, which is all unless `open` was told otherwise. */
  readonly limit?: number | undefined
  /** Documents fetched at once. */
  readonly pageSize?: number | undefined
}

/** Options of `rangeIndex`. */
export interface IndexScanOptions<V = IndexKey> extends IndexReadOptions, IndexBounds<V> {}

const INDEX_READ_OPTIONS: OptionRules<IndexReadOptions> = {
  reverse: boolean,
  limit: wholeNumber,
  pageSize: integer(1, MAX_PAGE_SIZE),
  ...READ_OPTIONS,
}
const INDEX_SCAN_OPTIONS: OptionRules<IndexScanOptions> = {
  ...INDEX_READ_OPTIONS,
  gt: anything,
  gte: anything,
  lt: anything,
  lte: anything,
}

/** What a collection reads through unless told otherwise: a snapshot or a transaction. */
interface Fixed extends FixedIds {
  readonly sequence: Sequence
  /** Whether what is read in it must be noted. */
  readonly notesReads?: boolean
  lease(core: StoreCore): Lease
}

/** The reading half of a collection: all there is on a snapshot. */
export class ReadCollection<T, K extends Key = Key, I = AnyIndexes> {
  /** The collection's name. */
  readonly name: string
  /**
   * What it was made with.
   *
   * @internal
   */
  readonly options: CollectionOptions
  /** @internal */
  protected readonly source: WriteSource
  readonly #fixed: Fixed | undefined

  /** @internal Use `store.collection()`, `snapshot.collection()` or `transaction.collection()`. */
  constructor(core: StoreCore, name: string, options?: CollectionOptions, fixed?: Fixed) {
    requireString(name, 'name')
    this.options = checkOptions(options, COLLECTION_OPTIONS, 'collection')
    const { key = 'id', schema, schemaVersion, indexes = {} } = this.options
    this.name = name
    const declared = checkedDefinitions(indexes)
    const known = { core, name, keyName: key, schema, indexes: declared }
    const source = fixed === undefined ? new CollectionSource(known) : new FixedSource(known, fixed)
    // A name that is none is refused here.
    void source.id
    if (fixed === undefined && schemaVersion !== undefined) checkVersion(core, name, schemaVersion)
    if (fixed === undefined) learnComputed(core, name, declared)
    this.source = source
    this.#fixed = fixed
  }

  /** The document under `key`, or undefined. Answers without leaving the thread when the document is in memory. */
  get(key: K, options?: ReadOptions): Promise<T | undefined> {
    try {
      const checked = checkOptions(options, READ_OPTIONS, 'get')
      checked.signal?.throwIfAborted()
      return abortable(this.#read(this.#plain(key), this.#state(checked)) as Promise<T | undefined>, checked.signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The document under `key`, or undefined, at once: reads the disk on this thread if the document is not in memory. */
  getSync(key: K, options?: SyncReadOptions): T | undefined {
    const state = this.#state(checkOptions(options, SYNC_READ_OPTIONS, 'getSync'))
    const plain = this.#plain(key)
    const lease = this.#lease(state)
    this.source.core.activity.get(this.name)
    try {
      return readNow(this.#in(state), plain, lease?.sequence ?? NEWEST, false) as T | undefined
    } finally {
      lease?.release()
    }
  }

  /**
   * The document under `key` as JSON text, or undefined, for those who pass it on: no object is built. What JSON has no
   * type for is text: dates as ISO 8601, bigints in decimal digits, bytes in base64.
   */
  getJson(key: K, options?: ReadOptions): Promise<string | undefined> {
    try {
      const checked = checkOptions(options, READ_OPTIONS, 'getJson')
      checked.signal?.throwIfAborted()
      const read = this.#read(this.#plain(key), this.#state(checked), asJson)
      return abortable(read, checked.signal) as Promise<string | undefined>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Every version of the document under `key` that is kept, newest first, deletions included: up to now, or up to the moment
   * of the snapshot or transaction that is read. They are read in pages of some 256 KiB; which older ones are still kept is decided
   * when their page is read, as a snapshot keeps a state and not what came before it.
   */
  history(key: K, options?: ReadOptions): AsyncGenerator<Version<T>, void> {
    const checked = checkOptions(options, READ_OPTIONS, 'history')
    const [plain, state] = [this.#plain(key), this.#state(checked)]
    // A snapshot that is closed already is refused here; it may be closed while its versions are being read.
    this.#lease(state)?.release()
    this.source.core.activity.history(this.name)
    const slot = new LeaseSlot()
    const begin = () => {
      slot.lease = this.#kept(state)
      return this.#notesReads(state) ? this.#look(plain, state).then(() => this.#upto(state)) : this.#upto(state)
    }
    const versions = disposable(readHistory<T>(this.#in(state), plain, begin, slot, checked.signal))
    abandoned.register(versions, slot)
    return versions
  }

  /**
   * Which commit put or deleted the document under `key` last; undefined if none that is known of did. Of a state that is not
   * kept any more, where none is known of, it rejects with `ERR_HISTORY_TRUNCATED`.
   */
  getMeta(key: K, options?: ReadOptions): Promise<DocumentMeta | undefined> {
    try {
      const checked = checkOptions(options, READ_OPTIONS, 'getMeta')
      checked.signal?.throwIfAborted()
      const [plain, state] = [this.#plain(key), this.#state(checked)]
      const { core } = this.source
      const kept = this.#kept(state)
      core.activity.get(this.name)
      const meta = core.during(() => this.#readMeta(plain, state, kept)).finally(() => kept?.release())
      return abortable(meta, checked.signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The documents under several keys, in their order, all as of one moment; undefined where there is none. */
  getMany(keys: readonly K[], options?: ReadOptions): Promise<(T | undefined)[]> {
    try {
      const checked = checkOptions(options, READ_OPTIONS, 'getMany')
      checked.signal?.throwIfAborted()
      if (!Array.isArray(keys)) throw invalidArgument('keys', 'an array of keys', keys)
      const plain: Key[] = []
      // A hole is no key, which `map` would pass over.
      for (let index = 0; index < keys.length; index++) plain.push(this.#plain(keys[index], `keys[${index}]`))
      return abortable(this.#readAll(plain, this.#state(checked)), checked.signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * The documents that match a query (`docs/query.md`). Nothing is read until the answer is asked for.
   *
   * @throws StoreError for what is not a query; what only the engine can judge rejects the answer
   */
  find<const P extends readonly SelectPath<T>[]>(
    spec: FindSpec<T, I> & { readonly select: P },
  ): Query<T, Select<T, P[number], K>, I, K>
  find<const P extends readonly Path<T>[]>(
    spec: FindSpec<T, I> & { readonly select: { readonly omit: P } },
  ): Query<T, Without<T, P[number]>, I, K>
  find(spec?: FindSpec<T, I>): Query<T, T, I, K>
  find(spec?: object): unknown {
    this.source.core.assertOpen()
    const { parts, regex, state: given, signal } = checkedSpec(spec)
    const state = this.#state(given)
    const lease = () => this.#lease(state)
    const moment = state instanceof Moment ? state : undefined
    return new Query<T, T, I, K>({ source: this.#in(state), lease, moment, regex, signal }, parts)
  }

  /**
   * The documents in key order, within bounds if any are given, as of the moment each iteration begins.
   *
   * @throws StoreError for bad options; errors of reading reject the iteration
   */
  scan(options?: ScanOptions<K>): Scan<T> {
    const checked = checkOptions(options as ScanOptions | undefined, SCAN_OPTIONS, 'scan')
    const { core } = this.source
    const { signal, reverse = false, limit = core.defaultScanLimit, pageSize = DEFAULT_PAGE_SIZE } = checked
    core.assertOpen()
    const [range, state] = [encodeRange(checked, this.name), this.#state(checked)]
    const pin = () => {
      const lease = this.#lease(state) ?? core.hold().lease()
      core.activity.scan(this.name)
      return lease
    }
    return new Scan(this.#in(state), { range, reverse, limit, pageSize, signal, pin })
  }

  /**
   * The documents with this key in an index, in the order of their own keys; of a key with fewer values than the index has
   * paths, those whose keys begin so. Rejects with `ERR_NO_INDEX` and `ERR_INDEX_BUILDING`, and with `ERR_INVALID_ARGUMENT` for a
   * key of more values than it has paths.
   */
  async byIndex<N extends keyof I & string>(index: N, key: I[N], options?: ReadOptions): Promise<T[]> {
    const all = { ...checkOptions(options, READ_OPTIONS, 'byIndex'), limit: Number.MAX_SAFE_INTEGER }
    return this.#throughIndex(index, keyQuery(indexName(index), 'equal', key), all).toArray()
  }

  /**
   * The documents whose keys in an index lie between bounds, in the order of the index. A document comes once for each of
   * its keys there.
   *
   * @throws StoreError for bad options; errors of reading reject the iteration
   */
  rangeIndex<N extends keyof I & string>(index: N, options?: IndexScanOptions<I[N]>): Scan<T> {
    const checked = checkOptions(options as IndexScanOptions | undefined, INDEX_SCAN_OPTIONS, 'rangeIndex')
    const { gt, gte, lt, lte, ...others } = checked
    if (gt !== undefined && gte !== undefined) throw invalidArgument('options.gt', 'absent when there is gte', gt)
    if (lt !== undefined && lte !== undefined) throw invalidArgument('options.lt', 'absent when there is lte', lt)
    return this.#throughIndex(index, rangeQuery(indexName(index), { gt, gte, lt, lte }), others)
  }

  /**
   * The documents whose keys in an index begin with a text, in the order of the index; of a list all values but the last
   * must be equal, and the last is text or bytes that keys begin with.
   *
   * @throws StoreError for bad options; errors of reading reject the iteration
   */
  scanIndex<N extends keyof I & string>(index: N, prefix: I[N], options?: IndexReadOptions): Scan<T> {
    const checked = checkOptions(options, INDEX_READ_OPTIONS, 'scanIndex')
    return this.#throughIndex(index, keyQuery(indexName(index), 'prefix', prefix), checked)
  }

  #throughIndex(index: string, query: string, options: IndexReadOptions): Scan<T> {
    const { core } = this.source
    const { signal, reverse = false, limit = core.defaultScanLimit, pageSize = DEFAULT_PAGE_SIZE } = options
    core.assertOpen()
    const state = this.#state(options)
    const pin = () => {
      const lease = this.#lease(state) ?? core.hold().lease()
      core.activity.indexLookup(this.name, index)
      return lease
    }
    return new Scan(this.#in(state), {
      range: encodeRange({}, this.name),
      query,
      reverse,
      limit,
      pageSize,
      signal,
      pin,
    })
  }

  /**
   * Whether it is one of this store.
   *
   * @internal
   */
  belongsTo(core: StoreCore): boolean {
    return this.source.core === core
  }

  /** A copy of a key argument that no later change can reach. */
  #plain(key: unknown, place = 'key'): Key {
    this.source.core.assertOpen()
    return plainKey(key, { collection: this.name, place })
  }

  /** The sequence up to which history is read; what a transaction has written is no part of it. */
  #upto(given: StateRead): Sequence {
    return (given ?? this.#fixed)?.sequence ?? NEWEST
  }

  /** A share in what keeps the versions up to there; a transaction keeps them only until it ends. */
  #kept(given: StateRead): Lease | undefined {
    const lease = this.#lease(given)
    if (lease === undefined || !isTransaction(lease.sequence)) return lease
    return this.source.core.pinAt(this.#upto(given)).lease()
  }

  async #readMeta(key: Key, state: StateRead, kept: Lease | undefined): Promise<DocumentMeta | undefined> {
    const source = this.#in(state)
    // Both are begun at once, as the transaction may end before they are answered.
    const noted = this.#notesReads(state) ? this.#look(key, state) : undefined
    const [found] = await Promise.all([readMeta(source, key, this.#upto(state)), noted])
    // Where there is none, it may be one that is not kept any more: reading the document there tells.
    if (found === undefined && kept !== undefined)
      await this.#readAt(source, key, kept.sequence, () => undefined, asNothing)
    return found
  }

  /** Whether it is a serializable transaction that reads: it must conflict with who changes what it reads the history of, too. */
  #notesReads(state: StateRead): boolean {
    return state === undefined && this.#fixed?.notesReads === true
  }

  /** Reads a document for nothing but the reading of it. */
  async #look(key: Key, state: StateRead): Promise<void> {
    const lease = this.#lease(state)
    await this.#readAt(this.#in(state), key, lease?.sequence ?? NEWEST, () => lease?.release(), asNothing)
  }

  /** The state that checked options name, if they do. */
  #state(options: Pick<ReadOptions, 'snapshot' | 'asOf'>): StateRead {
    return stateOf(this.source.core, options)
  }

  /** What is read: in a snapshot the collection that had this name then. */
  #in(given: StateRead): ReadSource {
    return given === undefined ? this.source : given.sourceOf(this.source)
  }

  /** A share in the snapshot to read, or undefined to read the newest state. */
  #lease(given: StateRead): Lease | undefined {
    return (given ?? this.#fixed)?.lease(this.source.core)
  }

  #read(key: Key, state: StateRead, finish = asDocument): Promise<unknown> {
    const source = this.#in(state)
    const lease = this.#lease(state)
    this.source.core.activity.get(this.name)
    return this.#readAt(source, key, lease?.sequence ?? NEWEST, () => lease?.release(), finish)
  }

  /** Reads in memory, then on a read thread; `done` is called when nothing more is read. */
  #readAt(source: ReadSource, key: Key, at: number, done: () => void, finish: Finish = asDocument): Promise<unknown> {
    try {
      const found = readNow(source, key, at, true, finish)
      if (found === PENDING) return readLater(source, key, at, finish).finally(done)
      done()
      const pause = this.source.core.runtime.turn.giveWay()
      return pause ? pause.then(() => found) : Promise.resolve(found)
    } catch (error) {
      done()
      return Promise.reject(error)
    }
  }

  async #readAll(keys: readonly Key[], state: StateRead): Promise<(T | undefined)[]> {
    const lease = this.#lease(state) ?? this.source.core.hold().lease()
    this.source.core.activity.getMany(this.name, keys.length)
    try {
      return (await readMany(this.#in(state), keys, lease.sequence)) as (T | undefined)[]
    } finally {
      lease.release()
    }
  }
}

/** Of a document that is read for nothing but the reading of it. */
const asNothing: Finish = () => undefined

/** A collection, or the name of one, as the arguments with which a view of it is made. */
export function viewed(
  core: StoreCore,
  of: string | ReadCollection<object, Key, never>,
  options: CollectionOptions | undefined,
): [name: string, options: CollectionOptions | undefined] {
  if (!(of instanceof ReadCollection)) return [of, options]
  if (of.belongsTo(core)) return [of.name, of.options]
  throw new StoreError('ERR_INVALID_ARGUMENT', 'the collection belongs to another store', { place: 'collection' })
}
