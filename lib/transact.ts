/** Runs the callback of `store.transaction`, again after each conflict, within the time that it has. */
import type { StoreCore } from './core.js'
import { StoreError } from './errors.js'
import { afterTime, now, pause } from './host.js'
import { DEFAULT_TRANSACTION_MS, DEFAULT_TRANSACTION_RETRIES, MAX_RETRY_PAUSE_MS } from './limits.js'
import { Transaction } from './transaction.js'
import type { TransactionOptions } from './types.js'

/** The time and the signal that end a transaction. */
interface Bounds {
  /** The outcome of waiting for something that may never come. */
  readonly race: <R>(work: Promise<R>) => Promise<R>
  /** Throws if the time is over or the signal was aborted. */
  readonly check: () => void
  readonly end: () => void
}

/** See `FountainStore.transaction`; the options are checked. */
export async function transact<R>(
  core: StoreCore,
  work: (transaction: Transaction) => R | Promise<R>,
  options: TransactionOptions,
): Promise<R> {
  const { retries = DEFAULT_TRANSACTION_RETRIES } = options
  const bounds = limit(options.timeoutMs ?? DEFAULT_TRANSACTION_MS, options.signal)
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        return await once(core, work, options, bounds)
      } catch (error) {
        if (attempt >= retries || !isConflict(error)) throw error
        await bounds.race(pauseBefore(attempt))
      }
    }
  } finally {
    bounds.end()
  }
}

async function once<R>(
  core: StoreCore,
  work: (transaction: Transaction) => R | Promise<R>,
  { isolation = 'snapshot', durability = core.durability, requireSequenceAtLeast }: TransactionOptions,
  bounds: Bounds,
): Promise<R> {
  const transaction = new Transaction(core, isolation)
  try {
    core.requireSequence(requireSequenceAtLeast, transaction.sequence)
    const result = await bounds.race(call(work, transaction))
    bounds.check()
    await transaction.commit(durability)
    return result
  } finally {
    transaction.rollback()
  }
}

/** The callback's promise, also when it throws at once. */
async function call<R>(work: (transaction: Transaction) => R | Promise<R>, transaction: Transaction): Promise<R> {
  return work(transaction)
}

function isConflict(error: unknown): boolean {
  return StoreError.is(error, 'ERR_CONFLICT') || StoreError.is(error, 'ERR_TRANSACTION_TOO_OLD')
}

/** Conflicts come from others at work, so later attempts wait for a while, each a different one. */
function pauseBefore(attempt: number): Promise<void> {
  const most = Math.min(2 ** attempt - 1, MAX_RETRY_PAUSE_MS)
  return pause(Math.random() * most)
}

/** Lets a transaction end with `ERR_TIMEOUT` after a time, and with the reason of a signal. */
function limit(milliseconds: number, signal: AbortSignal | undefined): Bounds {
  let stop: (reason: unknown) => void = () => undefined
  const stopped = new Promise<never>((_, reject) => (stop = reject))
  // Nobody need be waiting when it happens.
  stopped.catch(() => undefined)
  const late = () => new StoreError('ERR_TIMEOUT', `the transaction took longer than ${milliseconds} ms`)
  const deadline = now() + milliseconds
  const cancel = afterTime(milliseconds, () => stop(late()))
  const abort = () => stop(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  return {
    race: (work) => Promise.race([work, stopped]),
    check() {
      signal?.throwIfAborted()
      // A timer does not run while work that never gives way does.
      if (now() >= deadline) throw late()
    },
    end() {
      cancel()
      signal?.removeEventListener('abort', abort)
    },
  }
}
