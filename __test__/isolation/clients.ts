/** Clients of `store.transaction` on lists: one that is led step by step, and many that run beside each other. */
import { setImmediate as turn } from 'node:timers/promises'
import { type FountainStore, type Isolation, StoreError, type Transaction } from '../../index.mjs'
import type { Op, Txn } from './checker.js'

interface List {
  readonly id: string
  readonly values: readonly number[]
}

/** What reads and writes: a transaction, or the store itself, whose reads and writes do not belong together. */
export type Scope = Transaction | FountainStore

const lists = (scope: Scope) => (scope as Transaction).collection<List>('lists')

/** Reads a list and notes it. */
export async function read(scope: Scope, ops: Op[], key: string): Promise<readonly number[]> {
  const list = (await lists(scope).get(key))?.values ?? []
  ops.push({ read: key, list })
  return list
}

/** Makes a list longer and notes it. */
export async function append(scope: Scope, ops: Op[], key: string, value: number): Promise<void> {
  const values = (await lists(scope).get(key))?.values ?? []
  await lists(scope).put({ id: key, values: [...values, value] })
  ops.push({ append: key, value })
}

/** Moments in the order in which they are asked for. */
export class Clock {
  #now = 0

  tick(): number {
    return ++this.#now
  }
}

const GIVEN_UP = new Error('given up')

/** A transaction that is led step by step, and ends when it is told to. */
export class Led {
  readonly ops: Op[] = []
  readonly #begin: number
  readonly #clock: Clock
  readonly #ended: Promise<boolean>
  #transaction: Transaction | undefined
  #finish: (error?: Error) => void = () => undefined

  private constructor(store: FountainStore, isolation: Isolation, clock: Clock, begun: () => void) {
    this.#clock = clock
    this.#begin = clock.tick()
    const run = async (transaction: Transaction): Promise<void> => {
      this.#transaction = transaction
      begun()
      await new Promise<void>((resolve, reject) => {
        this.#finish = (error) => (error ? reject(error) : resolve())
      })
    }
    this.#ended = outcome(store.transaction(run, { isolation, retries: 0 }))
  }

  static async begin(store: FountainStore, isolation: Isolation, clock: Clock): Promise<Led> {
    let led: Led | undefined
    await new Promise<void>((resolve) => {
      led = new Led(store, isolation, clock, resolve)
    })
    return led as unknown as Led
  }

  read(key: string): Promise<readonly number[]> {
    return read(this.#transaction as Transaction, this.ops, key)
  }

  append(key: string, value: number): Promise<void> {
    return append(this.#transaction as Transaction, this.ops, key, value)
  }

  /** Ends it; what it was. */
  async end(commit: boolean): Promise<Txn> {
    this.#finish(commit ? undefined : GIVEN_UP)
    const committed = await this.#ended
    return { begin: this.#begin, end: this.#clock.tick(), committed, ops: this.ops }
  }
}

/** Whether a transaction committed; only a conflict, or being given up, may keep it from that. */
async function outcome(running: Promise<unknown>): Promise<boolean> {
  try {
    await running
    return true
  } catch (error) {
    if (error === GIVEN_UP || (error instanceof StoreError && error.code === 'ERR_CONFLICT')) return false
    throw error
  }
}

/** Chance that can be repeated: a linear congruential generator. */
export function chance(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const CLIENTS = 6
const LISTS = 4
/** Transactions after which other lists are used. */
const PERIOD = 40

/**
 * The history of clients that take turns at chance. Without an isolation they read and write the store itself, as a program
 * does that knows no transactions.
 */
export async function history(
  store: FountainStore,
  isolation: Isolation | undefined,
  transactions: number,
  random: (below: number) => number,
): Promise<Txn[]> {
  const [clock, txns] = [new Clock(), [] as Txn[]]
  let [values, begun] = [0, 0]
  const one = async (): Promise<void> => {
    const base = Math.floor(begun++ / PERIOD) * LISTS
    const [begin, ops, steps] = [clock.tick(), [] as Op[], 1 + random(4)]
    const run = async (scope: Scope): Promise<void> => {
      for (let step = 0; step < steps; step++) {
        const key = `${base + random(LISTS)}`
        if (random(2) === 0) await read(scope, ops, key)
        else await append(scope, ops, key, ++values)
        if (random(2) === 0) await turn()
      }
    }
    const running = isolation ? store.transaction(run, { isolation, retries: 0 }) : run(store)
    txns.push({ begin, committed: await outcome(running), end: clock.tick(), ops })
    if (random(20) === 0) await store.flush()
  }
  const client = async (): Promise<void> => {
    while (begun < transactions) await one()
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  const [begin, ops] = [clock.tick(), [] as Op[]]
  for (let key = 0; key < (Math.floor(begun / PERIOD) + 1) * LISTS; key++) await read(store, ops, `${key}`)
  txns.push({ begin, end: clock.tick(), committed: true, ops })
  return txns
}
