/**
 * When writes are handed to the engine before their tick is over.
 *
 * A sync takes the same time for few writes as for many. So they are collected until the program waits, but where there is
 * more to encode than a sync takes, the first of them can be synced meanwhile. A tick is divided once; where those who are
 * answered write again, two groups take turns from tick to tick, one encoded while the other is synced. There are more syncs then, and where a sync takes longer than encoding, nothing
 * would be gained by them. So it is measured how long one takes, and a group is divided only if the engine has nothing to do
 * and so much time has been spent on encoding already. The last of a single burst that takes hardly longer than that wait for up to
 * a sync more than they would have otherwise; those of a steady load are done sooner.
 */

import { now } from './host.js'
import { HAND_OVER_BYTES } from './limits.js'

/** By how much the time that a sync is taken to need grows with each answer, so that it follows a disk that gets slower. */
const FORGETTING = 1.02
/** What a sync is taken to need before one was seen, in milliseconds. */
const FIRST_SYNC_MS = 1

/** The judge of one write queue. */
export class HandOver {
  readonly #clock: () => number
  /** The shortest time in which durable writes were answered lately: a busy thread hears of its answers late. */
  #syncMs = FIRST_SYNC_MS
  #begun = 0

  /** A judge by this clock, in milliseconds. */
  constructor(clock = now) {
    this.#clock = clock
  }

  /** Whether writes go to the engine now, of which there are `count` with so many bytes, the newest just added. */
  isDue(count: number, bytes: number, isDurable: boolean, isEngineIdle: boolean): boolean {
    if (bytes >= HAND_OVER_BYTES) return true
    if (!isDurable) return false
    if (count === 1) this.#begun = this.#clock()
    return isEngineIdle && this.#clock() - this.#begun >= this.#syncMs
  }

  /** Learns how long it took until durable writes were answered, in milliseconds, of which so many were not refused. */
  answered(ms: number, written: number): void {
    // Otherwise nothing was synced.
    if (written > 0) this.#syncMs = Math.min(ms, this.#syncMs * FORGETTING)
  }
}
