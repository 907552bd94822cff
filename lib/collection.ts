/**
 * Collections: typed views of the documents under one name. A document carries its key in one of its properties.
 *
 * A collection object holds no state of its own; any number may exist for one name. The key property is a matter of
 * the view, not of the store, so use the same one everywhere.
 */
import { NEWEST, type StoreCore } from './core.js'
import { invalidArgument, StoreError } from './errors.js'
import { followCollection, readHistory, readMeta } from './history.js'
import {
  changeSchema,
  checkedDefinition,
  Index,
  type IndexBounds,
  IndexBuild,
  type IndexDefinition,
  type IndexInfo,
  type IndexKey,
  indexName,
  indexQuery,
  listIndexes,
} from './indexes.js'
import { type Key, keyBytes, plainKey } from './keys.js'
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_QUERY_PAGE_SIZE } from './limits.js'
import { WriteOperation } from './operation.js'
import { anything, boolean, checkOptions, integer, type OptionRules, oneOf, requireString, signal } from './options.js'
import type { Lease } from './pin.js'
import { prepareDelete, prepareJson, preparePut } from './prepare.js'
import { type Changed, change, Query } from './query.js'
import { queryJson } from './query-json.js'
import { type ChangeOptions, checkedSet, checkedSpec } from './query-spec.js'
import type { FindSpec, Path, Select, Where } from './query-types.js'
import { encodeRange } from './range.js'
import { asDocument, asJson, PENDING, type ReadSource, readLater, readNow } from './read.js'
import { isPlainObject } from './record/plain.js'
import { Scan } from './scan.js'
import { abortable } from './signal.js'
import { Snapshot } from './snapshot.js'
import type {
  BatchItem,
  Change,
  Commit,
  DocumentMeta,
  OperationOptions,
  PutOptions,
  ReadOptions,
  ScanOptions,
  Sequence,
  SyncReadOptions,
  Version,
  WatchOptions,
  WriteOptions,
} from './types.js'
import type { PreparedWrite } from './write-buffer.js'

/** Options of `store.collection`. */
export interface CollectionOptions {
  /** The property that holds the key. Default: `'id'`. */
  readonly key?: string | undefined
}

const snapshotOption = { expected: 'a Snapshot', accepts: (value: unknown) => value instanceof Snapshot }
const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
const READ_OPTIONS: OptionRules<ReadOptions> = { snapshot: snapshotOption, signal }
const SYNC_READ_OPTIONS: OptionRules<SyncReadOptions> = { snapshot: snapshotOption }
const WRITE_OPTIONS: OptionRules<WriteOptions> = { durability: oneOf('memory', 'os', 'disk'), signal }
const OPERATION_OPTIONS: OptionRules<OperationOptions> = { ifSequence: wholeNumber }
const PUT_OPTIONS: OptionRules<PutOptions> = { ...WRITE_OPTIONS, ...OPERATION_OPTIONS }
const CHANGE_OPTIONS: OptionRules<ChangeOptions> = {
  ...WRITE_OPTIONS,
  limit: integer(1, MAX_QUERY_PAGE_SIZE),
  dryRun: boolean,
}
/** @internal */
export const WATCH_OPTIONS: OptionRules<WatchOptions> = { from: wholeNumber, signal }
const ITEM_KINDS: ReadonlySet<unknown> = new Set(['put', 'insert', 'delete'])
const COLLECTION_OPTIONS: OptionRules<CollectionOptions> = {
  key: { expected: 'the name of a property', accepts: (value) => typeof value === 'string' && value !== '' },
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
  snapshot: snapshotOption,
  signal,
}

/** Options of reads through an index. */
export interface IndexReadOptions extends ReadOptions {
  /** From the last key to the first. Default: false. */
  readonly reverse?: boolean | undefined
  /** Most documents. Default: all. */
  readonly limit?: number | undefined
  /** Documents fetched at once. */
  readonly pageSize?: number | undefined
}

/** Options of `rangeIndex`. */
export interface IndexScanOptions extends IndexReadOptions, IndexBounds {}

const INDEX_READ_OPTIONS: OptionRules<IndexReadOptions> = {
  reverse: boolean,
  limit: wholeNumber,
  pageSize: integer(1, MAX_PAGE_SIZE),
  snapshot: snapshotOption,
  signal,
}
const INDEX_SCAN_OPTIONS: OptionRules<IndexScanOptions> = {
  ...INDEX_READ_OPTIONS,
  gt: anything,
  gte: anything,
  lt: anything,
  lte: anything,
}

/** What a collection reads through unless told otherwise: a snapshot or a transaction. */
interface Fixed {
  readonly sequence: Sequence
  lease(core: StoreCore): Lease
}

/** The reading half of a collection: all there is on a snapshot. */
export class ReadCollection<T, K extends Key = Key> {
  /** The collection's name. */
  readonly name: string
  /** @internal */
  protected readonly source: ReadSource
  readonly #fixed: Fixed | undefined

  /** @internal Use `store.collection()`, `snapshot.collection()` or `transaction.collection()`. */
  constructor(core: StoreCore, name: string, options?: CollectionOptions, fixed?: Fixed) {
    requireString(name, 'name')
    const { key = 'id' } = checkOptions(options, COLLECTION_OPTIONS, 'collection')
    const id = core.call((native, handle) => native.collection(handle, name), { collection: name })
    this.name = name
    this.source = { core, name, id, keyName: key }
    this.#fixed = fixed
  }

  /** The document under `key`, or undefined. Answers without leaving the thread when the document is in memory. */
  get(key: K, options?: ReadOptions): Promise<T | undefined> {
    try {
      const { snapshot, signal } = checkOptions(options, READ_OPTIONS, 'get')
      signal?.throwIfAborted()
      return abortable(this.#read(this.#plain(key), snapshot) as Promise<T | undefined>, signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The document under `key`, or undefined, at once: reads the disk on this thread if the document is not in memory. */
  getSync(key: K, options?: SyncReadOptions): T | undefined {
    const { snapshot } = checkOptions(options, SYNC_READ_OPTIONS, 'getSync')
    const plain = this.#plain(key)
    const lease = this.#lease(snapshot)
    try {
      return readNow(this.source, plain, lease?.sequence ?? NEWEST, false) as T | undefined
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
      const { snapshot, signal } = checkOptions(options, READ_OPTIONS, 'getJson')
      signal?.throwIfAborted()
      return abortable(this.#read(this.#plain(key), snapshot, asJson), signal) as Promise<string | undefined>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Every version of the document under `key` that is kept, newest first, deletions included: up to now, or up to the moment
   * of the snapshot or transaction that is read.
   */
  history(key: K, options?: ReadOptions): AsyncGenerator<Version<T>, void> {
    const { snapshot, signal } = checkOptions(options, READ_OPTIONS, 'history')
    return readHistory(this.source, this.#plain(key), this.#moment(snapshot), signal)
  }

  /** Which commit put or deleted the document under `key` last; undefined if none that is known of did. */
  getMeta(key: K, options?: ReadOptions): Promise<DocumentMeta | undefined> {
    try {
      const { snapshot, signal } = checkOptions(options, READ_OPTIONS, 'getMeta')
      signal?.throwIfAborted()
      return abortable(readMeta(this.source, this.#plain(key), this.#moment(snapshot)), signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The documents under several keys, in their order, all as of one moment; undefined where there is none. */
  getMany(keys: readonly K[], options?: ReadOptions): Promise<(T | undefined)[]> {
    try {
      const { snapshot, signal } = checkOptions(options, READ_OPTIONS, 'getMany')
      signal?.throwIfAborted()
      if (!Array.isArray(keys)) throw invalidArgument('keys', 'an array of keys', keys)
      const plain = keys.map((key, index) => this.#plain(key, `keys[${index}]`))
      return abortable(this.#readAll(plain, snapshot), signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * The documents that match a query (`docs/query.md`). Nothing is read until the answer is asked for.
   *
   * @throws StoreError for what is not a query; what only the engine can judge rejects the answer
   */
  find<const P extends readonly Path<T>[]>(spec: FindSpec<T> & { readonly select: P }): Query<T, Select<T, P[number]>>
  find(spec?: FindSpec<T>): Query<T>
  find(spec?: object): unknown {
    this.source.core.assertOpen()
    const { parts, regex, snapshot, signal } = checkedSpec(spec)
    const lease = () => this.#lease(snapshot)
    return new Query<T>({ source: this.source, lease, regex, signal }, parts)
  }

  /**
   * The documents in key order, within bounds if any are given, as of the moment each iteration begins.
   *
   * @throws StoreError for bad options; errors of reading reject the iteration
   */
  scan(options?: ScanOptions<K>): Scan<T> {
    const checked = checkOptions(options as ScanOptions | undefined, SCAN_OPTIONS, 'scan')
    const { snapshot, signal, reverse = false, limit = Number.MAX_SAFE_INTEGER, pageSize = DEFAULT_PAGE_SIZE } = checked
    this.source.core.assertOpen()
    const range = encodeRange(checked, this.name)
    const pin = () => this.#lease(snapshot) ?? this.source.core.pinNewest().lease()
    return new Scan(this.source, { range, reverse, limit, pageSize, signal, pin })
  }

  /**
   * The documents with this key in an index, in the order of their own keys; of a key with fewer values than the index has
   * paths, those whose keys begin so. Rejects with `ERR_NO_INDEX` and `ERR_INDEX_BUILDING`.
   */
  async byIndex(index: string, key: IndexKey, options?: ReadOptions): Promise<T[]> {
    const { snapshot, signal } = checkOptions(options, READ_OPTIONS, 'byIndex')
    return this.#throughIndex(indexQuery(indexName(index), { equal: key }), { snapshot, signal }).toArray()
  }

  /**
   * The documents whose keys in an index lie between bounds, in the order of the index. A document comes once for each of
   * its keys there.
   *
   * @throws StoreError for bad options; errors of reading reject the iteration
   */
  rangeIndex(index: string, options?: IndexScanOptions): Scan<T> {
    const checked = checkOptions(options, INDEX_SCAN_OPTIONS, 'rangeIndex')
    const { gt, gte, lt, lte, ...others } = checked
    if (gt !== undefined && gte !== undefined) throw invalidArgument('options.gt', 'absent when there is gte', gt)
    if (lt !== undefined && lte !== undefined) throw invalidArgument('options.lt', 'absent when there is lte', lt)
    return this.#throughIndex(indexQuery(indexName(index), { gt, gte, lt, lte }), others)
  }

  /**
   * The documents whose keys in an index begin with a text, in the order of the index; of a list all values but the last
   * must be equal, and the last is text or bytes that keys begin with.
   *
   * @throws StoreError for bad options; errors of reading reject the iteration
   */
  scanIndex(index: string, prefix: IndexKey, options?: IndexReadOptions): Scan<T> {
    const checked = checkOptions(options, INDEX_READ_OPTIONS, 'scanIndex')
    return this.#throughIndex(indexQuery(indexName(index), { prefix }), checked)
  }

  #throughIndex(query: string, options: IndexReadOptions): Scan<T> {
    const { snapshot, signal, reverse = false, limit = Number.MAX_SAFE_INTEGER, pageSize = DEFAULT_PAGE_SIZE } = options
    this.source.core.assertOpen()
    const pin = () => this.#lease(snapshot) ?? this.source.core.pinNewest().lease()
    return new Scan(this.source, { range: encodeRange({}, this.name), query, reverse, limit, pageSize, signal, pin })
  }

  /** A copy of a key argument that no later change can reach. */
  #plain(key: unknown, place = 'key'): Key {
    this.source.core.assertOpen()
    return plainKey(key, { collection: this.name, place })
  }

  /** The sequence up to which history is read. */
  #moment(given: Snapshot | undefined): Sequence {
    const fixed = given ?? this.#fixed
    fixed?.lease(this.source.core).release()
    return fixed?.sequence ?? this.source.core.call((native, handle) => native.sequence(handle))
  }

  /** A share in the snapshot to read, or undefined to read the newest state. */
  #lease(given: Snapshot | undefined): Lease | undefined {
    return (given ?? this.#fixed)?.lease(this.source.core)
  }

  #read(key: Key, snapshot: Snapshot | undefined, finish = asDocument): Promise<unknown> {
    const lease = this.#lease(snapshot)
    return this.#readAt(key, lease?.sequence ?? NEWEST, () => lease?.release(), finish)
  }

  /** Reads in memory, then on a read thread; `done` is called when nothing more is read. */
  #readAt(key: Key, at: number, done: () => void, finish = asDocument): Promise<unknown> {
    try {
      const found = readNow(this.source, key, at, true, finish)
      if (found === PENDING) return readLater(this.source, key, at, finish).finally(done)
      done()
      const pause = this.source.core.runtime.turn.giveWay()
      return pause ? pause.then(() => found) : Promise.resolve(found)
    } catch (error) {
      done()
      return Promise.reject(error)
    }
  }

  async #readAll(keys: readonly Key[], snapshot: Snapshot | undefined): Promise<(T | undefined)[]> {
    const lease = this.#lease(snapshot) ?? this.source.core.pinNewest().lease()
    try {
      const reads = keys.map((key) => this.#readAt(key, lease.sequence, () => undefined))
      return (await Promise.all(reads)) as (T | undefined)[]
    } finally {
      lease.release()
    }
  }
}

/**
 * A collection of documents of type `T` under keys of type `K`.
 *
 * All writes of one tick cross to the engine as one call and share one sync, so
 * `await Promise.all(documents.map((document) => collection.put(document)))` is fast; awaiting each is not. At most 64 MiB
 * of writes are with the engine at a time; what a program writes beyond that waits in this process's memory, as
 * `store.metrics().queuedWriteBytes` tells.
 */
export class Collection<T extends object, K extends Key = Key> extends ReadCollection<T, K> {
  /**
   * Stores a document under the key it carries, replacing one that is there. With `ifSequence` only the one that this
   * commit put there, otherwise it rejects with `ERR_CONFLICT`.
   */
  put(document: T, options?: PutOptions): Promise<Commit> {
    return this.#write(() => [preparePut(this.source, document, options?.ifSequence)], options, PUT_OPTIONS, 'put')
  }

  /**
   * Stores a document given as JSON text, for those who received it so: no object is built. Its key is the member that
   * holds the key of this collection's documents.
   */
  putJson(json: string, options?: PutOptions): Promise<Commit> {
    return this.#write(() => [prepareJson(this.source, json, options?.ifSequence)], options, PUT_OPTIONS, 'putJson')
  }

  /** Stores a document under a key that has none; rejects with `ERR_EXISTS` if there is one. */
  insert(document: T, options?: WriteOptions): Promise<Commit> {
    return this.#write(() => [preparePut(this.source, document, 'absent')], options, WRITE_OPTIONS, 'insert')
  }

  /** As `insert`, but resolves with undefined, having written nothing, if there is a document under the key. */
  async putIfAbsent(document: T, options?: WriteOptions): Promise<Commit | undefined> {
    try {
      return await this.insert(document, options)
    } catch (error) {
      if (StoreError.is(error, 'ERR_EXISTS')) return undefined
      throw error
    }
  }

  /** Deletes the document under `key`; fine if there is none. With `ifSequence` as for `put`. */
  delete(key: K, options?: PutOptions): Promise<Commit> {
    return this.#write(() => [prepareDelete(this.source, key, options?.ifSequence)], options, PUT_OPTIONS, 'delete')
  }

  /**
   * Several puts, inserts and deletes as one commit: all of them happen or none. The last one on a key wins. An empty
   * batch writes nothing and answers with the newest sequence.
   */
  batch(items: readonly BatchItem<T, K>[], options?: WriteOptions): Promise<Commit> {
    return this.#write(() => this.#prepareBatch(items), options, WRITE_OPTIONS, 'batch')
  }

  /**
   * Gives members of all documents that match new values, in one commit: all of them or none. No document that was changed
   * since it was found is overwritten; the search is then begun anew.
   */
  updateWhere(where: Where<T>, set: Partial<T>, options?: ChangeOptions): Promise<Changed> {
    return this.#change('update', where, options, (source) => ({ set: checkedSet(set, source.keyName) }))
  }

  /** Deletes all documents that match, in one commit: all of them or none. As `updateWhere`. */
  deleteWhere(where: Where<T>, options?: ChangeOptions): Promise<Changed> {
    return this.#change('delete', where, options, () => ({}))
  }

  /**
   * Defines an index. It is kept up to date by every write from then on, and what is there already is added in the
   * background; await the answer to wait until it is ready. Fine if there is the same index already.
   *
   * @throws StoreError for what is no definition
   */
  define(index: Index): IndexBuild {
    if (!(index instanceof Index)) throw invalidArgument('index', 'an Index', index)
    return this.defineIndex(index.name, index)
  }

  /**
   * As `define`, with the definition as data.
   *
   * @throws StoreError for what is no definition
   */
  defineIndex(name: string, definition: IndexDefinition): IndexBuild {
    const { core } = this.source
    core.assertOpen()
    return new IndexBuild(core, this.name, indexName(name), checkedDefinition(definition))
  }

  /** Drops an index, in the same short time whatever it holds. Rejects with `ERR_NO_INDEX`. */
  async dropIndex(name: string): Promise<void> {
    const { core } = this.source
    await changeSchema(core, { op: 'dropIndex', collection: this.name, index: indexName(name) })
  }

  /** The collection's indexes, by name. */
  indexes(): IndexInfo[] {
    return listIndexes(this.source.core, this.name)
  }

  /**
   * A put for `store.batch`, which may span collections. The document is encoded now; later changes to it do not count.
   *
   * @throws StoreError as `put` rejects with
   */
  putOp(document: T, options?: OperationOptions): WriteOperation {
    const { ifSequence } = checkOptions(options, OPERATION_OPTIONS, 'putOp')
    return this.#operation(preparePut(this.source, document, ifSequence))
  }

  /**
   * An insert for `store.batch`, which rejects with `ERR_EXISTS` if there is a document under the key.
   *
   * @throws StoreError as `put` rejects with
   */
  insertOp(document: T): WriteOperation {
    return this.#operation(preparePut(this.source, document, 'absent'))
  }

  /** What commits change in this collection, as `store.watch` tells it of all. */
  watch(options?: WatchOptions): AsyncGenerator<Change<T, K>, void> {
    const { core } = this.source
    const { from, signal } = checkOptions(options, WATCH_OPTIONS, 'watch')
    return followCollection(this.source, from ?? core.call((native, handle) => native.sequence(handle)), signal)
  }

  /**
   * A delete for `store.batch`, which may span collections.
   *
   * @throws StoreError as `delete` rejects with
   */
  deleteOp(key: K, options?: OperationOptions): WriteOperation {
    const { ifSequence } = checkOptions(options, OPERATION_OPTIONS, 'deleteOp')
    return this.#operation(prepareDelete(this.source, key, ifSequence))
  }

  #operation(write: PreparedWrite): WriteOperation {
    this.source.core.assertOpen()
    return new WriteOperation(this.source.core, checkedKey(write))
  }

  #change(
    type: 'update' | 'delete',
    where: unknown,
    options: ChangeOptions | undefined,
    more: (source: ReadSource) => object,
  ): Promise<Changed> {
    try {
      const { core } = this.source
      core.assertOpen()
      const { durability = core.durability, signal, ...rest } = checkOptions(options, CHANGE_OPTIONS, `${type}Where`)
      signal?.throwIfAborted()
      const body = { type, where: queryJson(where, 'where'), ...rest, ...more(this.source) }
      return core.during(() => change(this.source, body, durability))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #write<O extends WriteOptions>(
    prepare: () => readonly PreparedWrite[],
    options: O | undefined,
    rules: OptionRules<O>,
    where: string,
  ): Promise<Commit> {
    const { core } = this.source
    try {
      core.assertOpen()
      const { durability = core.durability, signal } = checkOptions(options, rules, where)
      signal?.throwIfAborted()
      const writes = prepare()
      return core.write(writes, durability)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #prepareBatch(items: unknown): PreparedWrite[] {
    if (!Array.isArray(items)) throw invalidArgument('items', 'an array of { put }, { insert } and { delete }', items)
    return items.map((item: unknown, index) => {
      const [kind, ...others] = isPlainObject(item) ? Object.keys(item) : []
      if (!isPlainObject(item) || others.length > 0 || !ITEM_KINDS.has(kind)) {
        throw invalidArgument(`items[${index}]`, 'an object with one member, put, insert or delete', item)
      }
      try {
        if (kind === 'delete') return prepareDelete(this.source, item.delete)
        return preparePut(this.source, item[kind as string], kind === 'insert' ? 'absent' : undefined)
      } catch (error) {
        throw atItem(error, index)
      }
    })
  }
}

/** The write, if its key can be encoded; writes that are queued at once are checked by being encoded. */
function checkedKey(write: PreparedWrite): PreparedWrite {
  keyBytes(write.key, write.context)
  return write
}

/** The same error with the item of the batch that it concerns. */
function atItem(error: unknown, index: number): unknown {
  if (!(error instanceof StoreError)) return error
  const { code, message, collection, key, place } = error
  return new StoreError(code, `items[${index}]: ${message}`, {
    collection,
    key,
    place,
    cause: error,
    details: { item: index },
  })
}
