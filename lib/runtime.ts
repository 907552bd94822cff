/**
 * The addon in use by this thread: tickets of calls under way, and the block through which synchronous reads pass.
 *
 * The addon keeps the process alive while a ticket is pending and lets it go when none is. A completion runs on this
 * thread between other callbacks; what it settles must not throw.
 */
import type { StoreErrorDetails } from './errors.js'
import { fromNative, fromThrown } from './failures.js'
import { afterOthers, now } from './host.js'
import { IO_BYTES } from './limits.js'
import { FAILED, type LentBinding, type NativeBinding, NO_ANSWER, nativeBinding } from './native.js'
import { SLICE_MS, Turn } from './turn.js'

type Settle = (failure: string | null, first: number, second: number) => void

/** One per thread, made when the first store is opened. */
export class Runtime {
  /** The addon. */
  readonly native: NativeBinding
  /**
   * Keys go in and documents come out at its start; valid only until the next call. The addon has it for good: nobody else
   * gets it, and its memory is never transferred.
   */
  readonly io = Buffer.allocUnsafeSlow(IO_BYTES)
  /** The functions of the addon that read through `io`. */
  readonly lent = {} as LentBinding
  /** Lets others run during long chains of reads. */
  readonly turn = new Turn()
  readonly #env: number
  readonly #pending = new Map<number, Settle>()
  /** The ticket of the answer being settled and its two numbers. */
  readonly #answer = new Float64Array(3)
  readonly #answerBytes = new Uint8Array(this.#answer.buffer)
  #lastTicket = 0

  /** Use `runtime()`. */
  constructor(native: NativeBinding) {
    this.native = native
    this.#env = native.init(() => this.#settleAnswers())
    native.lend(this.#env, this.io, this.lent)
  }

  /** Opens a store natively and answers with its handle. */
  open(path: string, options: object): Promise<number> {
    return this.request(
      { path },
      (ticket) => this.native.open(this.#env, ticket, path, options),
      (handle) => handle,
    )
  }

  /**
   * Starts an asynchronous native call and finishes its answer when it arrives. `finish` may call `collect`.
   * Rejects with a `StoreError` that has the `known` details.
   */
  request<R>(
    known: StoreErrorDetails,
    start: (ticket: number) => void,
    finish: (first: number, second: number) => R,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      const ticket = this.#nextTicket()
      this.#pending.set(ticket, (failure, first, second) => {
        if (failure !== null) return reject(fromNative(failure, known))
        try {
          resolve(finish(first, second))
        } catch (error) {
          reject(fromThrown(error, known))
        }
      })
      try {
        start(ticket)
      } catch (error) {
        this.#pending.delete(ticket)
        reject(fromThrown(error, known))
      }
    })
  }

  /** Starts work on the directory `path` that belongs to no open store and answers with a report. */
  report<R>(path: string, start: (native: NativeBinding, env: number, ticket: number) => void): Promise<R> {
    return this.request(
      { path },
      (ticket) => start(this.native, this.#env, ticket),
      (_, length) => JSON.parse(this.collect(length).toString()) as R,
    )
  }

  /** The bytes that came with the completion being delivered. */
  collect(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    this.native.collect(this.#env, bytes)
    return bytes
  }

  /**
   * Settles what has been answered, and looks again when everything else had its turn, until there is nothing more. What the
   * promises set going begins together, after all of them; a program whose calls are answered without end has its timers
   * between them.
   */
  #settleAnswers(): void {
    // First of all, and whatever is thrown: if it were not looked again, no answer would come any more.
    afterOthers(() => {
      let isAwake = true
      try {
        isAwake = this.#settleNext(true)
      } finally {
        if (isAwake) this.#settleAnswers()
      }
    })
    const start = now()
    while (this.#settleNext(false)) if (now() - start > SLICE_MS) break
  }

  /** Settles the oldest answer; if there is none, it is false, and `sleep` makes the addon call for the next. */
  #settleNext(sleep: boolean): boolean {
    const kind = this.native.nextAnswer(this.#env, this.#answerBytes, sleep)
    if (kind === NO_ANSWER) return false
    const [ticket, first, second] = this.#answer as unknown as [number, number, number]
    const settle = this.#pending.get(ticket)
    this.#pending.delete(ticket)
    settle?.(kind === FAILED ? this.collect(second).toString() : null, first, second)
    return true
  }

  #nextTicket(): number {
    do this.#lastTicket = (this.#lastTicket + 1) >>> 0
    while (this.#pending.has(this.#lastTicket))
    return this.#lastTicket
  }
}

let current: Runtime | undefined

/**
 * This thread's runtime.
 *
 * @throws StoreError `ERR_UNSUPPORTED_RUNTIME` or `ERR_NO_BINARY`
 */
export function runtime(): Runtime {
  current ??= new Runtime(nativeBinding())
  return current
}
