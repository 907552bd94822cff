/**
 * Queries: immutable values that say which documents of a collection are wanted; each method returns a new one. Nothing is
 * read before an answer is asked for, and then on the store's read threads.
 */
import { NEWEST } from './core.js'
import type { AnyIndexes } from './definition.js'
import { invalidArgument } from './errors.js'
import { disposable } from './host.js'
import type { Key } from './keys.js'
import { DEFAULT_PAGE_SIZE, MAX_PIECE_DOCUMENTS, MAX_QUERY_PAGE_SIZE } from './limits.js'
import type { Moment } from './moment.js'
import { anything, checkOptions, type OptionRules, signal } from './options.js'
import { type AskPiece, Pieces } from './pieces.js'
import { abandoned, isTransaction, type Lease, LeaseSlot } from './pin.js'
import { checkedCursor, checkedHints, checkedPaths } from './query-arguments.js'
import { type Budget, queryJson, queryText, wholeBudget } from './query-json.js'
import type {
  AnyPath,
  At,
  Cursor,
  Explanation,
  OrderPath,
  Path,
  QueryHints,
  QueryPage,
  Select,
  SelectPath,
  Where,
  Without,
} from './query-types.js'
import { type ReadSource, restoreEncodedKey } from './read.js'
import { readRecord, SharedText } from './record/reader.js'
import { abortable } from './signal.js'
import type { AbortOptions } from './types.js'
import { LEVELS } from './write-queue.js'

/** What a query is made of, as the engine takes it. */
export interface QueryParts {
  readonly where?: unknown
  readonly orderBy?: readonly { readonly path: string; readonly dir: 'asc' | 'desc' }[]
  readonly select?: readonly string[] | { readonly omit: readonly string[] }
  readonly count?: 'none' | 'estimate' | 'exact'
  readonly limit?: number
  readonly cursor?: string
  readonly hint?: { readonly index: string }
  readonly requireIndex?: boolean
  readonly maxScanned?: number
  readonly timeoutMs?: number
}

/** What the engine is asked. */
interface QueryBody extends QueryParts {
  readonly type?: 'count' | 'distinct'
  readonly path?: string
  readonly explain?: 'plan' | 'analyze'
}

/** What a query reads through. */
export interface QueryContext {
  readonly source: ReadSource
  /** A share in the given state, or undefined for the newest. */
  readonly lease: () => Lease | undefined
  /** The state that the query names by itself, if it does. */
  readonly moment: Moment | undefined
  readonly regex: boolean
  readonly signal: AbortSignal | undefined
}

/** Conditions that were added one after another, and what is left of a query for more. */
interface Chain {
  readonly conditions: readonly unknown[]
  readonly left: Readonly<Budget>
}

const ABORT_OPTIONS: OptionRules<AbortOptions> = { signal }
const PAGES_OPTIONS: OptionRules<AbortOptions & { size?: number | undefined }> = { ...ABORT_OPTIONS, size: anything }

interface Meta {
  readonly next: Cursor | null
  readonly count?: number | null
  readonly explain?: Explanation | null
  readonly changed?: number
  readonly sequence?: number | null
  /** Shapes that only this answer has. */
  readonly shapes?: { readonly first: number; readonly names: readonly (readonly string[])[] }
}

/** A query of documents `T` with keys `K` that answers with `R`. Iterating it reads one state, page by page. */
export class Query<T, R = T, I = AnyIndexes, K extends Key = Key> implements AsyncIterable<R> {
  readonly #context: QueryContext
  readonly #parts: QueryParts
  readonly #chain: Chain

  /** @internal Use `collection.find()`. */
  constructor(context: QueryContext, parts: QueryParts, chain?: Chain) {
    this.#context = context
    this.#parts = parts
    this.#chain = chain ?? { conditions: parts.where === undefined ? [] : [parts.where], left: wholeBudget() }
  }

  /** Only documents for which these conditions hold, too. */
  where(conditions: Where<T>): Query<T, R, I, K> {
    const left = { ...this.#chain.left }
    const all = [...this.#chain.conditions, queryJson(conditions, 'where', 'conditions', left)]
    // Beside each other, not within each other: they may be more than conditions may nest.
    const where = all.length === 1 ? all[0] : { $and: all }
    return new Query<T, R, I, K>(this.#context, { ...this.#parts, where }, { conditions: all, left })
  }

  /**
   * Only what these paths lead to, in the objects and arrays around it; `$id`, `$seq` and `$createdSeq` add what is known of
   * the document beside it. Replaces an earlier selection.
   */
  select<const P extends readonly SelectPath<T>[]>(...paths: P): Query<T, Select<T, P[number], K>, I, K> {
    return this.#with<Select<T, P[number], K>>({ select: checkedPaths(paths, 'select') })
  }

  /** All but what these paths lead to. Replaces an earlier selection. */
  omit<const P extends readonly Path<T>[]>(...paths: P): Query<T, Without<T, P[number]>, I, K> {
    return this.#with<Without<T, P[number]>>({ select: { omit: checkedPaths(paths, 'omit') } })
  }

  /** Ordered by this path, after the paths given before. */
  orderBy(path: OrderPath<T>, dir: 'asc' | 'desc' = 'asc'): Query<T, R, I, K> {
    return this.#with({ orderBy: [...(this.#parts.orderBy ?? []), checkedPaths({ path, dir }, 'orderBy')] })
  }

  /** At most this many documents, at least 1. */
  limit(count: number): Query<T, R, I, K> {
    return this.#with({ limit: checkedSize(count, 'limit') })
  }

  /** Only what comes after the page that ended there. */
  after(cursor: Cursor): Query<T, R, I, K> {
    return this.#with({ cursor: checkedCursor(cursor) })
  }

  /** What is known or demanded about how documents are found. */
  hint(hints: QueryHints<I>): Query<T, R, I, K> {
    return this.#with(checkedHints(hints))
  }

  /** All documents that match, up to the limit. */
  async toArray(options?: AbortOptions): Promise<R[]> {
    const { signal } = checkOptions(options, ABORT_OPTIONS, 'toArray')
    const found: R[] = []
    for await (const page of this.pages({ size: MAX_QUERY_PAGE_SIZE, signal })) {
      for (const document of page) found.push(document)
    }
    return found
  }

  /** The first document, or undefined. */
  async first(): Promise<R | undefined> {
    const { count: _, ...parts } = this.#parts
    const { items } = await this.#ask({ ...parts, limit: 1 })
    return items[0] as R | undefined
  }

  /**
   * How many documents match, whatever the limit. `'estimate'` says about how many, by what storage and indexes know without
   * reading the documents; with conditions that no index helps with, that is how many documents there are.
   */
  async count(mode: 'exact' | 'estimate' = 'exact'): Promise<number> {
    const { limit: _, cursor: __, select: ___, orderBy: ____, ...rest } = this.#parts
    const { meta } = await this.#ask({ ...rest, type: 'count', count: checkedCount(mode) })
    return meta.count as number
  }

  /** The different values at a path in the documents that match, in order. */
  async distinct<P extends Path<T> | AnyPath>(path: P): Promise<At<T, P>[]> {
    const { cursor: _, select: __, orderBy: ___, count: ____, ...rest } = this.#parts
    const { items } = await this.#ask({ ...rest, type: 'distinct', path: checkedPaths(path, 'path') })
    return items.map((item) => (item as { value: At<T, P> }).value)
  }

  /** One page of up to `size` documents, the cursor with which `after` goes on, and the `count` if `find` was asked for it. */
  async page(size = DEFAULT_PAGE_SIZE): Promise<QueryPage<R>> {
    const limit = Math.min(checkedSize(size, 'size'), this.#parts.limit ?? size)
    const { items, meta } = await this.#ask({ ...this.#parts, limit })
    const found = meta.next === null ? { items: items as R[] } : { items: items as R[], next: meta.next }
    return meta.count == null ? found : { ...found, count: meta.count }
  }

  /** The documents in arrays of up to `size`, which costs less than one by one. All are of one state. */
  pages(options?: {
    size?: number | undefined
    signal?: AbortSignal | undefined
  }): AsyncGenerator<R[], void, undefined> {
    const { size = DEFAULT_PAGE_SIZE, signal } = checkOptions(options, PAGES_OPTIONS, 'pages')
    const slot = new LeaseSlot()
    const pages = disposable(this.#readPages(slot, size, signal))
    abandoned.register(pages, slot)
    return pages
  }

  /** The documents one by one. */
  async *[Symbol.asyncIterator](): AsyncGenerator<R, void, undefined> {
    for await (const page of this.pages()) yield* page
  }

  /** The page that `page` would give, as JSON text `{ items, next?, count? }`, without documents being made in JavaScript. */
  json(): Promise<string> {
    return this.#request(this.#parts, true, undefined, (_, bytes) => bytes.toString('utf8'))
  }

  /** How the documents are found; with `'analyze'`, also what that took. */
  async explain(mode: 'plan' | 'analyze' = 'plan'): Promise<Explanation> {
    const { meta } = await this.#ask({ ...this.#parts, explain: checkedPaths(mode, 'mode') })
    return meta.explain as Explanation
  }

  #with<S = R>(parts: QueryParts): Query<T, S, I, K> {
    return new Query<T, S, I, K>(this.#context, { ...this.#parts, ...parts }, this.#chain)
  }

  async *#readPages(
    slot: LeaseSlot,
    pageSize: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<R[], void, undefined> {
    const { source, lease } = this.#context
    const size = checkedSize(pageSize, 'size')
    // A cursor names the state to read; without one, the newest is held until the last page.
    slot.lease = lease() ?? (this.#parts.cursor === undefined ? source.core.hold().lease() : undefined)
    const pieces = this.#piecesAt(slot.lease?.sequence ?? NEWEST, size, signal)
    try {
      for (let items = await pieces.next(); items; items = await pieces.next()) {
        for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size) as R[]
      }
    } finally {
      pieces.end(() => slot.release())
    }
  }

  #piecesAt(at: number, size: number, signal: AbortSignal | undefined): Pieces {
    const { limit = Number.MAX_SAFE_INTEGER, cursor: begin, count: _, ...parts } = this.#parts
    // What has to be sorted is sorted once, and what is limited as a whole is asked for as a whole.
    const sorts = parts.orderBy?.some((term) => term?.path !== '$id') ?? false
    const isOne = sorts || parts.maxScanned !== undefined || parts.timeoutMs !== undefined
    const most = isOne ? MAX_QUERY_PAGE_SIZE : MAX_PIECE_DOCUMENTS
    const find: AskPiece = async (count, cursor, found) => {
      const body = { ...parts, limit: count, ...(cursor !== undefined && { cursor }) }
      const { items } = await this.#ask(body, at, signal, ({ next }, records) => found(next, records))
      return items
    }
    return new Pieces(find, { first: isOne ? most : size, most, limit, cursor: begin, mayGoAhead: !isTransaction(at) })
  }

  /** `found` hears of the answer before its documents are unpacked. */
  #ask(
    body: QueryBody,
    at?: number,
    signal?: AbortSignal,
    found?: (meta: Meta, records: number) => void,
  ): Promise<{ items: unknown[]; meta: Meta }> {
    const finish = (records: number, bytes: Buffer) => decodeAnswer(this.#context.source, records, bytes, found)
    return this.#request(body, false, at, finish, signal)
  }

  async #request<A>(
    body: QueryBody,
    json: boolean,
    at: number | undefined,
    finish: (records: number, bytes: Buffer) => A,
    signal = this.#context.signal,
  ): Promise<A> {
    const { source, lease, moment, regex } = this.#context
    signal?.throwIfAborted()
    source.core.assertOpen()
    const held = at === undefined ? lease() : undefined
    // Named in the query, a state is none that has a time of its own: that of the first page counts for the next ones.
    const asked = moment && { ...body, asOf: moment.named(body.cursor !== undefined) }
    const view = asked ? NEWEST : (at ?? held?.sequence ?? NEWEST)
    const read = ask(source, asked ?? body, { at: view, regex, json, durability: 0 }, finish)
    return abortable(
      read.finally(() => held?.release()),
      signal,
    )
  }
}

/** Asks the engine for something about the documents of a collection. */
export function ask<A>(
  source: ReadSource,
  body: object,
  how: { at: number; regex: boolean; json: boolean; durability: number },
  finish: (records: number, bytes: Buffer) => A,
): Promise<A> {
  const { core, id, name } = source
  core.activity.query(name)
  return core.request(
    { collection: name },
    (native, ticket) => native.query(ticket, core.handle, id, queryText(body), how),
    (records, length) => finish(records, core.runtime.collect(length)),
  )
}

/** What an answer to a change says. */
export interface Changed {
  /** Documents that matched and were, or with `dryRun` would be, changed. */
  readonly changed: number
  /** Sequence of the commit; undefined if nothing was written. */
  readonly sequence?: number
}

/** Changes all documents that match. */
export async function change(source: ReadSource, body: object, durability: keyof typeof LEVELS): Promise<Changed> {
  // What the program began to write before comes before.
  const behind = source.core.queue.submit()
  if (behind) await behind
  const how = { at: NEWEST, regex: false, json: false, durability: LEVELS[durability] }
  const { meta } = await ask(source, body, how, (records, bytes) => decodeAnswer(source, records, bytes))
  const changed = meta.changed as number
  return meta.sequence == null ? { changed } : { changed, sequence: meta.sequence }
}

const RECORD_HEADER = 8

/** An answer: `u32 length`, JSON, and records. */
function decodeAnswer(
  source: ReadSource,
  records: number,
  bytes: Buffer,
  found?: (meta: Meta, records: number) => void,
): { items: unknown[]; meta: Meta } {
  let at = 4 + bytes.readUInt32LE(0)
  const meta = JSON.parse(bytes.toString('utf8', 4, at)) as Meta
  found?.(meta, records)
  const { shapes } = source.core
  const table = meta.shapes === undefined ? shapes : shapes.withUnstored(meta.shapes.first, meta.shapes.names)
  const text = new SharedText(bytes.length)
  const items: unknown[] = []
  for (let i = 0; i < records; i++) {
    const keyStart = at + RECORD_HEADER
    const keyEnd = keyStart + bytes.readUInt32LE(at)
    const end = keyEnd + bytes.readUInt32LE(at + 4)
    const document = readRecord(bytes, keyEnd, end, table, text)
    items.push(keyEnd === keyStart ? document : restoreEncodedKey(document, source, bytes, keyStart, keyEnd))
    at = end
  }
  return { items, meta }
}

function checkedSize(value: number, name: string): number {
  if (Number.isInteger(value) && value >= 1 && value <= Number.MAX_SAFE_INTEGER) return value
  throw invalidArgument(name, 'a whole number from 1', value)
}

function checkedCount(mode: 'exact' | 'estimate'): 'exact' | 'estimate' {
  if (mode === 'exact' || mode === 'estimate') return mode
  throw invalidArgument('mode', "'exact' or 'estimate'", mode)
}
