/**
 * Writing a collection: documents, batches, changes of all that match, indexes. A document carries its key in one of its
 * properties.
 */

import type { ComputedIndex } from './computed.js'
import type { AnyIndexes } from './definition.js'
import { invalidArgument, StoreError } from './errors.js'
import {
  changeSchema,
  checkedDefinition,
  Index,
  IndexBuild,
  type IndexDefinition,
  type IndexInfo,
  indexName,
  isComputed,
  listIndexes,
  stored,
} from './indexes.js'
import { EXPIRY_OPTIONS } from './keeping.js'
import type { Key } from './keys.js'
import { MAX_QUERY_PAGE_SIZE } from './limits.js'
import { definitionOperation, WriteOperation } from './operation.js'
import { anything, boolean, checkOptions, integer, type OptionRules, oneOf, signal } from './options.js'
import { kept, prepareDelete, prepareJson, preparePut } from './prepare.js'
import { type Changed, change } from './query.js'
import { type ChangeOptions, checkedSet, checkedWhere } from './query-spec.js'
import type { Where } from './query-types.js'
import type { ReadSource, WriteSource } from './read.js'
import { ReadCollection } from './read-collection.js'
import { isPlainObject } from './record/plain.js'
import { judges } from './schema.js'
import { ensureVersion } from './schema-version.js'
import type {
  BatchItem,
  BatchOptions,
  Change,
  CollectionChange,
  CollectionWatchOptions,
  Commit,
  DeleteOptions,
  ExpiryOptions,
  InsertOptions,
  OperationOptions,
  PutOptions,
  Sequence,
  WatchOptions,
  WriteOptions,
} from './types.js'
import { updateHere } from './update-here.js'
import { followCollection } from './watch.js'
import type { PreparedWrite, WriteBuffer } from './write-buffer.js'

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
const WRITE_OPTIONS: OptionRules<WriteOptions> = { durability: oneOf('memory', 'os', 'disk'), signal }
/** @internal */
export const BATCH_OPTIONS: OptionRules<BatchOptions> = { ...WRITE_OPTIONS, requireSequenceAtLeast: wholeNumber }
const OPERATION_OPTIONS: OptionRules<OperationOptions> = { ifSequence: wholeNumber }
const DELETE_OPTIONS: OptionRules<DeleteOptions> = { ...WRITE_OPTIONS, ...OPERATION_OPTIONS }
const INSERT_OPTIONS: OptionRules<InsertOptions> = { ...WRITE_OPTIONS, ...EXPIRY_OPTIONS }
const PUT_OPTIONS: OptionRules<PutOptions> = { ...DELETE_OPTIONS, ...EXPIRY_OPTIONS }
const PUT_OPERATION_OPTIONS: OptionRules<OperationOptions & ExpiryOptions> = { ...OPERATION_OPTIONS, ...EXPIRY_OPTIONS }
const CHANGE_OPTIONS: OptionRules<ChangeOptions> = {
  ...WRITE_OPTIONS,
  limit: integer(1, MAX_QUERY_PAGE_SIZE),
  dryRun: boolean,
}
/** @internal */
export const WATCH_OPTIONS: OptionRules<WatchOptions> = { from: wholeNumber, signal }
const COLLECTION_WATCH_OPTIONS: OptionRules<CollectionWatchOptions<unknown>> = {
  ...WATCH_OPTIONS,
  where: anything,
  prev: boolean,
  initial: boolean,
  allowRegex: boolean,
}
const ITEM_KINDS: ReadonlySet<unknown> = new Set(['put', 'insert', 'delete'])

/**
 * A collection of documents of type `T` under keys of type `K`.
 *
 * Writes of one tick cross to the engine together and share syncs, so
 * `await Promise.all(documents.map((document) => collection.put(document)))` is fast; awaiting each is not. At most 64 MiB
 * of writes are with the engine at a time; what a program writes beyond that waits in this process's memory, as
 * `store.metrics().queuedWriteBytes` tells.
 *
 * Each write is told its own fate. Where one of a tick is refused, because the disk is full or for what it writes, a later one
 * may be stored all the same: what belongs together goes into a batch.
 */
export class Collection<
  T extends object,
  K extends Key = Key,
  I = AnyIndexes,
  In extends object = T,
> extends ReadCollection<T, K, I> {
  /**
   * Stores a document under the key it carries, replacing one that is there. With `ifSequence` only the one that this
   * commit put there, otherwise it rejects with `ERR_CONFLICT`.
   */
  put(document: In, options?: PutOptions): Promise<Commit> {
    return this.#write(preparePutting, document, options, PUT_OPTIONS, 'put')
  }

  /**
   * Stores a document given as JSON text, for those who received it so: no object is built. Its key is the member that
   * holds the key of this collection's documents.
   */
  putJson(json: string, options?: PutOptions): Promise<Commit> {
    return this.#write(preparePuttingJson, json, options, PUT_OPTIONS, 'putJson')
  }

  /** Stores a document under a key that has none; rejects with `ERR_EXISTS` if there is one. */
  insert(document: In, options?: InsertOptions): Promise<Commit> {
    return this.#write(prepareInserting, document, options, INSERT_OPTIONS, 'insert')
  }

  /** As `insert`, but resolves with undefined, having written nothing, if there is a document under the key. */
  async putIfAbsent(document: In, options?: InsertOptions): Promise<Commit | undefined> {
    try {
      return await this.insert(document, options)
    } catch (error) {
      if (StoreError.is(error, 'ERR_EXISTS')) return undefined
      throw error
    }
  }

  /** Deletes the document under `key`; fine if there is none. With `ifSequence` as for `put`. */
  delete(key: K, options?: DeleteOptions): Promise<Commit> {
    return this.#write(prepareDeleting, key, options, DELETE_OPTIONS, 'delete')
  }

  /**
   * Several puts, inserts and deletes as one commit: all of them happen or none. The last one on a key wins. An empty
   * batch writes nothing and answers with the newest sequence.
   */
  batch(items: readonly BatchItem<In, K>[], options?: BatchOptions): Promise<Commit> {
    const { core } = this.source
    try {
      core.assertOpen()
      const checked = checkOptions(options, BATCH_OPTIONS, 'batch')
      const { durability = core.durability, signal, requireSequenceAtLeast: least } = checked
      signal?.throwIfAborted()
      if (!Array.isArray(items)) throw invalidArgument('items', 'an array of { put }, { insert } and { delete }', items)
      const count = items.length
      let puts = 0
      const add = (operations: WriteBuffer) => (puts = this.#addItems(items, count, operations))
      const committed = core.writeAll(count, add, durability, least)
      core.activity.batch(this.name, puts, count - puts)
      return committed
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Gives members of all documents that match new values, in one commit: all of them or none. It comes after the writes that
   * were called before it. No document that was changed since it was found is overwritten; the search is then begun anew.
   */
  updateWhere(where: Where<T>, set: Partial<In>, options?: ChangeOptions): Promise<Changed> {
    const more = (source: ReadSource) => ({ set: checkedSet(set, source.keyName) })
    const { core, schema } = this.source
    const here = (judges(schema) || core.computed.has(this.name)) && options?.dryRun !== true
    return this.#change('update', where, options, more, here ? set : undefined)
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
  define(index: Index<T>): IndexBuild {
    if (!(index instanceof Index)) throw invalidArgument('index', 'an Index', index)
    const { core } = this.source
    core.assertOpen()
    return new IndexBuild(this.source, index.name, checkedDefinition(index))
  }

  /**
   * As `define`, with the definition as data.
   *
   * @throws StoreError for what is no definition
   */
  defineIndex(name: string, definition: IndexDefinition | ComputedIndex<T>): IndexBuild {
    const { core } = this.source
    core.assertOpen()
    return new IndexBuild(this.source, indexName(name), checkedDefinition(definition))
  }

  /** Drops an index, in the same short time whatever it holds. Rejects with `ERR_NO_INDEX`. */
  async dropIndex(name: string): Promise<void> {
    const { core } = this.source
    const forget = this.#forgetting(name)
    await changeSchema(core, { op: 'dropIndex', collection: this.name, index: indexName(name) })
    forget()
  }

  /**
   * The definition of an index on paths, for `store.batch`: it is there from that commit on if that happens, and with it nothing
   * that the index refuses. What the collection had before is added in the background; `defineIndex` with the same definition
   * waits for that. An index on what a function computes cannot be defined so: it throws `ERR_INVALID_ARGUMENT`.
   *
   * @throws StoreError for what is no definition
   */
  defineIndexOp(name: string, definition: IndexDefinition): WriteOperation {
    const checked = checkedDefinition(definition)
    if (isComputed(checked)) throw invalidArgument('definition', 'the definition of an index on paths', definition)
    const { core } = this.source
    core.assertOpen()
    const collection = { id: this.source.claim(), name: this.name }
    return definitionOperation(core, collection, {
      op: 'createIndex',
      index: indexName(name),
      definition: stored(checked),
    })
  }

  /** Dropping an index, for `store.batch`. */
  dropIndexOp(name: string): WriteOperation {
    const { core } = this.source
    core.assertOpen()
    const collection = { id: this.source.claim(), name: this.name }
    return definitionOperation(core, collection, { op: 'dropIndex', index: indexName(name) }, this.#forgetting(name))
  }

  /** Forgets the function behind an index, if there is one, when it has been dropped. */
  #forgetting(name: string): () => void {
    const { core } = this.source
    const version = core.isOpen ? this.indexes().find((index) => index.name === name)?.computed : undefined
    // One that is defined meanwhile, if by the same function, is another one.
    const dropped = version === undefined ? undefined : core.computed.known(this.name, name, version)
    return () => {
      if (dropped !== undefined) core.computed.forget(this.name, dropped)
    }
  }

  /** The collection's indexes, by name. */
  indexes(): IndexInfo[] {
    return listIndexes(this.source.core, this.name)
  }

  /**
   * Defines the indexes that the collection was declared with and that the store has not yet; resolves when all are ready.
   * Rejects with `ERR_EXISTS` if the store has an index of the name that is another one. Before that it stores the
   * `schemaVersion` that the collection was declared with if the store has none, and rejects with `ERR_DEFINITION` if it has
   * another one.
   */
  async ready(): Promise<void> {
    const { schemaVersion } = this.options
    if (schemaVersion !== undefined) await ensureVersion(this.source.core, this.name, schemaVersion)
    const { core, indexes } = this.source
    core.assertOpen()
    const builds = [...indexes].map(([name, definition]) => new IndexBuild(this.source, name, definition))
    await Promise.all(builds)
  }

  /**
   * A put for `store.batch`, which may span collections. The document is encoded now; later changes to it do not count.
   *
   * @throws StoreError as `put` rejects with
   */
  putOp(document: In, options?: OperationOptions & ExpiryOptions): WriteOperation {
    const checked = checkOptions(options, PUT_OPERATION_OPTIONS, 'putOp')
    return this.#operation(preparePut(this.source, document, checked.ifSequence, checked))
  }

  /**
   * An insert for `store.batch`, which rejects with `ERR_EXISTS` if there is a document under the key.
   *
   * @throws StoreError as `put` rejects with
   */
  insertOp(document: In, options?: ExpiryOptions): WriteOperation {
    const checked = checkOptions(options, EXPIRY_OPTIONS, 'insertOp')
    return this.#operation(preparePut(this.source, document, 'absent', checked))
  }

  /**
   * What commits change in this collection, as `store.watch` tells it of all, up to the one that drops it. It rejects with
   * `ERR_NOT_FOUND` if that happened before.
   *
   * @throws StoreError for bad options
   */
  watch(options?: WatchOptions): AsyncGenerator<Change<T, K>, void>
  /**
   * As above, of the documents for which conditions hold, with the document before each change, or beginning with those that
   * are there. The state behind which the next changes come is kept readable as long as such a watch lasts: take them or
   * leave it.
   *
   * @throws StoreError for bad options and conditions, `ERR_HISTORY_TRUNCATED` if `from` is no longer kept, `ERR_SEQUENCE` if
   * it has not happened
   */
  watch(options: CollectionWatchOptions<T>): AsyncGenerator<CollectionChange<T, K>, void>
  watch(options?: CollectionWatchOptions<T>): AsyncGenerator<CollectionChange<T, K>, void> {
    const checked = checkOptions(options, COLLECTION_WATCH_OPTIONS as OptionRules<CollectionWatchOptions<T>>, 'watch')
    const { from, signal, prev = false, initial = false, allowRegex = false } = checked
    const where = checked.where === undefined ? undefined : checkedWhere(checked.where)
    const found = (asOf: Sequence) =>
      this.find({ where: where as Where<T> | undefined, asOf, allowRegex, signal }).pages()
    const wanted = { from, signal, where, regex: allowRegex, prev, initial: initial ? found : undefined }
    return followCollection<T, K>(this.source, wanted)
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
    return new WriteOperation(this.source.core, kept(write))
  }

  #change(
    type: 'update' | 'delete',
    where: unknown,
    options: ChangeOptions | undefined,
    more: (source: ReadSource) => object,
    here?: object,
  ): Promise<Changed> {
    try {
      const { core } = this.source
      core.assertOpen()
      const { durability = core.durability, signal, ...rest } = checkOptions(options, CHANGE_OPTIONS, `${type}Where`)
      signal?.throwIfAborted()
      // Found now: while the store is being closed, a name cannot be looked up any more.
      void this.source.id
      const body = { type, where: checkedWhere(where), ...rest, ...more(this.source) }
      // A copy, as it may be needed again.
      const set = structuredClone(here)
      return core.during(async () => {
        await core.queue.drain()
        signal?.throwIfAborted()
        if (set === undefined) return change(this.source, body, durability)
        return updateHere(core, this, body.where as Where<T>, set, { ...rest, durability, signal })
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #write<O extends WriteOptions>(
    prepare: (source: WriteSource, argument: unknown, options: Partial<O>) => PreparedWrite,
    argument: unknown,
    options: O | undefined,
    rules: OptionRules<O>,
    where: string,
  ): Promise<Commit> {
    const { core } = this.source
    try {
      core.assertOpen()
      const checked = checkOptions(options, rules, where)
      const { durability = core.durability, signal } = checked as Partial<WriteOptions>
      signal?.throwIfAborted()
      const write = prepare(this.source, argument, checked)
      const committed = core.queue.push(write, durability)
      if (write.record === undefined) core.activity.delete(this.name)
      else core.activity.put(this.name)
      return committed
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Appends the writes of a batch, and says how many of them are puts. */
  #addItems(items: readonly unknown[], count: number, operations: WriteBuffer): number {
    let puts = 0
    for (let index = 0; index < count; index++) {
      const write = this.#prepareItem(items[index], index)
      // At once, before the next one is prepared.
      operations.appendToBatch(write)
      if (write.record !== undefined) puts++
    }
    return puts
  }

  #prepareItem(item: unknown, index: number): PreparedWrite {
    if (isPut(item)) {
      try {
        return preparePut(this.source, item.put)
      } catch (error) {
        throw atItem(error, index)
      }
    }
    const names = isPlainObject(item) ? Object.keys(item) : []
    const [kind, ...others] = names.length === 1 ? names : names.filter((name) => !(name in EXPIRY_OPTIONS))
    if (others.length > 0 || !ITEM_KINDS.has(kind)) {
      throw wrongItem(index, item, names)
    }
    const { put, insert, delete: key } = item as Record<string, unknown>
    const expiry = names.length === 1 ? undefined : besides(item as object)
    try {
      checkOptions(expiry, kind === 'delete' ? {} : EXPIRY_OPTIONS, `items[${index}]`)
      if (kind === 'delete') return prepareDelete(this.source, key)
      return kind === 'insert'
        ? preparePut(this.source, insert, 'absent', expiry)
        : preparePut(this.source, put, undefined, expiry)
    } catch (error) {
      throw atItem(error, index)
    }
  }
}

const preparePutting = (source: WriteSource, document: unknown, options: Partial<PutOptions>) =>
  preparePut(source, document, options.ifSequence, options)

const preparePuttingJson = (source: WriteSource, json: unknown, options: Partial<PutOptions>) =>
  prepareJson(source, json, options.ifSequence, options)

const prepareInserting = (source: WriteSource, document: unknown, options: Partial<InsertOptions>) =>
  preparePut(source, document, 'absent', options)

const prepareDeleting = (source: WriteSource, key: unknown, options: Partial<DeleteOptions>) =>
  prepareDelete(source, key, options.ifSequence)

/** Whether an item of a batch is a put and nothing beside it, as most are: so much is told without taking it apart. */
function isPut(item: unknown): item is { put: unknown } {
  if (!isPlainObject(item)) return false
  for (const name in item) if (name !== 'put') return false
  return Object.hasOwn(item, 'put')
}

function wrongItem(index: number, item: unknown, names: readonly string[]): StoreError {
  const place = `items[${index}]`
  const expected = 'an object with one of put, insert and delete'
  if (names.length === 0) return invalidArgument(place, expected, item)
  const message = `${place} must be ${expected}, and of the others only expiresAt or ttl; it has ${names.join(', ')}`
  return new StoreError('ERR_INVALID_ARGUMENT', message, { place })
}

/** What an item of a batch has beside the write. */
function besides(item: { put?: unknown; insert?: unknown; delete?: unknown }): object {
  const { put: _put, insert: _insert, delete: _delete, ...expiry } = item
  return expiry
}

/** The same error with the item of the batch that it concerns. */
function atItem(error: unknown, index: number): unknown {
  if (!(error instanceof StoreError)) return error
  const { code, message, collection, key, place, issues } = error
  return new StoreError(code, `items[${index}]: ${message}`, {
    collection,
    key,
    place,
    issues,
    cause: error,
    details: { item: index },
  })
}
