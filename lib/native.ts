/**
 * The native addon as the facade sees it, and the one place that loads it. Loading is put off until the first store
 * is opened, so that importing the package never fails.
 *
 * Conventions of the boundary: stores, snapshots and transactions are `u32` handles of this thread; sequences are numbers,
 * and `at` is a sequence, −1 for "newest", or −2 − n for what transaction n sees; asynchronous
 * functions take a ticket, and when there are answers, the callback given to `init` is called to fetch them by `nextAnswer`.
 * No function returns a buffer: JavaScript allocates, the addon fills. `getLent` reads through the block that `lend` gave the
 * addon for good, and answers with the text of the record where it can. Errors are thrown or delivered as JSON text.
 */
import { StoreError } from './errors.js'

/** What `getSync` and `scanSync` answer instead of a length. */
export const NOT_FOUND = -1
/** The block is too small; its first four bytes say how many bytes are needed. */
export const TOO_SMALL = -2
/** The answer would have to wait for the disk. */
export const WOULD_BLOCK = -3
/** The document was left out of an answer that had become large. */
export const NOT_READ = -4

/** What `nextAnswer` says: there is none. */
export const NO_ANSWER = 0
/** The call failed; the second number is the length of the error as JSON text. */
export const FAILED = 2

/** The functions that read through the block that was lent. */
export interface LentBinding {
  getLent(store: number, collection: number, key: number, at: number, atOnce: boolean): number | string
}

/** The functions of the addon; `crates/node` documents each. */
export interface NativeBinding {
  init(callback: () => void): number
  lend(env: number, block: Uint8Array, into: Partial<LentBinding>): void
  nextAnswer(env: number, into: Uint8Array, sleep: boolean): number
  collect(env: number, into: Uint8Array): number
  open(env: number, ticket: number, path: string, options: object): void
  verify(env: number, ticket: number, path: string): void
  salvage(env: number, ticket: number, source: string, destination: string): void
  close(ticket: number, store: number): void
  flush(ticket: number, store: number): void
  compact(ticket: number, store: number): void
  sequence(store: number): number
  collection(store: number, name: string): number
  knownCollection(store: number, name: string): number
  collectionAt(store: number, name: string, at: number): number
  collectionsAt(store: number, at: number): string
  collections(store: number): string
  recordToJson(store: number, record: Uint8Array): string
  jsonToRecord(store: number, json: string, keyName: string, io: Uint8Array): number
  reserveShape(store: number, names: string): number
  shape(store: number, id: number): string
  metrics(store: number): string
  recovery(store: number): string
  submit(ticket: number, store: number, bytes: Uint8Array, length: number, durability: number): void
  getSync(store: number, collection: number, io: Uint8Array, key: number, at: number, atOnce: boolean): number
  get(ticket: number, store: number, collection: number, io: Uint8Array, key: number, at: number): void
  getManySync(store: number, collection: number, io: Uint8Array, keys: number, at: number, atOnce: boolean): number
  getMany(ticket: number, store: number, collection: number, io: Uint8Array, keys: number, at: number): void
  scanSync(store: number, collection: number, io: Uint8Array, request: ScanArguments): number
  scan(ticket: number, store: number, collection: number, io: Uint8Array, request: ScanArguments): void
  query(ticket: number, store: number, collection: number, body: string, request: QueryArguments): void
  changeSchema(ticket: number, store: number, change: string): void
  checkDefinition(collection: number, change: Uint8Array): void
  waitForIndex(ticket: number, store: number, index: number): void
  resumeIndex(store: number, index: number): void
  recordsWithoutValues(ticket: number, store: number, io: Uint8Array, index: number, after: number): void
  indexes(store: number, collection: string): string
  collectionInfo(store: number, collection: string): string
  scanIndexSync(store: number, collection: number, io: Uint8Array, request: IndexScanArguments): number
  scanIndex(ticket: number, store: number, collection: number, io: Uint8Array, request: IndexScanArguments): void
  snapshot(store: number): number
  snapshotAt(store: number, sequence: number): number
  snapshotSequence(snapshot: number): number
  releaseSnapshot(snapshot: number): void
  sequenceAt(store: number, millis: number): number
  history(ticket: number, store: number, io: Uint8Array, request: HistoryArguments): void
  changes(ticket: number, store: number, request: ChangesArguments): void
  diff(ticket: number, store: number, io: Uint8Array, start: number, request: ChangesArguments): void
  watch(store: number): number
  watchNext(ticket: number, watch: number, collection: number, after: number, maxBytes: number): void
  watchCollection(store: number, collection: number, from: number, sight: string, regex: boolean): number
  watchBegin(watch: number): number
  hold(store: number): number
  holdWrites(transaction: number): number
  unwatch(watch: number): void
  begin(store: number, serializable: boolean): number
  transactionCollection(transaction: number, name: string): number
  transactionSequence(transaction: number): number
  transactionWrite(transaction: number, bytes: Uint8Array, length: number): void
  commitTransaction(ticket: number, transaction: number, durability: number): void
  rollback(transaction: number): void
}

/** Which versions to read; the encoded key lies at the start of the block, and a negative `upto` means the newest. */
export interface HistoryArguments {
  collection: number
  /** Bytes of the key. */
  key: number
  upto: number
  maxBytes: number
}

/** Which changes to read; collection 0 means all. */
export interface ChangesArguments {
  collection: number
  after: number
  upto: number
  maxBytes: number
}

/** One page of a scan; the bounds lie at the start of the block, lower then upper. */
export interface ScanArguments {
  /** Bytes of the lower bound, included; 0 for the first key. */
  lower: number
  /** Bytes of the upper bound, excluded; 0 for no bound. */
  upper: number
  reverse: boolean
  at: number
  maxRecords: number
  maxBytes: number
}

/** How to carry out a query. */
export interface QueryArguments {
  at: number
  /** Whether `$regex` may be used. */
  regex: boolean
  /** Whether the answer is to be JSON altogether. */
  json: boolean
  /** How durable a change is to be. */
  durability: number
}

/** One page of a read through an index; the position behind which it begins lies at the start of the block. */
export interface IndexScanArguments {
  /** The index and the keys, as JSON text. */
  query: string
  /** Bytes of the position; 0 to begin at the first entry. */
  after: number
  reverse: boolean
  at: number
  maxRecords: number
  maxBytes: number
}

/** The oldest Node-API level that has everything the addon uses. */
const MIN_NODE_API = 8

let loaded: NativeBinding | undefined

/**
 * The addon, loaded at the first call.
 *
 * @throws StoreError `ERR_UNSUPPORTED_RUNTIME` or `ERR_NO_BINARY`
 */
export function nativeBinding(): NativeBinding {
  loaded ??= load(process.versions.napi, () => require('../native.js') as NativeBinding)
  return loaded
}

/** Loads an addon after checking the host; apart from `nativeBinding` so that tests can play other hosts. */
export function load(napi: string | undefined, requireAddon: () => NativeBinding): NativeBinding {
  const level = Number(napi ?? 0)
  if (!(level >= MIN_NODE_API)) {
    const message = `FountainStore needs Node-API ${MIN_NODE_API} (Node.js 20.19 or later); this host has ${napi ?? 'none'}`
    throw new StoreError('ERR_UNSUPPORTED_RUNTIME', message)
  }
  try {
    return requireAddon()
  } catch (cause) {
    const target = platformTarget()
    const message =
      `FountainStore's native addon for ${target} could not be loaded. Install the package @fountainstore/native-${target} ` +
      '(reinstall without --omit=optional; when packaging an app, keep it outside of archives), ' +
      'or build it from source with "npm run build", which needs Rust.'
    throw new StoreError('ERR_NO_BINARY', message, { cause })
  }
}

/** The platform package's suffix, as napi-rs names it. */
function platformTarget(): string {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return `linux-${arch}-${report.header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`
}
