/**
 * FountainStore: an embedded, crash-safe, multi-version document store.
 *
 * ```ts
 * import { FountainStore } from 'fountainstore'
 *
 * await using store = await FountainStore.open('./data')
 * const users = store.collection<{ id: string; age: number }>('users')
 * const { sequence } = await users.put({ id: 'ada', age: 36 }) // on disk when it resolves
 * await users.put({ id: 'ada', age: 37 })
 * for await (const user of users.scan({ prefix: 'a' })) console.log(user)
 * console.log(await store.at(sequence).collection<{ id: string; age: number }>('users').get('ada'))
 * ```
 *
 * @packageDocumentation
 */
export type {
  BatchEvent,
  CloseEvent,
  CollectionEvent,
  IndexEvent,
  LogEvent,
  Logger,
  OpenEvent,
  OperationCounts,
  RecoveryEvent,
  TransactionEvent,
  UpkeepEvent,
} from './lib/activity.js'
export { Collection } from './lib/collection.js'
export type { ComputedIndex } from './lib/computed.js'
export type {
  AnyIndexes,
  CollectionDefinition,
  DocumentOf,
  IndexDeclarations,
  IndexKeys,
  KeyIn,
  NeedsKey,
  PathIndex,
  WritableOf,
} from './lib/definition.js'
export { type SchemaIssue, StoreError, type StoreErrorCode, type StoreErrorDetails } from './lib/errors.js'
export {
  Index,
  type IndexBounds,
  IndexBuild,
  type IndexDefinition,
  type IndexInfo,
  type IndexKey,
  type IndexKind,
  type IndexValue,
} from './lib/indexes.js'
export type { SettingsChange } from './lib/keeping.js'
export type { Key } from './lib/keys.js'
export { WriteOperation } from './lib/operation.js'
export { type Changed, Query } from './lib/query.js'
export type { ChangeOptions } from './lib/query-spec.js'
export {
  type Alternative,
  type Analysis,
  type AnyOperators,
  type AnyPath,
  type ArrayOperators,
  type At,
  type BesideDocument,
  type CommitOperators,
  type Cursor,
  type Explanation,
  type FindSpec,
  type Operators,
  type OrderOperators,
  type OrderPath,
  type OrderTerm,
  type Path,
  type PlanNode,
  path,
  type QueryHints,
  type QueryPage,
  type Select,
  type SelectPath,
  type StringOperators,
  type TypeName,
  type Where,
  type Without,
} from './lib/query-types.js'
export {
  type CollectionOptions,
  type IndexReadOptions,
  type IndexScanOptions,
  ReadCollection,
} from './lib/read-collection.js'
export type {
  CheckedContents,
  CheckedFile,
  ContentFault,
  FileFault,
  RepairNote,
  ReportedKey,
  SalvageLoss,
  SalvageReport,
  VerifyReport,
} from './lib/repair.js'
export type { DiscardedTail, Latencies, Latency, RecoveryReport, StoreMetrics } from './lib/reports.js'
export { Scan } from './lib/scan.js'
export {
  type Schema,
  type SchemaInput,
  type SchemaOutput,
  type SchemaResult,
  type SchemaTypes,
  type StandardIssue,
  type StandardStep,
  type,
} from './lib/schema.js'
export { Snapshot } from './lib/snapshot.js'
export { FountainStore } from './lib/store.js'
export { Transaction, TransactionCollection } from './lib/transaction.js'
export type {
  AbortOptions,
  AgeRetention,
  AnyDocument,
  BatchItem,
  BatchOptions,
  Change,
  CollectionChange,
  CollectionInfo,
  CollectionSettings,
  CollectionWatchOptions,
  Commit,
  CountRetention,
  DeleteChange,
  DeleteOptions,
  DocumentMeta,
  DropChange,
  Durability,
  ExpiryOptions,
  FieldTtl,
  InsertOptions,
  Isolation,
  KeyProperty,
  LeaveChange,
  OpenOptions,
  OperationOptions,
  PutChange,
  PutOptions,
  ReadOptions,
  ReadyChange,
  Retention,
  ScanOptions,
  Sequence,
  SinceRetention,
  StoreChange,
  StoreOptions,
  SyncReadOptions,
  TransactionOptions,
  TransactionPutOptions,
  Ttl,
  Version,
  WatchOptions,
  WriteOptions,
} from './lib/types.js'
