/**
 * Transactions: reads of one moment, writes that only the transaction sees until it commits, and a commit that happens only
 * if nobody else changed meanwhile what it depends on. Nothing is locked: who commits first wins, and the other runs again.
 */
import type { Collection } from './collection.js'
import type { StoreCore } from './core.js'
import type { AnyIndexes } from './definition.js'
import { invalidArgument, StoreError } from './errors.js'
import { fromThrown } from './failures.js'
import { EXPIRY_OPTIONS } from './keeping.js'
import type { Key } from './keys.js'
import { boolean, checkOptions, type OptionRules } from './options.js'
import { Lease, transactionView } from './pin.js'
import { prepareDelete, preparePut } from './prepare.js'
import { type CollectionOptions, ReadCollection, viewed } from './read-collection.js'
import { NO_COLLECTION } from './source.js'
import type {
  AnyDocument,
  Durability,
  ExpiryOptions,
  Isolation,
  KeyProperty,
  Sequence,
  TransactionPutOptions,
} from './types.js'
import type { PreparedWrite } from './write-buffer.js'
import { LEVELS } from './write-queue.js'

const PUT_OPTIONS: OptionRules<TransactionPutOptions> = { ...EXPIRY_OPTIONS, keepExpiry: boolean }

/**
 * One attempt of `store.transaction`, for use within its callback only: afterwards everything fails with `ERR_CLOSED`.
 */
export class Transaction {
  /** The sequence that it reads: the newest when it began. */
  readonly sequence: Sequence
  /**
   * Whether others must not have changed what it has read.
   *
   * @internal
   */
  readonly notesReads: boolean
  readonly #core: StoreCore
  readonly #handle: number
  readonly #ids = new Map<string, number>()
  #ended = false
  #committed: Sequence | undefined

  /** @internal Use `store.transaction()`. */
  constructor(core: StoreCore, isolation: Isolation) {
    this.#core = core
    this.notesReads = isolation === 'serializable'
    this.#handle = core.call((native, store) => native.begin(store, this.notesReads))
    this.sequence = core.call((native) => native.transactionSequence(this.#handle))
    core.activity.transaction()
  }

  /** The collection as this transaction sees it, with documents that carry their key in `id`. */
  collection<T extends { readonly id: Key } = AnyDocument>(
    name: string,
    options?: { readonly key?: 'id' },
  ): TransactionCollection<T, T['id']>
  /** The collection as this transaction sees it, with documents that carry their key in another property. */
  collection<T extends object, P extends KeyProperty<T>>(
    name: string,
    options: { readonly key: P },
  ): TransactionCollection<T, Extract<T[P], Key>>
  /** A collection as this transaction sees it, with its schema and indexes. */
  collection<T extends object, K extends Key, I, In extends object>(
    of: Collection<T, K, I, In>,
  ): TransactionCollection<T, K, I, In>
  collection(of: string | Collection<object, Key, never>, options?: CollectionOptions): unknown {
    this.#assertRunning()
    const [name, checked] = viewed(this.#core, of, options)
    return new TransactionCollection(this.#core, name, checked, this)
  }

  /**
   * The sequence that its commit was answered with.
   *
   * @internal
   */
  get committed(): Sequence | undefined {
    return this.#committed
  }

  /**
   * What reads of `core` need to see what this transaction sees.
   *
   * @internal
   */
  lease(core: StoreCore): Lease {
    if (core !== this.#core) throw new StoreError('ERR_INVALID_ARGUMENT', 'the transaction belongs to another store')
    this.#assertRunning()
    return new Lease(transactionView(this.#handle), () => undefined)
  }

  /**
   * The id of the collection that has a name in it: that of its moment, even if it was dropped since then, which its commit
   * will find. Without one that of no collection, until the transaction writes to it.
   *
   * @internal
   */
  idOf(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      this.#assertRunning()
      const found = this.#core.call((native) => native.transactionCollection(this.#handle, name), { collection: name })
      id = found === 0 ? NO_COLLECTION : found
      this.#ids.set(name, id)
    }
    return id
  }

  /**
   * The same for writing: a new one if there is none.
   *
   * @internal
   */
  claimId(name: string): number {
    let id = this.idOf(name)
    if (id === NO_COLLECTION) {
      id = this.#core.call((native, store) => native.collection(store, name), { collection: name })
      this.#ids.set(name, id)
    }
    return id
  }

  /**
   * Makes a write in it.
   *
   * @internal
   */
  write(write: PreparedWrite): void {
    this.#assertRunning()
    const { scratch } = this.#core
    try {
      scratch.appendOperation(write)
      this.#core.runtime.native.transactionWrite(this.#handle, scratch.bytes, scratch.length)
    } catch (error) {
      throw fromThrown(error, { collection: write.context.collection, key: write.key })
    } finally {
      scratch.clear()
    }
  }

  /**
   * Ends it and commits what it wrote; answers with the sequence of the commit, or with its own if it wrote nothing.
   *
   * @internal
   */
  async commit(durability: Durability): Promise<Sequence> {
    this.#assertRunning()
    this.#ended = true
    this.#committed = await this.#core.during(async () => {
      // What the program began to write before comes before.
      const behind = this.#core.queue.submit()
      if (behind) await behind
      return this.#core.request(
        {},
        (native, ticket) => native.commitTransaction(ticket, this.#handle, LEVELS[durability]),
        (sequence) => sequence,
      )
    })
    return this.#committed
  }

  /**
   * Ends it without effect, if it has not ended.
   *
   * @internal
   */
  rollback(): void {
    if (this.#ended) return
    this.#ended = true
    this.#core.runtime.native.rollback(this.#handle)
  }

  #assertRunning(): void {
    this.#core.assertOpen()
    if (this.#ended) throw new StoreError('ERR_CLOSED', 'the transaction has ended')
  }
}

/** A collection as a transaction sees it, its own writes included. Writes are made at once; they need not be awaited. */
export class TransactionCollection<
  T extends object,
  K extends Key = Key,
  I = AnyIndexes,
  In extends object = T,
> extends ReadCollection<T, K, I> {
  readonly #transaction: Transaction

  /** @internal Use `transaction.collection()`. */
  constructor(core: StoreCore, name: string, options: CollectionOptions | undefined, transaction: Transaction) {
    super(core, name, options, transaction)
    this.#transaction = transaction
  }

  /**
   * Stores a document under the key it carries, replacing one that is there.
   *
   * @throws StoreError `ERR_VALIDATION`, `ERR_INVALID_KEY`, `ERR_TOO_LARGE`, `ERR_LIMIT`, `ERR_CLOSED`
   */
  put(document: In, options?: TransactionPutOptions): void {
    const { keepExpiry = false, ...expiry } = checkOptions(options, PUT_OPTIONS, 'put')
    const write = preparePut(this.source, document, undefined, expiry)
    if (keepExpiry && write.expiresAt !== undefined) throw invalidArgument('options.keepExpiry', 'alone', expiry)
    this.#transaction.write(keepExpiry ? { ...write, expiresAt: 'kept' } : write)
    this.source.core.activity.put(this.name)
  }

  /**
   * Stores a document under a key that has none. If there is one, that is `ERR_EXISTS`: at once if the transaction put it
   * there itself, else when it commits.
   *
   * @throws StoreError as `put`, and `ERR_EXISTS`
   */
  insert(document: In, options?: ExpiryOptions): void {
    const expiry = checkOptions(options, EXPIRY_OPTIONS, 'insert')
    this.#transaction.write(preparePut(this.source, document, 'absent', expiry))
    this.source.core.activity.put(this.name)
  }

  /**
   * Deletes the document under `key`; fine if there is none.
   *
   * @throws StoreError `ERR_INVALID_KEY`, `ERR_TOO_LARGE`, `ERR_LIMIT`, `ERR_CLOSED`
   */
  delete(key: K): void {
    this.#transaction.write(prepareDelete(this.source, key))
    this.source.core.activity.delete(this.name)
  }
}
