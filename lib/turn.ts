/**
 * Lets the rest of the program run during long chains of reads that memory answers. A promise that is resolved at once
 * goes on before any timer, I/O or completion of a write, so a loop of such reads would keep them all waiting until its
 * end. Now and then reads give way instead.
 *
 * What always holds: all reads give way together and go on together. If each had a pause of its own, the end of one would
 * let its loop run for a whole slice before the next one's, and many loops would keep the others waiting for as many slices.
 */

import { afterOthers, now } from './host.js'

/**
 * How long single reads may go on before they give way, in milliseconds. With 2 durable writes beside them begin later, and of
 * four reads to a write each was slower in four pairs of runs; half a millisecond gains nothing more.
 */
export const READ_SLICE_MS = 1
/** The same of pages, each of which may take as long: with 1, `getMany` of 1,000 was slower by a fifth to a third in three pairs. */
export const SLICE_MS = 2
/** Looking at the clock costs as much as a tenth of a read; a page of a scan counts as many. */
const READS_PER_LOOK = 32

/** The turn of one thread. */
export class Turn {
  #reads = 0
  #since = 0
  /** Ends when the others had their turn; undefined while it is the turn of reads. */
  #pause: Promise<void> | undefined

  /** Counts reads; gives what to wait for, if it is time to let others run. */
  giveWay(reads = 1, slice = READ_SLICE_MS): Promise<void> | undefined {
    if (this.#pause !== undefined) return this.#pause
    this.#reads += reads
    if (this.#reads < READS_PER_LOOK) return undefined
    this.#reads = 0
    if (now() - this.#since < slice) return undefined
    this.#pause = new Promise((resolve) => afterOthers(() => this.#goOn(resolve)))
    return this.#pause
  }

  /** As `giveWay`, between the pages of a scan. */
  giveWayBetweenPages(): Promise<void> | undefined {
    return this.giveWay(READS_PER_LOOK, SLICE_MS)
  }

  #goOn(resolve: () => void): void {
    this.#pause = undefined
    this.#since = now()
    resolve()
  }
}

/** Waits until a page may be read: many may have waited for the same pause, and only the first have time for a page of theirs. */
export async function ownTurn(turn: Turn): Promise<void> {
  for (let pause = turn.giveWayBetweenPages(); pause; pause = turn.giveWayBetweenPages()) await pause
}
