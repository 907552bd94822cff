/**
 * Scans: documents in key order, fetched in pages. A scan reads one moment of the store, which it pins for as long as
 * it runs and releases at its end, on `break`, on an error, and when it is abandoned and garbage-collected.
 *
 * The addon keeps no cursor: each page starts behind the last key of the one before.
 */
import { fromThrown } from './failures.js'
import { PAGE_BYTES } from './limits.js'
import { type IndexScanArguments, type ScanArguments, WOULD_BLOCK } from './native.js'
import { abandoned, type Lease, LeaseSlot } from './pin.js'
import { after, type EncodedRange } from './range.js'
import { largerBlock, type ReadSource, restoreEncodedKey } from './read.js'
import { readRecord, SharedText } from './record/reader.js'
import { ownTurn } from './turn.js'

/** What a scan was asked for, checked. */
export interface ScanPlan {
  readonly range: EncodedRange
  /** What is read through an index, as the addon takes it; without it, the documents in the order of their keys. */
  readonly query?: string
  readonly reverse: boolean
  readonly limit: number
  readonly pageSize: number
  readonly signal: AbortSignal | undefined
  /** Starts keeping a sequence readable; called once per iteration, when it begins. */
  readonly pin: () => Lease
}

const EMPTY = new Uint8Array(0)
const PAGE_HEADER = 8
const RECORD_HEADER = 8

/** Documents in key order. Iterating twice scans twice, each time at the moment the iteration begins. */
export class Scan<T> implements AsyncIterable<T> {
  readonly #source: ReadSource
  readonly #plan: ScanPlan

  /** @internal */
  constructor(source: ReadSource, plan: ScanPlan) {
    this.#source = source
    this.#plan = plan
  }

  /** The documents one by one. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    const slot = new LeaseSlot()
    const documents = new Documents<T>(new PageReader(this.#source, this.#plan, slot))
    abandoned.register(documents, slot)
    return documents
  }

  /** The documents in arrays of up to `pageSize`, which costs less per document than one by one. */
  pages(): AsyncIterableIterator<T[]> {
    const slot = new LeaseSlot()
    const pages = readPages(new PageReader<T>(this.#source, this.#plan, slot))
    abandoned.register(pages, slot)
    return pages
  }

  /** All documents in one array. */
  async toArray(): Promise<T[]> {
    const reader = new PageReader<T>(this.#source, this.#plan, new LeaseSlot())
    try {
      const documents = (await reader.next()) ?? []
      for (let page = await reader.next(); page; page = await reader.next()) {
        for (const document of page) documents.push(document)
      }
      return documents
    } finally {
      reader.close()
    }
  }
}

async function* readPages<T>(reader: PageReader<T>): AsyncGenerator<T[], void> {
  try {
    for (let page = await reader.next(); page; page = await reader.next()) yield page
  } finally {
    reader.close()
  }
}

/** One document at a time out of pages. Calls may overlap; they are answered in order. */
class Documents<T> implements AsyncIterableIterator<T> {
  readonly #reader: PageReader<T>
  #page: readonly T[] = []
  #next = 0
  /** The last call that is waiting for a page. */
  #tail: Promise<unknown> | undefined

  constructor(reader: PageReader<T>) {
    this.#reader = reader
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#tail === undefined && this.#next < this.#page.length) return Promise.resolve(this.#take())
    return this.#enqueue(() => this.#advance())
  }

  return(): Promise<IteratorResult<T, undefined>> {
    return this.#enqueue(async () => {
      this.#page = []
      this.#reader.close()
      return { done: true, value: undefined }
    })
  }

  #take(): IteratorResult<T, undefined> {
    return { done: false, value: this.#page[this.#next++] as T }
  }

  async #advance(): Promise<IteratorResult<T, undefined>> {
    while (this.#next >= this.#page.length) {
      const page = await this.#reader.next()
      if (page === undefined) return { done: true, value: undefined }
      this.#page = page
      this.#next = 0
    }
    return this.#take()
  }

  #enqueue<R>(work: () => Promise<R>): Promise<R> {
    const result = this.#tail === undefined ? work() : this.#tail.then(work)
    const tail: Promise<void> = result.then(
      () => this.#dequeue(tail),
      () => this.#dequeue(tail),
    )
    this.#tail = tail
    return result
  }

  #dequeue(tail: Promise<void>): void {
    if (this.#tail === tail) this.#tail = undefined
  }
}

/** Fetches the pages of one scan. */
class PageReader<T> {
  readonly #source: ReadSource
  readonly #plan: ScanPlan
  readonly #slot: LeaseSlot
  #lower: Uint8Array
  #upper: Uint8Array
  /** The entry of the index behind which the next page begins. */
  #after: Uint8Array = EMPTY
  #remaining: number
  #done = false

  constructor(source: ReadSource, plan: ScanPlan, slot: LeaseSlot) {
    this.#source = source
    this.#plan = plan
    this.#slot = slot
    this.#lower = plan.range.lower
    this.#upper = plan.range.upper
    this.#remaining = plan.limit
  }

  /** The next page, never empty, or undefined at the end. */
  async next(): Promise<T[] | undefined> {
    if (this.#done) return undefined
    try {
      const isFirst = this.#slot.lease === undefined
      if (!isFirst) await ownTurn(this.#source.core.runtime.turn)
      if (this.#done) return undefined
      this.#plan.signal?.throwIfAborted()
      this.#source.core.assertOpen()
      this.#slot.lease ??= this.#plan.pin()
      const page = this.#remaining > 0 ? await this.#read(this.#slot.lease.sequence) : []
      if (this.#done || page.length === 0) this.close()
      // It is read at once, as of now and before the store can be closed; most scans have no other page to wait before.
      if (isFirst) await ownTurn(this.#source.core.runtime.turn)
      return page.length === 0 ? undefined : page
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Ends the scan and gives its lease back. */
  close(): void {
    this.#done = true
    this.#slot.release()
  }

  /**
   * The documents of the next page: from memory if they are there, else from a read thread. What memory answers lies in
   * the block that all reads of this thread share, so it is decoded before anything else can run.
   */
  #read(at: number): T[] | Promise<T[]> {
    const { core, id } = this.#source
    const { io } = core.runtime
    for (let block: Buffer = io; ; ) {
      const answer = this.#scanSync(block, at)
      if (answer >= 0) return this.#decode(block, answer)
      if (answer === WOULD_BLOCK) break
      block = largerBlock(block, answer)
    }
    const { query } = this.#plan
    const start = (binding: typeof core.runtime.native, ticket: number) =>
      query === undefined
        ? binding.scan(ticket, core.handle, id, io, this.#request(io, at))
        : binding.scanIndex(ticket, core.handle, id, io, this.#indexRequest(query, io, at))
    return core.request({ collection: this.#source.name }, start, (_, length) =>
      this.#decode(core.runtime.collect(length), length),
    )
  }

  #scanSync(block: Buffer, at: number): number {
    const { core, id, name } = this.#source
    const { query } = this.#plan
    const { native } = core.runtime
    try {
      if (query !== undefined) return native.scanIndexSync(core.handle, id, block, this.#indexRequest(query, block, at))
      return native.scanSync(core.handle, id, block, this.#request(block, at))
    } catch (error) {
      throw fromThrown(error, { collection: name })
    }
  }

  /** The arguments of the next page, with the bounds written into `block`. */
  #request(block: Buffer, at: number): ScanArguments {
    block.set(this.#lower, 0)
    block.set(this.#upper, this.#lower.length)
    return {
      lower: this.#lower.length,
      upper: this.#upper.length,
      reverse: this.#plan.reverse,
      at,
      maxRecords: Math.min(this.#plan.pageSize, this.#remaining),
      maxBytes: PAGE_BYTES,
    }
  }

  /** The arguments of the next page of an index, with the position written into `block`. */
  #indexRequest(query: string, block: Buffer, at: number): IndexScanArguments {
    block.set(this.#after, 0)
    const maxRecords = Math.min(this.#plan.pageSize, this.#remaining)
    return { query, after: this.#after.length, reverse: this.#plan.reverse, at, maxRecords, maxBytes: PAGE_BYTES }
  }

  /**
   * The documents of a page, `u32 records, u32 more` and records; moves on to what follows them. Of an index `more` is the
   * length of the position that follows the records.
   */
  #decode(bytes: Buffer, length: number): T[] {
    const count = bytes.readUInt32LE(0)
    const page: T[] = []
    const text = new SharedText(length)
    let at = PAGE_HEADER
    let keyStart = at
    let keyEnd = at
    for (let i = 0; i < count; i++) {
      keyStart = at + RECORD_HEADER
      keyEnd = keyStart + bytes.readUInt32LE(at)
      const end = keyEnd + bytes.readUInt32LE(at + 4)
      const document = readRecord(bytes, keyEnd, end, this.#source.core.shapes, text)
      page.push(restoreEncodedKey(document, this.#source, bytes, keyStart, keyEnd) as T)
      at = end
    }
    const more = bytes.readUInt32LE(4)
    if (this.#plan.query !== undefined) this.#after = Buffer.from(bytes.subarray(at, at + more))
    else if (count > 0) this.#continueBehind(bytes.subarray(keyStart, keyEnd))
    if (this.#plan.query !== undefined) this.#source.core.activity.found(count)
    this.#remaining -= count
    if (more === 0 || this.#remaining <= 0) this.#done = true
    return page
  }

  #continueBehind(key: Buffer): void {
    if (this.#plan.reverse) this.#upper = Buffer.from(key)
    else this.#lower = after(key)
  }
}
