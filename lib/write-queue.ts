/**
 * Writes on their way to the engine. Writes that a program begins before it waits for something and that ask for the same
 * durability cross the boundary together and share syncs; the promise of each resolves with its own sequence. Most often they
 * cross in one call when the program waits. Of many, some cross before, so that they are committed and synced while the next ones
 * are encoded, and settled while those are synced; `hand-over.ts` has the rule.
 *
 * Program order is kept: a write with another durability starts a new chunk behind the earlier ones, and chunks are
 * submitted in order. When `MAX_QUEUED_BYTES` are with the engine, further chunks wait here and go on filling, so a
 * program that writes faster than the disk makes its calls larger, not more numerous.
 */
import { fromNative } from './failures.js'
import { HandOver } from './hand-over.js'
import { afterPromises, now } from './host.js'
import { MAX_QUEUED_BYTES, WRITE_CHUNK_BYTES } from './limits.js'
import type { Runtime } from './runtime.js'
import type { Commit, Durability, Sequence } from './types.js'
import { type PreparedWrite, WriteBuffer } from './write-buffer.js'

/** The numbers by which the addon knows the levels. */
export const LEVELS: Readonly<Record<Durability, number>> = { memory: 0, os: 1, disk: 2 }
/** Buffers that a burst made larger than this are not kept. */
const MAX_KEPT_BUFFER_BYTES = 2 * WRITE_CHUNK_BYTES

interface Chunk {
  readonly durability: Durability
  readonly buffer: WriteBuffer
  /** What tells who waits for a transaction that it is committed, one for each, in order. */
  readonly resolves: ((commit: Commit) => void)[]
  /** The same for that it is not. */
  readonly rejects: ((error: unknown) => void)[]
  /** Those who wait until it has been answered. */
  readonly drains: (() => void)[]
}

/** What became of the transactions of a chunk: those that were refused have an error, as JSON text, by their places. */
interface Outcome {
  /** The sequence of the first that was not refused; the others have the ones after it. */
  readonly first: Sequence
  readonly refused: ReadonlyMap<number, string>
}

const NONE: ReadonlyMap<number, string> = new Map()

function settleAll({ resolves, rejects }: Chunk, { first, refused }: Outcome): void {
  let sequence = first
  for (let place = 0; place < resolves.length; place++) {
    const error = refused === NONE ? undefined : refused.get(place)
    if (error === undefined) resolves[place]?.({ sequence: sequence++ })
    else rejects[place]?.(fromNative(error))
  }
}

function settleDrains({ drains }: Chunk): void {
  for (const resolve of drains) resolve()
}

/** The write queue of one open store. */
export class WriteQueue {
  readonly #runtime: Runtime
  readonly #store: number
  /** Not yet submitted, in program order; writes join the last one. */
  readonly #waiting: Chunk[] = []
  /** With the engine and not yet answered; answers need not come in order. */
  readonly #submitted = new Set<Chunk>()
  #spare: WriteBuffer | undefined
  readonly #handOver = new HandOver()
  #scheduled = false
  #submittedBytes = 0

  /** A queue for the store with native handle `store`. */
  constructor(runtime: Runtime, store: number) {
    this.#runtime = runtime
    this.#store = store
  }

  /** Bytes accepted and not yet answered. */
  get bytes(): number {
    return this.#waiting.reduce((sum, chunk) => sum + chunk.buffer.length, this.#submittedBytes)
  }

  /**
   * Adds a transaction of one write; resolves when it has reached the durability. Rejects, and adds nothing, if it is invalid.
   */
  push(write: PreparedWrite, durability: Durability): Promise<Commit> {
    return new Promise((resolve, reject) => {
      const chunk = this.#openChunk(durability)
      chunk.buffer.append(write)
      this.#added(chunk, resolve, reject)
    })
  }

  /** Adds a transaction of `count` operations, which requires that the store has reached `least`; resolves as `push`. */
  pushAll(operations: WriteBuffer, count: number, durability: Durability, least?: Sequence): Promise<Commit> {
    return new Promise((resolve, reject) => {
      const chunk = this.#openChunk(durability)
      chunk.buffer.appendAll(operations, count, least)
      this.#added(chunk, resolve, reject)
    })
  }

  #added(chunk: Chunk, resolve: (commit: Commit) => void, reject: (error: unknown) => void): void {
    chunk.resolves.push(resolve)
    chunk.rejects.push(reject)
    const isDurable = chunk.durability === 'disk'
    const isIdle = this.#submittedBytes === 0
    if (this.#handOver.isDue(chunk.resolves.length, chunk.buffer.length, isDurable, isIdle)) this.#flush()
    else this.#schedule()
  }

  /** Resolves when everything pushed so far has been answered, whatever is pushed meanwhile. */
  async drain(): Promise<void> {
    this.#flush()
    const chunks = [...this.#submitted, ...this.#waiting]
    await Promise.all(chunks.map(({ drains }) => new Promise<void>((resolve) => drains.push(resolve))))
  }

  /**
   * Hands what waits to the engine, so that what comes by other ways now comes behind it. Where the engine may not have more yet,
   * gives what to wait for.
   */
  submit(): Promise<void> | undefined {
    this.#flush()
    return this.#waiting.length > 0 ? this.drain() : undefined
  }

  #openChunk(durability: Durability): Chunk {
    const last = this.#waiting.at(-1)
    if (last && last.durability === durability && last.buffer.length < WRITE_CHUNK_BYTES) return last
    const chunk: Chunk = { durability, buffer: this.#spare ?? new WriteBuffer(), resolves: [], rejects: [], drains: [] }
    this.#spare = undefined
    this.#waiting.push(chunk)
    return chunk
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // Behind all promises that are resolved: what they set going may write, too.
    afterPromises(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (this.#submittedBytes < MAX_QUEUED_BYTES) {
      const chunk = this.#waiting.shift()
      if (chunk === undefined) return
      if (chunk.resolves.length > 0) this.#send(chunk)
      else settleDrains(chunk)
    }
  }

  #send(chunk: Chunk): void {
    const { durability, buffer } = chunk
    const bytes = buffer.length
    this.#submitted.add(chunk)
    this.#submittedBytes += bytes
    const submitted = now()
    const start = (ticket: number) =>
      this.#runtime.native.submit(ticket, this.#store, buffer.bytes, bytes, LEVELS[durability])
    const finish = (first: number, length: number): Outcome => {
      const refused: Outcome['refused'] =
        length === 0 ? NONE : new Map(JSON.parse(this.#runtime.collect(length).toString()))
      if (durability === 'disk') this.#handOver.answered(now() - submitted, chunk.resolves.length - refused.size)
      return { first, refused }
    }
    const answered = this.#runtime.request({}, start, finish)
    this.#keep(buffer)
    answered
      .then(
        (outcome) => {
          this.#forget(chunk, bytes)
          settleAll(chunk, outcome)
        },
        (error) => {
          this.#forget(chunk, bytes)
          for (const reject of chunk.rejects) reject(error)
        },
      )
      .finally(() => {
        this.#flush()
        settleDrains(chunk)
      })
  }

  /** Before anybody hears of its answer: who writes on then finds an engine that has one chunk less to do. */
  #forget(chunk: Chunk, bytes: number): void {
    this.#submitted.delete(chunk)
    this.#submittedBytes -= bytes
  }

  /** The native side has copied the bytes, so the buffer can take the next tick's writes. */
  #keep(buffer: WriteBuffer): void {
    if (buffer.bytes.length > MAX_KEPT_BUFFER_BYTES) return
    buffer.clear()
    this.#spare = buffer
  }
}
