/**
 * What a collection object knows of its collection. Ids are given out by writes: reading under a name that nobody has
 * written to uses up none outside of transactions, and finds the collection as soon as there is one.
 */
import type { StoreCore } from './core.js'
import type { CheckedIndex } from './indexes.js'
import type { WriteSource } from './read.js'
import type { Schema } from './schema.js'

/** The id of no collection: it is never given out, and nothing is stored under it. */
export const NO_COLLECTION = 0xffffffff

/** See `ReadSource`. */
export class CollectionSource implements WriteSource {
  readonly core: StoreCore
  readonly name: string
  readonly keyName: string
  readonly schema: Schema | undefined
  readonly indexes: ReadonlyMap<string, CheckedIndex>
  readonly #fixed: boolean
  #id: number

  /** With an `id`, that is the collection, whatever its name leads to later. */
  constructor(of: Omit<WriteSource, 'id' | 'claim'>, id?: number) {
    this.core = of.core
    this.name = of.name
    this.keyName = of.keyName
    this.schema = of.schema
    this.indexes = of.indexes
    this.#fixed = id !== undefined
    this.#id = id ?? NO_COLLECTION
  }

  get id(): number {
    return this.#id === NO_COLLECTION && !this.#fixed ? this.#find() : this.#id
  }

  claim(): number {
    if (this.#id === NO_COLLECTION && !this.#fixed) {
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
