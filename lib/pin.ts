/**
 * A pin keeps one sequence readable natively; leases are the shares that snapshots, scans and reads hold in it. The
 * pin goes when its last lease does, so a read under way is never cut off by closing the snapshot it reads.
 */
import type { NativeBinding } from './native.js'

/** Means "the newest" where the addon takes a sequence to read at. */
export const NEWEST = -1

/** The number by which reads name transaction 0; that of the next is one less. */
const FIRST_TRANSACTION_VIEW = -2

/** The number by which reads name what is held for read 0; that of the next is one less. Below those of transactions. */
const FIRST_HELD_VIEW = -2 - 2 ** 33

/** Whether what reads name by a number is a transaction. */
export function isTransaction(view: number): boolean {
  return view < NEWEST && view > FIRST_HELD_VIEW
}

/** The number by which reads name a transaction. */
export function transactionView(transaction: number): number {
  return FIRST_TRANSACTION_VIEW - transaction
}

/** What the transaction that reads name by `view` sees now, whatever it writes later. */
export function holdWrites(native: NativeBinding, view: number): Lease {
  return new Pin(native, native.holdWrites(FIRST_TRANSACTION_VIEW - view), true).lease()
}

/** One native snapshot, counted by its leases. */
export class Pin {
  /** The sequence that is kept readable, or the number by which reads name what this keeps. */
  readonly sequence: number
  readonly #native: NativeBinding
  readonly #id: number
  #leases = 0

  /** Takes over the native snapshot `id`; one that was made for a read is named by a number of its own. */
  constructor(native: NativeBinding, id: number, isOfRead = false) {
    this.#native = native
    this.#id = id
    this.sequence = isOfRead ? FIRST_HELD_VIEW - id : native.snapshotSequence(id)
  }

  /** A new share in this pin. */
  lease(): Lease {
    this.#leases++
    return new Lease(this.sequence, () => {
      if (--this.#leases === 0) this.#native.releaseSnapshot(this.#id)
    })
  }
}

/** One share in a pin. */
export class Lease {
  /** The sequence to read at. */
  readonly sequence: number
  #giveBack: (() => void) | undefined

  /** Use `Pin.lease`. */
  constructor(sequence: number, giveBack: () => void) {
    this.sequence = sequence
    this.#giveBack = giveBack
  }

  /** Gives the share back; more than once does nothing. */
  release(): void {
    const giveBack = this.#giveBack
    this.#giveBack = undefined
    giveBack?.()
  }
}

/** Where an iterator keeps its lease, so that a finalizer can give it back without keeping the iterator alive. */
export class LeaseSlot {
  lease: Lease | undefined

  /** Gives the lease back, if there is one; more than once does nothing. */
  release(): void {
    this.lease?.release()
  }
}

/** Releases what iterators hold that were abandoned half-way and garbage-collected. */
export const abandoned = new FinalizationRegistry<{ release(): void }>((held) => held.release())
