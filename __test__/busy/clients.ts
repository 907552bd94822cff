/**
 * Clients of one store that all run at once on a thread that is busy with other things: writers of every kind, readers of
 * every kind, each answer noted with the sequences that it may be of. The thread is held up at random, so that answers of
 * the engine come early, late, and several at once.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { type Collection, type FountainStore, Index, type Snapshot, StoreError } from '../../index.mjs'
import { Model, type Row, type State } from './model.js'

/** Documents that there can be; more than two pieces of a query. */
export const IDS = 3000
const CITIES = ['Bonn', 'Oslo', 'Rome', 'Lima', 'Kyiv']

type Rows = Collection<Row, number>
type Reader = Pick<Rows, 'find' | 'get' | 'getMany' | 'scan' | 'byIndex' | 'rangeIndex'>

/** Notes an answer: what it is, and whether it fits a state. */
type Heard = (what: string, fits: (state: State) => boolean) => void

/** A fixed pseudo-random sequence (xorshift32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed * 2654435761 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** All clients of one run. */
export class Clients {
  readonly model = new Model()
  readonly #store: FountainStore
  readonly #rows: Rows
  readonly #random: (below: number) => number
  #version = 0

  constructor(store: FountainStore, seed: number) {
    this.#store = store
    this.#rows = store.collection<Row>('rows') as unknown as Rows
    this.#random = randomFrom(seed)
  }

  /** Defines the indexes and puts the first documents. */
  async begin(): Promise<void> {
    const all = Array.from({ length: IDS }, (_, id) => this.#row(id))
    for (let from = 0; from < IDS; from += 500) {
      const puts = all.slice(from, from + 500)
      const { sequence } = await this.#rows.batch(puts.map((put) => ({ put })))
      this.model.note(sequence, { kind: 'write', puts, deletes: [] })
    }
    await this.#rows.define(Index.multi('byCity', 'city'))
    await this.#rows.define(Index.multi('byN', 'n'))
  }

  /** Runs `writers` and `readers` beside each other, each for so many operations. */
  async run(writers: number, readers: number, operations: number): Promise<void> {
    const each = async (work: () => Promise<void>) => {
      for (let n = 0; n < operations; n++) {
        await work()
        this.#holdUp()
      }
    }
    const writing = Array.from({ length: writers }, () => each(() => this.#write()))
    const reading = Array.from({ length: readers }, () => each(() => this.#read()))
    await Promise.all([...writing, ...reading])
  }

  #row(id: number): Row {
    const version = ++this.#version
    const city = this.#city()
    return { id, n: this.#random(1000), city, version, text: 'x'.repeat(this.#random(200)) }
  }

  /** Keeps the thread from everything else for up to three milliseconds, now and then. */
  #holdUp(): void {
    if (this.#random(3) !== 0) return
    const until = performance.now() + this.#random(30) / 10
    while (performance.now() < until);
  }

  async #write(): Promise<void> {
    const id = this.#random(IDS)
    const kind = this.#random(40)
    if (kind < 20) {
      const row = this.#row(id)
      const { sequence } = await this.#rows.put(row)
      this.model.note(sequence, { kind: 'write', puts: [row], deletes: [] })
    } else if (kind < 28) {
      const { sequence } = await this.#rows.delete(id)
      this.model.note(sequence, { kind: 'write', puts: [], deletes: [id] })
    } else if (kind < 34) await this.#batch(id)
    else if (kind < 38) await this.#transaction(id)
    else if (kind < 39) {
      const [city, to] = [this.#city(), 1000 + ++this.#version]
      const since = this.#store.sequence
      const { changed, sequence } = await this.#rows.updateWhere({ city }, { n: to })
      const matches = (row: Row) => row.city === city
      if (sequence !== undefined) this.model.note(sequence, { kind: 'move', matches, since, to, changed })
    } else {
      const from = this.#random(1000)
      const since = this.#store.sequence
      const { changed, sequence } = await this.#rows.deleteWhere({ n: { $gte: from, $lt: from + 5 } })
      const matches = ({ n }: Row) => n >= from && n < from + 5
      if (sequence !== undefined) this.model.note(sequence, { kind: 'clear', matches, since, changed })
    }
  }

  /** Neighbours, some put and some deleted; no document twice. */
  async #batch(first: number): Promise<void> {
    const ids = Array.from({ length: 1 + this.#random(20) }, (_, at) => (first + at) % IDS)
    const puts = ids.filter((id) => id % 3 !== 0).map((id) => this.#row(id))
    const deletes = ids.filter((id) => id % 3 === 0)
    const items = [...puts.map((put) => ({ put })), ...deletes.map((id) => ({ delete: id }))]
    const { sequence } = await this.#rows.batch(items)
    this.model.note(sequence, { kind: 'write', puts, deletes })
  }

  /** Swaps what two documents hold, if both are there. */
  async #transaction(id: number): Promise<void> {
    const other = (id + 1 + this.#random(IDS - 1)) % IDS
    let puts: Row[] = []
    let transaction: { committed: number | undefined } | undefined
    await this.#store.transaction(async (tx) => {
      transaction = tx
      const rows = tx.collection<Row>('rows')
      const [one, two] = await Promise.all([rows.get(id as never), rows.get(other as never)])
      puts = []
      if (one === undefined || two === undefined) return
      puts = [
        { ...one, n: two.n, version: ++this.#version },
        { ...two, n: one.n, version: ++this.#version },
      ]
      for (const row of puts) rows.put(row)
      const seen = await rows.find({ where: { id: { $in: [id, other] } } }).toArray()
      if (seen.length !== 2 || seen.some((row) => !puts.some(({ version }) => version === row.version)))
        throw new Error(`a transaction does not read its own writes of ${id} and ${other}`)
    })
    const sequence = transaction?.committed
    if (puts.length > 0 && sequence !== undefined) this.model.note(sequence, { kind: 'write', puts, deletes: [] })
  }

  /** A read of a snapshot, of the past, or of now. */
  async #read(): Promise<void> {
    const how = this.#random(3)
    if (how === 0) {
      const from = this.#store.sequence
      return this.#ask(this.#rows, (what, fits) => {
        this.model.heard({ what: `${what}, now,`, from, to: this.#store.sequence, fits })
      })
    }
    const snapshot = how === 1 ? this.#store.snapshot() : this.#past()
    const { sequence } = snapshot
    try {
      if (this.#random(2) === 0) await turn()
      const rows = snapshot.collection<Row>('rows') as unknown as Reader
      await this.#ask(rows, (what, fits) => {
        this.model.heard({ what: `${what}, of a snapshot,`, from: sequence, to: sequence, fits })
      })
    } finally {
      await snapshot.close()
    }
  }

  /** A snapshot of a state before the newest one, or of the newest where the past is not kept. */
  #past(): Snapshot {
    try {
      return this.#store.at(Math.max(0, this.#store.sequence - this.#random(10)))
    } catch (error) {
      if (error instanceof StoreError && error.code === 'ERR_HISTORY_TRUNCATED') return this.#store.snapshot()
      throw error
    }
  }

  /** Asks in one of the ways there are. */
  #ask(rows: Reader, heard: Heard): Promise<void> {
    const asks = [
      () => this.#askByKey(rows, heard),
      () => this.#askForAll(rows, heard),
      () => this.#askInOrder(rows, heard),
      () => this.#askForParts(rows, heard),
      () => this.#askByIndex(rows, heard),
      () => this.#askForSome(rows, heard),
    ] as const
    return (asks[this.#random(asks.length)] as (typeof asks)[0])()
  }

  async #askByKey(rows: Reader, heard: Heard): Promise<void> {
    const ids = Array.from({ length: 1 + this.#random(50) }, () => this.#random(IDS))
    const [id, found] = [ids[0] as number, await rows.getMany(ids)]
    heard('getMany', (state) => ids.every((id, at) => sameRow(found[at], state.get(id))))
    const row = await rows.get(id)
    heard(`get of ${id}`, (state) => sameRow(row, state.get(id)))
  }

  async #askForAll(rows: Reader, heard: Heard): Promise<void> {
    if (this.#random(2) === 0) {
      const found = await this.#all(rows.find().pages({ size: 100 + this.#random(1000) }))
      return heard(
        'find',
        like(found, () => true),
      )
    }
    const reverse = this.#random(2) === 0
    const found = await this.#all(rows.scan({ reverse, pageSize: 50 + this.#random(500) }).pages())
    if (found.some(({ id }, at) => at > 0 && id > (found[at - 1] as Row).id === reverse))
      throw new Error('a scan is not in the order of keys')
    heard(
      'scan',
      like(found, () => true),
    )
  }

  async #askInOrder(rows: Reader, heard: Heard): Promise<void> {
    const { low, below, within } = this.#range()
    const where = { n: { $gte: low, $lt: below } }
    const found = await this.#all(rows.find({ where, orderBy: [{ path: 'n' }] }).pages())
    if (found.some(({ n }, at) => at > 0 && n < (found[at - 1] as Row).n)) throw new Error('not in the order asked for')
    heard('an ordered query', like(found, within))
  }

  /** What is no whole document: selected members, a number, different values. */
  async #askForParts(rows: Reader, heard: Heard): Promise<void> {
    const [city, { low }] = [this.#city(), this.#range()]
    const selected = await rows.find({ where: { city } }).select('id', 'version').toArray()
    heard('a selection', (state) => {
      const versions = new Map(
        [...state.values()].filter((row) => row.city === city).map((row) => [row.id, row.version]),
      )
      return selected.length === versions.size && selected.every(({ id, version }) => versions.get(id) === version)
    })
    const count = await rows.find({ where: { city, n: { $gte: low } } }).count()
    heard('a count', (state) => count === [...state.values()].filter((row) => row.city === city && row.n >= low).length)
    const cities = (await rows.find({ where: { n: { $lt: 1000 } } }).distinct('city')).toSorted().join()
    heard('distinct', (state) => {
      const there = new Set([...state.values()].filter(({ n }) => n < 1000).map((row) => row.city))
      return cities === [...there].sort().join()
    })
  }

  async #askByIndex(rows: Reader, heard: Heard): Promise<void> {
    const [city, { low, below, within }] = [this.#city(), this.#range()]
    const equal = await rows.byIndex('byCity' as never, city as never)
    heard(
      'byIndex',
      like(equal, (row) => row.city === city),
    )
    const bounds = { gte: low, lt: below, pageSize: 20 + this.#random(200) }
    heard('rangeIndex', like(await this.#all(rows.rangeIndex('byN' as never, bounds as never).pages()), within))
  }

  async #askForSome(rows: Reader, heard: Heard): Promise<void> {
    const { low, below, within } = this.#range()
    const found: Row[] = []
    for await (const row of rows.find({ where: { n: { $gte: low, $lt: below } }, limit: 700 })) {
      found.push(row)
      if (found.length % 100 === 0) await turn()
    }
    heard('a limited query', (state) => {
      const count = [...state.values()].filter(within).length
      return (
        found.length === Math.min(700, count) && found.every((row) => within(row) && sameRow(row, state.get(row.id)))
      )
    })
  }

  #city(): string {
    return CITIES[this.#random(CITIES.length)] as string
  }

  /** Some values of `n`, and what has one of them. */
  #range() {
    const low = this.#random(1000)
    const below = low + 1 + this.#random(300)
    return { low, below, within: ({ n }: Row) => n >= low && n < below }
  }

  async #all(pages: AsyncIterable<readonly Row[]>): Promise<Row[]> {
    const found: Row[] = []
    for await (const page of pages) {
      found.push(...page)
      this.#holdUp()
      if (this.#random(4) === 0) await turn()
    }
    return found
  }
}

const sameRow = (one: Row | undefined, other: Row | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : one.id === other.id &&
      one.version === other.version &&
      one.n === other.n &&
      one.city === other.city &&
      one.text === other.text

/** Whether the rows found are those of a state that match. */
const like = (found: readonly Row[], matches: (row: Row) => boolean) => (state: State) =>
  sameRows(found, [...state.values()].filter(matches))

/** The same rows, in any order, none twice. */
function sameRows(found: readonly Row[], wanted: readonly Row[]): boolean {
  if (found.length !== wanted.length) return false
  const byId = new Map(wanted.map((row) => [row.id, row]))
  return found.every((row) => sameRow(row, byId.get(row.id)) && byId.delete(row.id))
}
