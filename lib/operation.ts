/** One operation on its way into `store.batch`: a put, a delete, or a change of what collections and indexes there are. */
import type { StoreCore } from './core.js'
import { describe, invalidArgument, StoreError } from './errors.js'
import type { PreparedDefinition, PreparedWrite } from './write-buffer.js'

/** What an operation does. */
type Prepared = PreparedWrite | PreparedDefinition

/**
 * Made by `collection.putOp`, `insertOp` and `deleteOp`, `defineIndexOp` and `dropIndexOp`, and by `store.createCollectionOp` and
 * `dropCollectionOp`; given to `store.batch`, more than once if wanted.
 */
export class WriteOperation {
  readonly #core: StoreCore
  readonly #write: Prepared
  readonly #committed: (() => void) | undefined

  /** @internal */
  constructor(core: StoreCore, write: Prepared, committed?: () => void) {
    this.#core = core
    this.#write = write
    this.#committed = committed
  }

  /** The name of the collection that it changes. */
  get collection(): string {
    return this.#write.context.collection
  }

  /**
   * The write behind an operation of `core`, and what is to be done once it is committed.
   *
   * @internal
   */
  static prepared(
    value: unknown,
    core: StoreCore,
    place: string,
  ): { write: Prepared; committed: (() => void) | undefined } {
    if (!(value instanceof WriteOperation)) {
      throw invalidArgument(place, 'an operation made by putOp, deleteOp and their like', value)
    }
    if (value.#core !== core) throw invalidArgument(place, 'an operation of this store', value)
    return { write: value.#write, committed: value.#committed }
  }
}

/**
 * What the operations of a batch of `core` are.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT` for what is no operation, and where a collection is dropped twice
 */
export function preparedOperations(
  operations: readonly unknown[],
  core: StoreCore,
): ReturnType<typeof WriteOperation.prepared>[] {
  const prepared: ReturnType<typeof WriteOperation.prepared>[] = []
  const drops = new Map<number, number>()
  // A hole is no operation, which `map` would pass over.
  for (let place = 0; place < operations.length; place++) {
    const { write, committed } = WriteOperation.prepared(operations[place], core, `operations[${place}]`)
    prepared.push({ write, committed })
    if (!('drops' in write)) continue
    const before = drops.get(write.collectionId)
    if (before !== undefined) throw droppedTwice(write.context.collection, before, place)
    drops.set(write.collectionId, place)
  }
  return prepared
}

function droppedTwice(collection: string, before: number, place: number): StoreError {
  const message = `operations[${place}] drops collection ${JSON.stringify(collection)}, as operations[${before}] does already`
  return new StoreError('ERR_INVALID_ARGUMENT', message, { collection, place: `operations[${place}]` })
}

/** A change of what collections and indexes there are, as the native side reads it. */
export interface DefinitionChange {
  readonly op: 'createCollection' | 'dropCollection' | 'createIndex' | 'dropIndex'
  readonly options?: object | undefined
  readonly index?: string
  readonly definition?: object
}

/**
 * The operation that makes a change of a collection. It is checked here, as what is wrong with it would be found among the
 * transactions of others otherwise, and refuse them all.
 *
 * @throws StoreError for what is no definition
 */
export function definitionOperation(
  core: StoreCore,
  { id, name }: { readonly id: number; readonly name: string },
  change: DefinitionChange,
  committed?: () => void,
): WriteOperation {
  if (change.index?.isWellFormed() === false) {
    throw new StoreError('ERR_INVALID_NAME', `${describe(change.index)} is not text`, { collection: name })
  }
  const definition = Buffer.from(JSON.stringify(change))
  core.call((native) => native.checkDefinition(id, definition), { collection: name })
  const drops = change.op === 'dropCollection' && { drops: true as const }
  return new WriteOperation(core, { collectionId: id, definition, ...drops, context: { collection: name } }, committed)
}
