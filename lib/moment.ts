/**
 * States of the past that a read names by itself, with `asOf`: unlike a snapshot, one is kept readable only while something is
 * read of it, and nobody has to close it.
 */
import type { StoreCore } from './core.js'
import { invalidArgument } from './errors.js'
import { integer, type OptionRule } from './options.js'
import type { Lease } from './pin.js'
import type { ReadSource } from './read.js'
import type { Snapshot } from './snapshot.js'
import { FixedSource, NO_COLLECTION } from './source.js'
import type { ReadOptions, Sequence } from './types.js'

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)

/** What `asOf` may be, as an option. */
export const asOfRule: OptionRule = {
  expected: 'a sequence or a Date',
  accepts: (value) => wholeNumber.accepts(value) || (value instanceof Date && !Number.isNaN(value.getTime())),
}

/** The state that the options of a read name, if they do, instead of the one that would be read without them. */
export type StateRead = Snapshot | Moment | undefined

/**
 * The state that checked options name. Whether it is kept shows when it is read.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT` if they name two
 */
export function stateOf(core: StoreCore, { snapshot, asOf }: Pick<ReadOptions, 'snapshot' | 'asOf'>): StateRead {
  if (asOf === undefined) return snapshot
  if (snapshot !== undefined) throw invalidArgument('options.asOf', 'absent when there is a snapshot', asOf)
  return new Moment(core, asOf)
}

/** A state by its sequence or its time. */
export class Moment {
  readonly #core: StoreCore
  readonly #ids = new Map<string, number>()
  /** A time, in milliseconds since 1970, if that is what it was given as. */
  readonly #time: number | undefined
  #sequence: Sequence | undefined

  constructor(core: StoreCore, asOf: Sequence | Date) {
    this.#core = core
    // No later change of a Date reaches this.
    this.#time = asOf instanceof Date ? asOf.getTime() : undefined
    this.#sequence = asOf instanceof Date ? undefined : asOf
  }

  /** Its sequence; of a time, the one that is found when it is first asked for. */
  get sequence(): Sequence {
    this.#sequence ??= this.#core.sequenceOf(new Date(this.#time as number))
    return this.#sequence
  }

  /**
   * What a query says to read it. With the cursor of a page before, that decides what is read, and the time by which
   * documents expire; the state has only to be the same. What a time leads to may have become less exact meanwhile.
   */
  named(hasCursor: boolean): Sequence | { readonly $date: number } {
    return hasCursor && this.#time !== undefined ? { $date: this.#time } : this.sequence
  }

  /** Keeps it readable until the lease is given back. */
  lease(core: StoreCore): Lease {
    return core.pinAt(this.sequence).lease()
  }

  /** The collection that had the name of `source` then; it is looked up when it is read. */
  sourceOf(source: ReadSource): ReadSource {
    return new FixedSource(source, this)
  }

  /** The id of the collection that had a name then. */
  idOf(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      const at = this.sequence
      id =
        this.#core.call((native, handle) => native.collectionAt(handle, name, at), { collection: name }) ||
        NO_COLLECTION
      this.#ids.set(name, id)
    }
    return id
  }
}
