/** One put or delete on its way into `store.batch`. */
import type { StoreCore } from './core.js'
import { invalidArgument } from './errors.js'
import type { PreparedWrite } from './write-buffer.js'

/** Made by `collection.putOp` and `collection.deleteOp`; given to `store.batch`, more than once if wanted. */
export class WriteOperation {
  readonly #core: StoreCore
  readonly #write: PreparedWrite

  /** @internal */
  constructor(core: StoreCore, write: PreparedWrite) {
    this.#core = core
    this.#write = write
  }

  /** The name of the collection that it changes. */
  get collection(): string {
    return this.#write.context.collection
  }

  /**
   * The write behind an operation of `core`.
   *
   * @internal
   */
  static prepared(value: unknown, core: StoreCore, place: string): PreparedWrite {
    if (!(value instanceof WriteOperation)) {
      throw invalidArgument(place, 'an operation made by putOp or deleteOp', value)
    }
    if (value.#core !== core) throw invalidArgument(place, 'an operation of this store', value)
    return value.#write
  }
}
