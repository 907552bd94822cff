/** Secondary indexes: what they are defined as, how their keys are written, and how they are defined, listed and dropped. */
import { type ComputedIndex, checkedComputed, type KnownComputed } from './computed.js'
import type { StoreCore } from './core.js'
import { describe, invalidArgument, StoreError } from './errors.js'
import { fromNative } from './failures.js'
import { buildComputed } from './fill.js'
import { isLongBigint } from './keys.js'
import { MAX_INDEX_KEY_BYTES, MAX_KEY_DEPTH } from './limits.js'
import { anything, boolean, checkedPath, checkOptions, type OptionRules, requireString } from './options.js'
import type { ReadSource } from './read.js'
import { isPlainObject } from './record/plain.js'

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

/** A definition that was checked: of paths, or of what the program computes. */
export type CheckedIndex = IndexDefinition | KnownComputed

/** An index of a collection, as the store has it. */
export interface IndexInfo {
  /** Its name. */
  readonly name: string
  /** Whether several documents may have the same key. */
  readonly kind: IndexKind
  /** The paths whose values are the key; none if they are computed. */
  readonly on: readonly string[]
  /** Whether only documents in which every path leads to a value have entries. */
  readonly sparse: boolean
  /** The version of the function that computes the values, if one does. */
  readonly computed?: number
  /** `building` until every document that was there when it was defined has its entries; `failed` if it will not have. */
  readonly state: 'ready' | 'building' | 'failed'
  /** Documents that the build has passed so far, while it is building. */
  readonly records?: number
  /** About how many documents there are to pass, while it is building; never less than `records`. */
  readonly total?: number
  /**
   * Why it failed, or what keeps the build from going on: a full disk, or documents that lack what the program computes, unless
   * this thread is computing it.
   */
  readonly error?: StoreError
}

/** The description of an index as the addon gives it. */
export interface ListedIndex extends Omit<IndexInfo, 'error'> {
  readonly error?: string
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

/** A named index of documents `T`, for `collection.define`; one on paths is for documents of any type. */
export class Index<T = never> {
  /** Its name, unique in its collection. */
  readonly name: string
  /** Whether several documents may have the same key. */
  readonly kind: IndexKind
  /** The paths whose values are the key; none if they are computed. */
  readonly on: readonly string[]
  /** Whether only documents in which every path leads to a value have entries. */
  readonly sparse: boolean
  /** Its definition as data. */
  readonly definition: IndexDefinition | ComputedIndex<T>

  private constructor(name: string, definition: IndexDefinition | ComputedIndex<T>) {
    requireString(name, 'name')
    this.name = name
    this.kind = definition.kind ?? 'multi'
    this.on = 'values' in definition ? [] : checkedPaths(definition.on, 'on')
    this.sparse = 'values' in definition || definition.sparse === true
    this.definition = definition
  }

  static #onPaths(
    name: string,
    kind: IndexKind,
    on: string | readonly string[],
    options?: { sparse?: boolean },
  ): Index<unknown> {
    requireString(name, 'name')
    const { sparse = false } = checkOptions(options, INDEX_OPTIONS, `Index.${kind}`)
    return new Index(name, { kind, on, sparse })
  }

  /** An index in which no two documents have the same key. */
  static unique(name: string, on: string | readonly string[], options?: { sparse?: boolean }): Index<unknown> {
    return Index.#onPaths(name, 'unique', on, options)
  }

  /** An index in which any number of documents have the same key, and a path with `[]` gives a document several. */
  static multi(name: string, on: string | readonly string[], options?: { sparse?: boolean }): Index<unknown> {
    return Index.#onPaths(name, 'multi', on, options)
  }

  /**
   * An index on what a function computes from a document: any number of values. The values are stored with the document, so
   * whoever writes the collection must define or declare the index first, with the same version; a write without them rejects
   * with `ERR_DEFINITION`. Documents with no values have no entry.
   */
  static multiValues<T>(
    name: string,
    values: (document: T) => readonly IndexValue[],
    options: { version: number; kind?: IndexKind },
  ): Index<T> {
    const { version, kind = 'multi' } = checkOptions(options, COMPUTED_OPTIONS, 'Index.multiValues')
    const checked = checkedComputed(
      { kind, version: version as number, values: values as ComputedIndex['values'] },
      'index',
    )
    return new Index<T>(name, checked as ComputedIndex<T>)
  }
}

const INDEX_OPTIONS: OptionRules<{ sparse?: boolean }> = { sparse: boolean }
const COMPUTED_OPTIONS: OptionRules<{ version: number; kind?: IndexKind }> = { version: anything, kind: anything }

/** An index that was defined. Awaiting it waits until it is ready; reads and writes go on meanwhile. */
export class IndexBuild implements PromiseLike<void> {
  /** The index's name. */
  readonly name: string
  readonly #source: ReadSource
  /** The version of what the program computes. */
  readonly #computed: number | undefined
  readonly #defined: Promise<number>
  #ready: Promise<void> | undefined
  #trouble: (error: StoreError | undefined) => void = () => undefined

  /** @internal */
  constructor(source: ReadSource, name: string, definition: CheckedIndex) {
    this.name = name
    this.#source = source
    this.#computed = isComputed(definition) ? definition.version : undefined
    this.#defined = isComputed(definition) ? this.#defineComputed(definition) : this.#define(stored(definition))
    // Who does not wait for it is not told; who does gets the error there. Nobody else computes what was there before.
    const started = isComputed(definition) ? this.#fill() : this.#defined
    started.catch(() => undefined)
  }

  /** From before it is defined, as the engine lacks the values from that moment on. */
  #fill(): Promise<void> {
    const { core, name: collection } = this.#source
    return core.computed.whileFilling(collection, this.name, (trouble) => {
      this.#trouble = trouble
      return this.#defined.then(() => this.ready())
    })
  }

  #define(definition: object): Promise<number> {
    const { core, name: collection } = this.#source
    return changeSchema(core, { op: 'createIndex', collection, index: this.name, definition })
  }

  /** From now on what is written has the values, so that nothing is refused when the index is there. */
  async #defineComputed(definition: KnownComputed): Promise<number> {
    const { core, name: collection } = this.#source
    const { version } = definition
    const isNew = core.computed.known(collection, this.name, version) === undefined
    const learned = core.computed.learn(collection, this.name, definition)
    try {
      return await this.#define(stored(definition))
    } catch (error) {
      if (isNew) core.computed.forget(collection, learned)
      throw error
    }
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
    return listIndexes(this.#source.core, this.#source.name).find((index) => index.name === this.name)
  }

  /** Waits until the index is ready, so that a build can be awaited. */
  // biome-ignore lint/suspicious/noThenProperty: it is awaited
  readonly then: PromiseLike<void>['then'] = (fulfilled, rejected) => this.ready().then(fulfilled, rejected)

  async #wait(): Promise<void> {
    const id = await this.#defined
    const { core, name: collection } = this.#source
    const wait = (): Promise<void> =>
      core.runtime.request(
        { collection },
        (ticket) => core.runtime.native.waitForIndex(ticket, core.handle, id),
        () => undefined,
      )
    if (this.#computed === undefined) return wait()
    const drop = () => changeSchema(core, { op: 'dropIndex', collection, index: this.name })
    const trouble = this.#trouble
    await buildComputed(this.#source, { id, name: this.name, version: this.#computed, trouble, wait, drop })
  }
}

/** The indexes of a collection, by name. */
export function listIndexes(core: StoreCore, collection: string): IndexInfo[] {
  const listed = JSON.parse(core.call((native, handle) => native.indexes(handle, collection), { collection }))
  return listed.map((index: ListedIndex) => completeInfo(core, index, collection))
}

/** The description of an index with what the addon leaves out. */
export function completeInfo(core: StoreCore, { error: json, ...index }: ListedIndex, collection: string): IndexInfo {
  const isComputedIndex = index.computed !== undefined
  const info = { ...index, on: isComputedIndex ? [] : index.on, sparse: index.sparse === true || isComputedIndex }
  const error = json === undefined ? undefined : fromNative(json, { collection })
  const trouble = core.computed.trouble(collection, index.name, error)
  return trouble === undefined ? info : { ...info, error: trouble }
}

/** A change of what collections and indexes there are. */
export interface SchemaChange {
  readonly op: 'createCollection' | 'alterCollection' | 'dropCollection' | 'createIndex' | 'dropIndex'
  readonly collection: string
  readonly options?: object | undefined
  readonly index?: string
  readonly definition?: object
}

/** Makes a change, after the changes that were asked for and the writes that were queued before it. */
export function changeSchema(core: StoreCore, change: SchemaChange): Promise<number> {
  const { collection, index } = change
  const json = JSON.stringify(change)
  const before = core.schemaChange
  const changed = core.during(async () => {
    core.assertOpen()
    await before
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
  const nothing = () => undefined
  core.schemaChange = changed.then(nothing, nothing)
  return changed
}

/** The name of an index, if it is text. */
export function indexName(name: unknown): string {
  requireString(name, 'index')
  return name
}

/** The definition, if it is one. */
export function checkedDefinition(definition: unknown, place = 'definition'): CheckedIndex {
  if (definition instanceof Index) return checkedDefinition(definition.definition, place)
  if (typeof definition === 'object' && definition !== null && 'values' in definition) {
    const checked = checkedComputed(definition as Partial<ComputedIndex>, place)
    const { kind: _, version: __, values: ___, ...others } = definition as Partial<ComputedIndex>
    refuseMembers(others, place, 'kind, version and values')
    return checked
  }
  if (!isPlainObject(definition)) throw invalidArgument(place, 'the definition of an index', definition)
  const { kind, on, sparse, ...others } = definition as Partial<IndexDefinition>
  refuseMembers(others, place, 'kind, on and sparse')
  if (kind !== 'unique' && kind !== 'multi') throw invalidArgument(`${place}.kind`, '"unique" or "multi"', kind)
  if (sparse !== undefined && typeof sparse !== 'boolean') throw invalidArgument(`${place}.sparse`, 'a boolean', sparse)
  return { kind, on: checkedPaths(on, `${place}.on`), sparse }
}

/** Definitions by name, each checked. */
export function checkedDefinitions(given: Readonly<Record<string, unknown>>): ReadonlyMap<string, CheckedIndex> {
  const entries = Object.entries(given)
  return new Map(entries.map(([name, definition]) => [name, checkedDefinition(definition, `indexes.${name}`)]))
}

/** Remembers the functions among declared indexes, so that what is written has their values from the beginning. */
export function learnComputed(core: StoreCore, collection: string, declared: ReadonlyMap<string, CheckedIndex>): void {
  for (const [name, definition] of declared) {
    if (isComputed(definition)) core.computed.learn(collection, name, definition)
  }
}

/** Whether it is on what a function computes. */
export function isComputed(definition: CheckedIndex): definition is KnownComputed {
  return 'values' in definition
}

/** What the store keeps of a definition. */
export function stored(definition: CheckedIndex): object {
  const { kind } = definition
  if (isComputed(definition)) return { kind, computed: definition.version }
  return { kind, on: definition.on, sparse: definition.sparse === true }
}

/** A member that nobody knows is most likely one that was misspelt. */
function refuseMembers(others: object, place: string, known: string): void {
  const [name] = Object.keys(others)
  if (name === undefined) return
  const message = `${place} has the unknown member ${JSON.stringify(name)}; it knows ${known}`
  throw new StoreError('ERR_INVALID_ARGUMENT', message, { place: `${place}.${name}` })
}

function checkedPaths(on: unknown, place: string): readonly string[] {
  const paths = typeof on === 'string' ? [on] : on
  if (!Array.isArray(paths) || paths.length === 0) throw invalidArgument(place, 'a path or a list of paths', on)
  return Array.from(paths, (path) => checkedPath(path, place))
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
  const left = { bytes: MAX_INDEX_KEY_BYTES }
  const plain: unknown[] = []
  for (const value of Array.isArray(key) ? key : [key]) plain.push(plainValue(value, place, 0, left))
  return plain
}

function tooLarge(place: string): StoreError {
  const message = `${place} is an index key over the limit of ${MAX_INDEX_KEY_BYTES} bytes`
  return new StoreError('ERR_TOO_LARGE', message, { place, details: { limit: MAX_INDEX_KEY_BYTES } })
}

/** A value in JSON; what JSON has not is an object with one member. `left` bytes may follow, of keys, not of JSON. */
function plainValue(value: unknown, place: string, depth: number, left: { bytes: number }): unknown {
  left.bytes -= 1 + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 0)
  if (left.bytes < 0) throw tooLarge(place)
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'string' && value.isWellFormed()) return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value === 'bigint' && !isLongBigint(value)) return { bigint: String(value) }
  if (value instanceof Date && !Number.isNaN(value.getTime())) return { date: value.getTime() }
  if (value instanceof Uint8Array) return { bytes: [...value] }
  if (!Array.isArray(value)) throw invalidArgument(place, 'a value that an index can hold', value)
  if (depth === MAX_KEY_DEPTH) {
    throw invalidArgument(place, `a value in which arrays nest at most ${MAX_KEY_DEPTH} deep`, value)
  }
  // A hole is no value, which `map` would pass over.
  const plain: unknown[] = []
  for (const element of value) plain.push(plainValue(element, place, depth + 1, left))
  return plain
}
