/**
 * Snapshots: the store as it was at one sequence. What a snapshot reads never changes, whatever is written, flushed or
 * compacted meanwhile. It keeps old versions alive, so it should be closed: `await using snapshot = store.snapshot()`.
 */
import type { StoreCore } from './core.js'
import { StoreError } from './errors.js'
import type { Key } from './keys.js'
import type { Lease, Pin } from './pin.js'
import type { ReadSource } from './read.js'
import { type CollectionOptions, type ReadCollection, viewed } from './read-collection.js'
import { FixedSource, NO_COLLECTION } from './source.js'
import type { AnyDocument, KeyProperty, Sequence } from './types.js'

/** Makes the view of a collection that a snapshot gives. */
export type ViewFactory = (
  name: string,
  options: CollectionOptions | undefined,
  at: Snapshot,
) => ReadCollection<object, Key>

let warned = false

/** Releases snapshots that were forgotten, and says so once. */
const forgotten = new FinalizationRegistry<{ lease: Lease; core: StoreCore }>(({ lease, core }) => {
  lease.release()
  if (warned || !core.isOpen) return
  warned = true
  process.emitWarning(
    `A snapshot at sequence ${lease.sequence} was garbage-collected without being closed. ` +
      'Close snapshots when they are no longer needed, for example with "await using".',
    { type: 'FountainStoreWarning', code: 'FOUNTAINSTORE_SNAPSHOT_FORGOTTEN' },
  )
})

/** The store as it was at one sequence. */
export class Snapshot implements AsyncDisposable, Disposable {
  /** The sequence of the newest commit that this snapshot sees. */
  readonly sequence: Sequence
  readonly #core: StoreCore
  readonly #pin: Pin
  readonly #lease: Lease
  readonly #view: ViewFactory
  readonly #ids = new Map<string, number>()
  #closed = false

  /** @internal Use `store.snapshot()` or `store.at(sequence)`. */
  constructor(core: StoreCore, pin: Pin, view: ViewFactory) {
    this.#core = core
    this.#pin = pin
    this.#view = view
    this.#lease = pin.lease()
    this.sequence = pin.sequence
    forgotten.register(this, { lease: this.#lease, core }, this)
  }

  /** Whether it was closed. */
  get closed(): boolean {
    return this.#closed
  }

  /** The collection as this snapshot sees it, with documents that carry their key in `id`. */
  collection<T extends { readonly id: Key } = AnyDocument>(
    name: string,
    options?: { readonly key?: 'id' },
  ): ReadCollection<T, T['id']>
  /** The collection as this snapshot sees it, with documents that carry their key in another property. */
  collection<T extends object, P extends KeyProperty<T>>(
    name: string,
    options: { readonly key: P },
  ): ReadCollection<T, Extract<T[P], Key>>
  /** A collection as this snapshot sees it. */
  collection<T, K extends Key, I>(of: ReadCollection<T, K, I>): ReadCollection<T, K, I>
  collection(of: string | ReadCollection<object, Key, never>, options?: CollectionOptions): unknown {
    this.#assertOpen()
    const [name, checked] = viewed(this.#core, of, options)
    return this.#view(name, checked, this)
  }

  /** Lets go of the old versions. Reads under way finish; later ones fail with `ERR_CLOSED`. Idempotent. */
  async close(): Promise<void> {
    this[Symbol.dispose]()
  }

  /** Closes the snapshot. */
  [Symbol.dispose](): void {
    if (this.#closed) return
    this.#closed = true
    forgotten.unregister(this)
    this.#lease.release()
  }

  /** Closes the snapshot. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * The collection that had the name of `source` at the moment of this snapshot.
   *
   * @internal
   */
  sourceOf(source: ReadSource): ReadSource {
    return new FixedSource(source, this)
  }

  /**
   * The id of the collection that had a name at the moment of this snapshot.
   *
   * @internal
   */
  idOf(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      const known = { collection: name }
      id = this.#core.call((native, handle) => native.collectionAt(handle, name, this.sequence), known) || NO_COLLECTION
      this.#ids.set(name, id)
    }
    return id
  }

  /**
   * A share in what this snapshot keeps, for a read of `core`.
   *
   * @internal
   */
  lease(core: StoreCore): Lease {
    if (core !== this.#core) {
      throw new StoreError('ERR_INVALID_ARGUMENT', 'the snapshot belongs to another store', {
        place: 'options.snapshot',
      })
    }
    this.#assertOpen()
    return this.#pin.lease()
  }

  #assertOpen(): void {
    this.#core.assertOpen()
    if (this.#closed) throw new StoreError('ERR_CLOSED', 'the snapshot is closed')
  }
}
