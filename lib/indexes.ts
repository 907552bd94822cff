/** Secondary indexes: what they are defined as, how their keys are written, and how they are defined, listed and dropped. */
import type { StoreCore } from './core.js'
import { describe, invalidArgument, StoreError } from './errors.js'
import { boolean, checkOptions, type OptionRules, requireString } from './options.js'

/** A value that an index can hold. Objects and float vectors cannot be looked for. */
export type IndexValue = null | boolean | number | bigint | string | Date | Uint8Array | readonly IndexValue[]

/**
 * What to look for in an index: a value, or a list with one value for each of the index's first paths. A list is always the
 * latter; an array that is itself the value is written as a list with one element.
 */
export type IndexKey = IndexValue | readonly IndexValue[]

/** `unique`: no two documents have the same key; documents without the value are not compared. `multi`: any number do. */
export type IndexKind = 'unique' | 'multi'

/** An index as it is defined. */
export interface IndexDefinition {
  /** Whether several documents may have the same key. */
  readonly kind: IndexKind
  /** The paths whose values are the key: `email`, `address.city`, `tags[]` for every element, `items[].sku`. At most 8. */
  readonly on: string | readonly string[]
  /** Only documents in which every path leads to a value have entries. Default: false. */
  readonly sparse?: boolean | undefined
}

/** An index of a collection, as the store has it. */
export interface IndexInfo {
  /** Its name. */
  readonly name: string
  /** Whether several documents may have the same key. */
  readonly kind: IndexKind
  /** The paths whose values are the key. */
  readonly on: readonly string[]
  /** Whether only documents in which every path leads to a value have entries. */
  readonly sparse: boolean
  /** `building` until every document that was there when it was defined has its entries. */
  readonly state: 'ready' | 'building' | 'failed'
  /** Documents that the build has passed so far, while it is building. */
  readonly records?: number
}

/** Bounds of a read through an index: each a key, or the first values of one, which stand for all keys that begin so. */
export interface IndexBounds<V = IndexKey> {
  /** Keys greater than this one. */
  readonly gt?: V | undefined
  /** Keys from this one on. */
  readonly gte?: V | undefined
  /** Keys less than this one. */
  readonly lt?: V | undefined
  /** Keys up to this one, and those that begin with it. */
  readonly lte?: V | undefined
}

/** A named index, for `collection.define`. */
export class Index implements IndexDefinition {
  /** Its name, unique in its collection. */
  readonly name: string
  /** Whether several documents may have the same key. */
  readonly kind: IndexKind
  /** The paths whose values are the key. */
  readonly on: readonly string[]
  /** Whether only documents in which every path leads to a value have entries. */
  readonly sparse: boolean

  private constructor(name: string, kind: IndexKind, on: string | readonly string[], options?: { sparse?: boolean }) {
    requireString(name, 'name')
    const { sparse = false } = checkOptions(options, INDEX_OPTIONS, `Index.${kind}`)
    this.name = name
    this.kind = kind
    this.on = checkedPaths(on, 'on')
    this.sparse = sparse
  }

  /** An index in which no two documents have the same key. */
  static unique(name: string, on: string | readonly string[], options?: { sparse?: boolean }): Index {
    return new Index(name, 'unique', on, options)
  }

  /** An index in which any number of documents have the same key, and a path with `[]` gives a document several. */
  static multi(name: string, on: string | readonly string[], options?: { sparse?: boolean }): Index {
    return new Index(name, 'multi', on, options)
  }
}

const INDEX_OPTIONS: OptionRules<{ sparse?: boolean }> = { sparse: boolean }

/** An index that was defined. Awaiting it waits until it is ready; reads and writes go on meanwhile. */
export class IndexBuild implements PromiseLike<void> {
  /** The index's name. */
  readonly name: string
  readonly #core: StoreCore
  readonly #collection: string
  readonly #defined: Promise<number>
  #ready: Promise<void> | undefined

  /** @internal */
  constructor(core: StoreCore, collection: string, name: string, definition: IndexDefinition) {
    this.name = name
    this.#core = core
    this.#collection = collection
    const checked = { kind: definition.kind, on: definition.on, sparse: definition.sparse === true }
    this.#defined = changeSchema(core, { op: 'createIndex', collection, index: name, definition: checked })
    // Who does not wait for it is not told; who does gets the error there.
    this.#defined.catch(() => undefined)
  }

  /**
   * Resolves when the definition is on disk: from then on, every write keeps the index up to date. Rejects with `ERR_EXISTS`
   * if there is another index of the same name.
   */
  async defined(): Promise<void> {
    await this.#defined
  }

  /**
   * Resolves when the index is ready. Rejects if it could not be built, for example with `ERR_UNIQUE` when two documents
   * have one key; it is dropped then.
   */
  ready(): Promise<void> {
    this.#ready ??= this.#wait()
    return this.#ready
  }

  /** How far the build is; undefined if there is no such index any more. */
  progress(): IndexInfo | undefined {
    return listIndexes(this.#core, this.#collection).find((index) => index.name === this.name)
  }

  /** Waits until the index is ready, so that a build can be awaited. */
  // biome-ignore lint/suspicious/noThenProperty: it is awaited
  readonly then: PromiseLike<void>['then'] = (fulfilled, rejected) => this.ready().then(fulfilled, rejected)

  async #wait(): Promise<void> {
    const id = await this.#defined
    const core = this.#core
    await core.runtime.request(
      { collection: this.#collection },
      (ticket) => core.runtime.native.waitForIndex(ticket, core.handle, id),
      () => undefined,
    )
  }
}

/** The indexes of a collection, by name. */
export function listIndexes(core: StoreCore, collection: string): IndexInfo[] {
  const listed = JSON.parse(core.call((native, handle) => native.indexes(handle, collection), { collection }))
  return listed.map(completeInfo)
}

/** The description of an index with what the addon leaves out. */
export function completeInfo(index: IndexInfo): IndexInfo {
  return { ...index, sparse: index.sparse === true }
}

/** A change of what collections and indexes there are. */
export interface SchemaChange {
  readonly op: 'createCollection' | 'alterCollection' | 'dropCollection' | 'createIndex' | 'dropIndex'
  readonly collection: string
  readonly options?: object | undefined
  readonly index?: string
  readonly definition?: IndexDefinition
}

/** Makes a change, after the writes that were queued before it. */
export function changeSchema(core: StoreCore, change: SchemaChange): Promise<number> {
  const { collection, index } = change
  const json = JSON.stringify(change)
  return core.during(async () => {
    core.assertOpen()
    for (const name of [collection, index]) {
      if (name?.isWellFormed() === false) throw new StoreError('ERR_INVALID_NAME', `${describe(name)} is not text`)
    }
    await core.queue.drain()
    return core.request(
      { collection },
      (native, ticket) => native.changeSchema(ticket, core.handle, json),
      (first) => first,
    )
  })
}

/** The name of an index, if it is text. */
export function indexName(name: unknown): string {
  requireString(name, 'index')
  return name
}

/** The definition, if it is one. */
export function checkedDefinition(definition: unknown, place = 'definition'): IndexDefinition {
  const { kind, on, sparse } = (definition ?? {}) as Partial<IndexDefinition>
  if (kind !== 'unique' && kind !== 'multi') throw invalidArgument(`${place}.kind`, '"unique" or "multi"', kind)
  if (sparse !== undefined && typeof sparse !== 'boolean') throw invalidArgument(`${place}.sparse`, 'a boolean', sparse)
  return { kind, on: checkedPaths(on, `${place}.on`), sparse }
}

/** Definitions by name, each checked. */
export function checkedDefinitions(given: Readonly<Record<string, unknown>>): ReadonlyMap<string, IndexDefinition> {
  const entries = Object.entries(given)
  return new Map(entries.map(([name, definition]) => [name, checkedDefinition(definition, `indexes.${name}`)]))
}

function checkedPaths(on: unknown, place: string): readonly string[] {
  const paths = typeof on === 'string' ? [on] : on
  if (!Array.isArray(paths) || paths.length === 0 || !paths.every((path) => typeof path === 'string')) {
    throw invalidArgument(place, 'a path or a list of paths', on)
  }
  return [...paths]
}

/** What is read through an index, as the addon takes it: the documents with a key, or with keys that begin with it. */
export function keyQuery(index: string, how: 'equal' | 'prefix', key: unknown): string {
  return JSON.stringify({ index, [how]: plainValues(key, how === 'equal' ? 'key' : how) })
}

/** What is read through an index, as the addon takes it: the documents with keys between bounds. */
export function rangeQuery(index: string, bounds: IndexBounds): string {
  const range: Record<string, unknown> = {}
  for (const [name, key] of Object.entries(bounds)) {
    if (key !== undefined) range[name] = plainValues(key, `options.${name}`)
  }
  return JSON.stringify({ index, range })
}

function plainValues(key: unknown, place: string): unknown[] {
  return (Array.isArray(key) ? key : [key]).map((value) => plainValue(value, place))
}

/** A value in JSON; what JSON has not is an object with one member. */
function plainValue(value: unknown, place: string): unknown {
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string' && value.isWellFormed()) return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value === 'bigint') return { bigint: String(value) }
  if (value instanceof Date && !Number.isNaN(value.getTime())) return { date: value.getTime() }
  if (value instanceof Uint8Array) return { bytes: [...value] }
  if (Array.isArray(value)) return value.map((element) => plainValue(element, place))
  throw invalidArgument(place, 'a value that an index can hold', value)
}
