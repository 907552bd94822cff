/** The plain types of the public surface: documents, options, answers. */
import type { Logger } from './activity.js'
import type { IndexInfo } from './indexes.js'
import type { Key } from './keys.js'
import type { Where } from './query-types.js'
import type { Snapshot } from './snapshot.js'

/**
 * When a write counts as done: `'memory'` when it is visible, lost if the process dies soon after; `'os'` when the
 * operating system has it, which survives the death of the process; `'disk'` when it survives power loss. After a
 * crash the weaker levels recover to a prefix of the commits, without holes.
 */
export type Durability = 'memory' | 'os' | 'disk'

/** A document of a collection whose type is not given: anything with a key in `id`. */
export interface AnyDocument {
  /** The key. */
  readonly id: Key
  /** Any JSON value. */
  readonly [member: string]: unknown
}

/** The names of the properties of `T` that can be its key: those that always hold a key. */
export type KeyProperty<T> = { [P in keyof T & string]-?: T[P] extends Key ? P : never }[keyof T & string]

/** The position of a commit in the history of the store: 1, 2, 3 and so on. */
export type Sequence = number

/** The answer to a write. */
export interface Commit {
  /** The commit's sequence: `store.at(sequence)` reads the store as this commit left it. */
  readonly sequence: Sequence
}

/** One version of a document. */
export interface Version<T> {
  /** The commit that made it. */
  readonly sequence: Sequence
  /** The document as that commit left it; undefined if it deleted the document. */
  readonly doc: T | undefined
}

/** The newest version of a document, without the document. */
export interface DocumentMeta {
  /** The commit that made it. */
  readonly sequence: Sequence
  /** Whether that commit deleted the document. */
  readonly deleted: boolean
}

/** A document that was put. */
export interface PutChange<T, K = Key> {
  /** Tells it from a delete. */
  readonly op: 'put'
  /** The document's key. */
  readonly id: K
  /** The document. */
  readonly doc: T
  /** The document that it replaced, if there was one; only with `prev`. */
  readonly prev?: T
  /** The commit that put it; of what `initial` tells, the state in which it was found. */
  readonly sequence: Sequence
  /** It was there when the watch began; only with `initial`. */
  readonly initial?: true
}

/** A document that was deleted. */
export interface DeleteChange<K = Key, T = unknown> {
  /** Tells it from a put. */
  readonly op: 'delete'
  /** The document's key. */
  readonly id: K
  /** The document that was deleted, if there was one; only with `prev`. */
  readonly prev?: T
  /** The commit that deleted it. */
  readonly sequence: Sequence
}

/** The collection was dropped with all its documents. */
export interface DropChange {
  /** Tells it from what became of single documents. */
  readonly op: 'drop'
  /** It is about no document. */
  readonly id?: undefined
  /** The commit that dropped it. */
  readonly sequence: Sequence
}

/** What became of a document, or of the collection. */
export type Change<T, K = Key> = PutChange<T, K> | DeleteChange<K, T> | DropChange

/** A document was put for which the conditions of the watch hold no longer; they did before. */
export interface LeaveChange<T, K = Key> {
  /** Tells it from a put of a document for which they hold. */
  readonly op: 'leave'
  /** The document's key. */
  readonly id: K
  /** The document as it is now. */
  readonly doc: T
  /** The document that it replaced; only with `prev`. */
  readonly prev?: T
  /** The commit that put it. */
  readonly sequence: Sequence
}

/** All documents that were there when the watch began have been told; changes follow. */
export interface ReadyChange {
  /** Tells it from changes. */
  readonly op: 'ready'
  /** It is about no document. */
  readonly id?: undefined
  /** The state that was told; a watch from it goes on here. */
  readonly sequence: Sequence
}

/** What a watch of one collection tells, with conditions and `initial`, too. */
export type CollectionChange<T, K = Key> = Change<T, K> | LeaveChange<T, K> | ReadyChange

/** What became of a document of some collection, or of the collection itself. */
export interface StoreChange {
  /** The name of the collection. */
  readonly collection: string
  /** The document is as it is stored: a key that no document can hold, an infinity, is in `id` only. */
  readonly change: Change<unknown>
}

/** Options of `watch`. */
export interface WatchOptions extends AbortOptions {
  /**
   * Begin with the first commit after this sequence, which must still be kept in the history. Default: now. To go on where a
   * loop ended, give the sequence of the last commit of which everything was seen. After a crash that holds for commits that
   * were durable; others may have been taken back, and their sequences given to commits that were never told of.
   */
  from?: Sequence | undefined
}

/** Options of `watch` of a collection. */
export interface CollectionWatchOptions<T> extends WatchOptions {
  /**
   * Conditions (`docs/query.md`): of puts, those of documents for which they hold are told; of deletes, those of documents for
   * which they did; and puts of documents for which they no longer do, as `'leave'`. Default: everything is told.
   */
  where?: Where<T> | undefined
  /** Whether changes come with the document before them, as `prev`. Default: false. */
  prev?: boolean | undefined
  /**
   * Whether to begin with the documents that there are in the state behind which the changes begin, as puts with `initial: true`,
   * and then `'ready'`. If the loop ends before that, what was told is no state to go on from. Default: false.
   */
  initial?: boolean | undefined
  /** Whether `$regex` may be used. Default: false. */
  allowRegex?: boolean | undefined
}

/** Options of what takes a while and can be stopped. */
export interface AbortOptions {
  /** Ends it with the signal's reason when aborted. */
  signal?: AbortSignal | undefined
}

/** Options of reads. */
export interface ReadOptions extends SyncReadOptions {
  /** Stops waiting when aborted: the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Options of a synchronous read. */
export interface SyncReadOptions {
  /** Read the store as it was when this snapshot was taken, instead of now. */
  snapshot?: Snapshot | undefined
  /**
   * Read the store as the commit with this sequence left it, or as it was at this time, as `store.at` does. What is not kept any
   * more is `ERR_HISTORY_TRUNCATED`.
   */
  asOf?: Sequence | Date | undefined
}

/** Options of writes. */
export interface WriteOptions {
  /** When the promise resolves. Default: the store's, which is `'disk'` unless `open` was told otherwise. */
  durability?: Durability | undefined
  /** Refuses the write if already aborted. A write that was accepted is not undone. */
  signal?: AbortSignal | undefined
}

/** Options of an operation for `store.batch`. */
export interface OperationOptions {
  /** Refuse with `ERR_CONFLICT` unless the document that is there was put there by the commit with this sequence. */
  ifSequence?: Sequence | undefined
}

/** When a document expires, if not as the `ttl` of its collection says. A later put without them takes that back. */
export interface ExpiryOptions {
  /** At this time: a Date, or milliseconds since 1970. */
  expiresAt?: Date | number | undefined
  /** So many milliseconds after the call. */
  ttl?: number | undefined
}

/** Options of a put in a transaction. */
export interface TransactionPutOptions extends ExpiryOptions {
  /**
   * Whether the document expires when the one that it replaces does, if that was told when it was written; without one to
   * replace, never. For a document that was read and is written back changed. Default: false.
   */
  keepExpiry?: boolean | undefined
}

/** Options of a delete of one document. */
export interface DeleteOptions extends WriteOptions, OperationOptions {}

/** Options of an insert of one document. */
export interface InsertOptions extends WriteOptions, ExpiryOptions {}

/** Options of a write to one document. */
export interface PutOptions extends WriteOptions, OperationOptions, ExpiryOptions {}

/**
 * What a transaction is protected from: with `'snapshot'`, others' writes to what it writes; with `'serializable'`, also
 * others' writes to what it has read, ranges included, as if transactions happened one after another.
 */
export type Isolation = 'snapshot' | 'serializable'

/** Options of `store.transaction`. */
export interface TransactionOptions extends WriteOptions {
  /** What it is protected from. Default: `'snapshot'`. */
  isolation?: Isolation | undefined
  /** How often to run the callback again after a conflict. Default: 10. */
  retries?: number | undefined
  /** How long all attempts together may take before the commit, at most 300,000. Default: 30,000. */
  timeoutMs?: number | undefined
  /** Refuse with `ERR_SEQUENCE` unless the store has reached this sequence. */
  requireSequenceAtLeast?: Sequence | undefined
  /** Ends the transaction without effect when aborted before its commit. A commit under way is not undone. */
  signal?: AbortSignal | undefined
}

/** Options of `store.batch`. */
export interface BatchOptions extends WriteOptions {
  /** Refuse with `ERR_SEQUENCE` unless the store has reached this sequence when it is the batch's turn. */
  requireSequenceAtLeast?: Sequence | undefined
}

/** One operation of `collection.batch`. */
export type BatchItem<T, K> =
  | ({ readonly put: T } & Readonly<ExpiryOptions>)
  | ({ readonly insert: T } & Readonly<ExpiryOptions>)
  | { readonly delete: K }

/** The bounds of a scan; every member is optional, and none means all documents. */
export interface ScanOptions<K = Key> extends ReadOptions {
  /** Only keys that begin with this: a string, bytes, or the first elements of array keys. Excludes the bounds. */
  prefix?: string | Uint8Array | readonly Key[] | undefined
  /** Only keys after this one. */
  gt?: K | undefined
  /** Only this key and those after it. */
  gte?: K | undefined
  /** Only keys before this one. */
  lt?: K | undefined
  /** Only this key and those before it. */
  lte?: K | undefined
  /** From the last key to the first. Default: false. */
  reverse?: boolean | undefined
  /** At most this many documents. Default: the store's `defaultScanLimit`, which is none unless `open` was told otherwise. */
  limit?: number | undefined
  /** Most documents fetched at once, 1 to 10,000. Default: 256. */
  pageSize?: number | undefined
}

/** The newest versions of each document are kept, deletions included. */
export interface CountRetention {
  /** This many. */
  readonly count: number
}

/** What is needed to read every state from a commit or a time on is kept. */
export interface SinceRetention {
  /** The commit, or the time. */
  readonly since: Sequence | Date
}

/** What is needed to read every state of a span of time before now is kept. */
export interface AgeRetention {
  /** The span, in milliseconds. */
  readonly maxAge: number
}

/** Which old versions are kept: all; only what open snapshots need; or as the three others say. */
export type Retention = 'unbounded' | 'latestOnly' | CountRetention | SinceRetention | AgeRetention

/** A moment in a document, and how long after it the document expires. */
export interface FieldTtl {
  /** The path of the moment. */
  readonly field: string
  /** Milliseconds. Default: 0. */
  readonly after?: number | undefined
}

/**
 * When documents expire: at the moment that the path leads to, a Date or a number of milliseconds since 1970, or so many
 * milliseconds after it. Documents in which it leads to something else, or nothing, do not.
 */
export type Ttl = string | FieldTtl

/** What is set about a collection. */
export interface CollectionSettings {
  /** The version of the schema that its documents follow, as their writer counts. */
  readonly schemaVersion?: number | undefined
  /** When its documents expire. Default: never. */
  readonly ttl?: Ttl | undefined
  /** Which old versions are kept. Default: as `open` was told. */
  readonly retention?: Retention | undefined
}

/** A collection as the store has it. */
export interface CollectionInfo extends CollectionSettings {
  /** Its name. */
  readonly name: string
  /** Its indexes, by name. */
  readonly indexes: readonly IndexInfo[]
}

/** Options of `FountainStore.open`. Unknown names and wrong types are refused. */
export interface OpenOptions {
  /** Create the store if there is none. Default: true. */
  createIfMissing?: boolean | undefined
  /** Bytes of table blocks kept in memory. Default: 64 MiB. */
  cacheBytes?: number | undefined
  /** Bytes of recent writes kept in memory before they are written out as a table. Default: 32 MiB. */
  memtableBytes?: number | undefined
  /** Size at which a segment of the write-ahead log is followed by a new one. Default: 64 MiB. */
  walSegmentBytes?: number | undefined
  /** Threads for reads that must go to the disk. Default: 2. */
  readThreads?: number | undefined
  /**
   * Whether reads are answered on the calling thread, too, when the store's own cache does not have what they need and the
   * operating system has it in its page cache: they read, check and decompress it there, a few microseconds a block and only
   * so many blocks, instead of a round trip to a read thread. The disk is never waited for. On Linux; elsewhere it has no
   * effect. Default: true.
   */
  pageCacheReads?: boolean | undefined
  /** Which old versions are kept, where a collection has no retention of its own. Default: `'unbounded'`. */
  retention?: Retention | undefined
  /** When writes through this handle resolve unless a call says otherwise. Default: `'disk'`. */
  durability?: Durability | undefined
  /** Most documents of `scan`, `scanIndex` and `rangeIndex` through this handle when the call has no limit. Default: all. */
  defaultScanLimit?: number | undefined
  /** Is told what is done through this handle. What it throws is dropped. Default: nobody is. */
  logger?: Logger | undefined
}

/** Options of `FountainStore.open` with the directory among them. */
export interface StoreOptions extends OpenOptions {
  /** The store's directory. */
  path: string
}
