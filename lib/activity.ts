/**
 * What is done through one handle: counters, and events for a logger. Counters and events say what was asked for, whether
 * it succeeded or not; what a call that was refused for its arguments would have done is not among them.
 *
 * A logger cannot harm the store: what it throws or rejects with is dropped, and what it does to a store before it returns
 * is counted but not logged, so that a logger may write its events into a store.
 */

/** How often what was done through one handle since it was opened, or since the last `resetMetrics`. */
export interface OperationCounts {
  /** Documents that were to be put. */
  readonly puts: number
  /** Documents read by their keys, and documents found through an index. */
  readonly gets: number
  /** Documents that were to be deleted. */
  readonly deletes: number
  /** Scans begun. */
  readonly scans: number
  /** Reads through an index begun: `byIndex`, `rangeIndex`, `scanIndex`. */
  readonly indexLookups: number
  /** Batches, of a collection or of the store. */
  readonly batches: number
  /** Histories of documents begun. */
  readonly histories: number
  /** Answers of queries, and updates and deletes of all that match. */
  readonly queries: number
  /** Attempts of transactions. */
  readonly transactions: number
}

/** The store was opened. */
export interface OpenEvent {
  /** Tells it from other events. */
  readonly type: 'open'
  /** The store's directory. */
  readonly path: string
  /** Whether there was no store before. */
  readonly created: boolean
}

/** The store had not been closed in good order; what its log had was taken from there. It follows an `OpenEvent`. */
export interface RecoveryEvent {
  /** Tells it from other events. */
  readonly type: 'recovery'
  /** As in `RecoveryReport`. */
  readonly replayedCommits: number
  /** As in `RecoveryReport`. */
  readonly replayedBytes: number
  /** Bytes at the ends of logs that were not used. */
  readonly discardedBytes: number
  /** Files that were moved aside. */
  readonly quarantined: number
}

/** The handle was closed. */
export interface CloseEvent {
  /** Tells it from other events. */
  readonly type: 'close'
  /** The store's directory. */
  readonly path: string
}

/** A call of `flush` or `compact` succeeded. */
export interface UpkeepEvent {
  /** Tells it from other events. */
  readonly type: 'flush' | 'compaction'
  /** How long it took, in milliseconds. */
  readonly ms: number
}

/** Something was done in a collection. */
export interface CollectionEvent {
  /** What was done. */
  readonly type: 'put' | 'get' | 'delete' | 'scan' | 'history' | 'query'
  /** The collection's name. */
  readonly collection: string
}

/** Something was read through an index. */
export interface IndexEvent {
  /** Tells it from other events. */
  readonly type: 'indexLookup'
  /** The collection's name. */
  readonly collection: string
  /** The index's name. */
  readonly index: string
}

/** Several things were done in a collection at once: a batch, or reads of several documents. */
export interface BatchEvent {
  /** What was done. */
  readonly type: 'batch' | 'getMany'
  /** The collection's name. */
  readonly collection: string
  /** How many. */
  readonly count: number
}

/** An attempt of a transaction began. */
export interface TransactionEvent {
  /** Tells it from other events. */
  readonly type: 'transaction'
}

/** What a logger is told: plain data, that JSON holds. */
export type LogEvent =
  | OpenEvent
  | RecoveryEvent
  | CloseEvent
  | UpkeepEvent
  | CollectionEvent
  | IndexEvent
  | BatchEvent
  | TransactionEvent

/** Takes events. */
export type Logger = (event: LogEvent) => void

type Counts = { -readonly [N in keyof OperationCounts]: number }

const none = (): Counts => ({
  puts: 0,
  gets: 0,
  deletes: 0,
  scans: 0,
  indexLookups: 0,
  batches: 0,
  histories: 0,
  queries: 0,
  transactions: 0,
})

/** Whether a logger is running, of any handle, so that none is told what it did itself. */
let logging = false

/** The counters and the logger of one handle. */
export class Activity {
  #counts = none()
  readonly #logger: Logger | undefined

  constructor(logger: Logger | undefined) {
    this.#logger = logger
  }

  /** The counters now. */
  get counts(): OperationCounts {
    return { ...this.#counts }
  }

  /** Begins to count anew; answers with the counters of before. */
  reset(): OperationCounts {
    const before = this.#counts
    this.#counts = none()
    return before
  }

  /** A document is to be put. */
  put(collection: string): void {
    this.#counts.puts++
    if (this.#logger !== undefined) this.log({ type: 'put', collection })
  }

  /** A document is to be deleted. */
  delete(collection: string): void {
    this.#counts.deletes++
    if (this.#logger !== undefined) this.log({ type: 'delete', collection })
  }

  /** A document is read by its key. */
  get(collection: string): void {
    this.#counts.gets++
    if (this.#logger !== undefined) this.log({ type: 'get', collection })
  }

  /** Documents are read by their keys. */
  getMany(collection: string, count: number): void {
    this.#counts.gets += count
    if (this.#logger !== undefined) this.log({ type: 'getMany', collection, count })
  }

  /** A scan begins. */
  scan(collection: string): void {
    this.#counts.scans++
    if (this.#logger !== undefined) this.log({ type: 'scan', collection })
  }

  /** A read through an index begins. */
  indexLookup(collection: string, index: string): void {
    this.#counts.indexLookups++
    if (this.#logger !== undefined) this.log({ type: 'indexLookup', collection, index })
  }

  /** Documents were found through an index. */
  found(count: number): void {
    this.#counts.gets += count
  }

  /** A batch of a collection, with so many puts and deletes. */
  batch(collection: string, puts: number, deletes: number): void {
    this.#counts.batches++
    this.#counts.puts += puts
    this.#counts.deletes += deletes
    if (this.#logger !== undefined) this.log({ type: 'batch', collection, count: puts + deletes })
  }

  /** A batch of the store. What is in it belongs to several collections, and is neither counted one by one nor logged. */
  storeBatch(): void {
    this.#counts.batches++
  }

  /** The history of a document is read. */
  history(collection: string): void {
    this.#counts.histories++
    if (this.#logger !== undefined) this.log({ type: 'history', collection })
  }

  /** A query is asked for an answer, or all that match are changed. */
  query(collection: string): void {
    this.#counts.queries++
    if (this.#logger !== undefined) this.log({ type: 'query', collection })
  }

  /** An attempt of a transaction begins. */
  transaction(): void {
    this.#counts.transactions++
    if (this.#logger !== undefined) this.log({ type: 'transaction' })
  }

  /** Tells the logger, if there is one. */
  log(event: LogEvent): void {
    if (this.#logger === undefined || logging) return
    logging = true
    try {
      const answer: unknown = this.#logger(event)
      // Of an asynchronous logger nobody would catch the rejection.
      if (answer instanceof Promise) answer.catch(() => undefined)
    } catch {
      // The store goes on whatever becomes of its events.
    } finally {
      logging = false
    }
  }
}
