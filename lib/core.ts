/**
 * What an open store, its collections, snapshots and scans share: the native handle, the write queue, and the knowledge
 * of whether the store is still open and what is under way.
 */
import { Activity, type Logger } from './activity.js'
import { ComputedIndexes } from './computed.js'
import { StoreError, type StoreErrorDetails } from './errors.js'
import { fromThrown } from './failures.js'
import { MAX_BATCH_OPERATIONS, WRITE_CHUNK_BYTES } from './limits.js'
import { NEWEST, Pin } from './pin.js'
import { ShapeTable } from './record/shapes.js'
import type { Runtime } from './runtime.js'
import type { Commit, Durability, Sequence } from './types.js'
import { WriteBuffer } from './write-buffer.js'
import { WriteQueue } from './write-queue.js'

export { NEWEST }

/** What a handle is told when it is opened, beside what is the engine's. */
export interface HandleOptions {
  /** When writes resolve unless a call says otherwise. */
  readonly durability: Durability
  /** Most documents of a scan that has no limit of its own. */
  readonly defaultScanLimit: number
  /** Takes events. */
  readonly logger: Logger | undefined
}

/** One open store. */
export class StoreCore {
  readonly runtime: Runtime
  /** The native handle. */
  readonly handle: number
  /** When writes resolve unless a call says otherwise. */
  readonly durability: Durability
  /** Most documents of a scan that has no limit of its own. */
  readonly defaultScanLimit: number
  /** Counts and logs what is done. */
  readonly activity: Activity
  readonly queue: WriteQueue
  /** What ends those who wait for changes. */
  readonly watches = new Set<() => void>()
  /** For what crosses at once; empty between calls. */
  readonly scratch = new WriteBuffer()
  /** The functions of the program that compute values for indexes. */
  readonly computed = new ComputedIndexes()
  /** The shapes of the store's records. */
  readonly shapes: ShapeTable
  /** Resolves when the last change of collections and indexes that was asked for is over, whether it was made or not. */
  schemaChange: Promise<void> = Promise.resolve()
  /** For the operations of a batch, if none is being made. */
  #spareBatch: WriteBuffer | undefined
  #closing: Promise<void> | undefined
  #active = 0
  #whenIdle: (() => void) | undefined

  constructor(runtime: Runtime, handle: number, { durability, defaultScanLimit, logger }: HandleOptions) {
    this.runtime = runtime
    this.handle = handle
    this.durability = durability
    this.defaultScanLimit = defaultScanLimit
    this.activity = new Activity(logger)
    this.queue = new WriteQueue(runtime, handle)
    this.shapes = new ShapeTable({
      reserve: (names) => this.call((native) => native.reserveShape(handle, JSON.stringify(names))),
      // Also while the store is being closed: reads that are under way end with their documents.
      names: (id) => {
        try {
          return JSON.parse(runtime.native.shape(handle, id)) as string[]
        } catch (error) {
          throw fromThrown(error, {})
        }
      },
    })
  }

  /** Whether `close` has not been called. */
  get isOpen(): boolean {
    return this.#closing === undefined
  }

  /** @throws StoreError `ERR_CLOSED` */
  assertOpen(): void {
    if (!this.isOpen) throw new StoreError('ERR_CLOSED', 'the store is closed')
  }

  /** Runs a native function of an open store. */
  call<R>(work: (native: Runtime['native'], handle: number) => R, known: StoreErrorDetails = {}): R {
    this.assertOpen()
    try {
      return work(this.runtime.native, this.handle)
    } catch (error) {
      throw fromThrown(error, known)
    }
  }

  /** Starts an asynchronous native call that `close` will wait for. */
  request<R>(
    known: StoreErrorDetails,
    start: (native: Runtime['native'], ticket: number) => void,
    finish: (first: number, second: number) => R,
  ): Promise<R> {
    return this.during(() => this.runtime.request(known, (ticket) => start(this.runtime.native, ticket), finish))
  }

  /** Runs `work`, for whose end `close` will wait. */
  async during<R>(work: () => Promise<R>): Promise<R> {
    this.#active++
    try {
      return await work()
    } finally {
      this.#active--
      if (this.#active === 0) this.#whenIdle?.()
    }
  }

  /**
   * Queues the `count` operations that `add` appends as one transaction, which is refused unless the store has reached `least`;
   * without any it writes nothing and answers with the newest sequence. `add` may run code of the program, which may write.
   */
  writeAll(
    count: number,
    add: (operations: WriteBuffer) => void,
    durability: Durability,
    least?: Sequence,
  ): Promise<Commit> {
    if (count > MAX_BATCH_OPERATIONS) {
      const message = `a batch of ${count} operations is over the limit of ${MAX_BATCH_OPERATIONS}`
      throw new StoreError('ERR_LIMIT', message, { details: { size: count, limit: MAX_BATCH_OPERATIONS } })
    }
    if (count > 0) return this.#writeSome(count, add, durability, least)
    const newest = this.call((native, handle) => native.sequence(handle))
    this.requireSequence(least, newest)
    return Promise.resolve({ sequence: newest })
  }

  /** Apart from what is queued until all operations are there, so that it is all of them or none. */
  #writeSome(
    count: number,
    add: (operations: WriteBuffer) => void,
    durability: Durability,
    least?: Sequence,
  ): Promise<Commit> {
    const operations = this.#spareBatch ?? new WriteBuffer()
    // A batch that code of the program begins meanwhile takes another.
    this.#spareBatch = undefined
    try {
      add(operations)
      return this.queue.pushAll(operations, count, durability, least)
    } finally {
      operations.clear()
      if (operations.bytes.length <= WRITE_CHUNK_BYTES) this.#spareBatch = operations
    }
  }

  /** Keeps the newest state readable for one read, which goes by the clock as it is now, as long as the pin has leases. */
  hold(): Pin {
    return this.call((native, handle) => new Pin(native, native.hold(handle), true))
  }

  /** Keeps the newest sequence readable as long as the pin has leases. */
  pinNewest(): Pin {
    return this.call((native, handle) => new Pin(native, native.snapshot(handle)))
  }

  /** Keeps a given sequence readable as long as the pin has leases. */
  pinAt(sequence: number): Pin {
    return this.call((native, handle) => new Pin(native, native.snapshotAt(handle, sequence)))
  }

  /**
   * The sequence of a moment, which was checked.
   *
   * @throws StoreError `ERR_HISTORY_TRUNCATED` if nothing is known of the time
   */
  sequenceOf(moment: Sequence | Date): Sequence {
    if (!(moment instanceof Date)) return moment
    return this.call((native, handle) => native.sequenceAt(handle, moment.getTime()))
  }

  /** Waits for what is under way, then closes the native handle. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** @throws StoreError `ERR_SEQUENCE` unless `newest` has reached `least` */
  requireSequence(least: Sequence | undefined, newest: Sequence): void {
    if (least === undefined || newest >= least) return
    const message = `the store is at sequence ${newest} and has not reached ${least}`
    throw new StoreError('ERR_SEQUENCE', message, { details: { requested: least, newest } })
  }

  async #close(): Promise<void> {
    for (const end of this.watches) end()
    await this.queue.drain()
    if (this.#active > 0) await new Promise<void>((resolve) => (this.#whenIdle = resolve))
    const { runtime, handle } = this
    await runtime.request(
      {},
      (ticket) => runtime.native.close(ticket, handle),
      () => undefined,
    )
  }
}
