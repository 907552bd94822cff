/**
 * What a collection object knows of its collection. Ids are given out by writes: reading under a name that nobody has
 * written to uses up none, and finds the collection as soon as there is one.
 */
import { member } from './codec.js'
import type { StoreCore } from './core.js'
import type { CheckedIndex } from './indexes.js'
import type { KeyContext } from './keys.js'
import type { ReadSource, WriteSource } from './read.js'
import type { Schema } from './schema.js'

/** The id of no collection: it is never given out, and nothing is stored under it. */
export const NO_COLLECTION = 0xffffffff

/** What is known of a collection beside its id. */
type Known = Omit<ReadSource, 'id'>

abstract class Source implements WriteSource {
  readonly core: StoreCore
  readonly name: string
  readonly keyName: string
  readonly schema: Schema | undefined
  readonly indexes: ReadonlyMap<string, CheckedIndex>
  readonly keyContext: KeyContext

  constructor(of: Known) {
    this.core = of.core
    this.name = of.name
    this.keyName = of.keyName
    this.schema = of.schema
    this.indexes = of.indexes
    this.keyContext = { collection: of.name, place: `$${member(of.keyName)}` }
  }

  abstract get id(): number
  abstract claim(): number
}

/** The collection that has the name when it is first read or written. */
export class CollectionSource extends Source {
  #id = NO_COLLECTION

  get id(): number {
    return this.#id === NO_COLLECTION ? this.#find() : this.#id
  }

  claim(): number {
    if (this.#id === NO_COLLECTION) {
      const { name } = this
      this.#id = this.core.call((native, handle) => native.collection(handle, name), { collection: name })
    }
    return this.#id
  }

  #find(): number {
    const { name } = this
    const known = this.core.call((native, handle) => native.knownCollection(handle, name), { collection: name })
    this.#id = known === 0 ? NO_COLLECTION : known
    return this.#id
  }
}

/** Which collections there are for a snapshot, a transaction or a moment. */
export interface FixedIds {
  /** The id of the collection that has a name there, or that of no collection. */
  idOf(name: string): number
  /** The same for writing, where that is possible: a new one if there is none. */
  claimId?(name: string): number
}

/** The collection that has the name for whom it is read, whatever the name leads to for others. */
export class FixedSource extends Source {
  readonly #ids: FixedIds

  constructor(of: Known, ids: FixedIds) {
    super(of)
    this.#ids = ids
  }

  get id(): number {
    return this.#ids.idOf(this.name)
  }

  claim(): number {
    return this.#ids.claimId?.(this.name) ?? this.id
  }
}
