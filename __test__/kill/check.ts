/** The store after a kill, compared with what its children had been promised. */
import assert from 'node:assert/strict'
import { FountainStore } from '../../index.mjs'
import type { Snapshot } from '../../lib/snapshot.js'
import type { Ledger } from './ledger.ts'
import { apply, COLLECTIONS, COUNTERS, changes, type Document, type Script, type State } from './script.mjs'

/** States of earlier rounds that are compared again after each later one. */
const REMEMBERED = 3
/** Acknowledged commits of a lane that are looked for at their sequence. */
const SAMPLE = 40

/** One round of one store. */
export interface Round {
  readonly scripts: readonly Script[]
  readonly ledger: Ledger
  /** Whether the last thing that happened to the store was a close. */
  readonly isClean: boolean
}

/** What one store must hold; it grows with each round. */
export class Expectation {
  readonly #path: string
  #state: State = new Map()
  #sequence = 0
  #exists = false
  readonly #earlier: [sequence: number, state: State][] = []

  /** For the store at `path`, which does not exist yet. */
  constructor(path: string) {
    this.#path = path
  }

  /** Opens the store and compares everything. Returns how many commits of the round it holds. */
  async check({ scripts, ledger, isClean }: Round): Promise<number> {
    const store = await FountainStore.open(this.#path)
    try {
      this.#checkRecovery(store, ledger, isClean)
      using newest = store.snapshot()
      const counts = await this.#counts(newest, scripts)
      let commits = 0
      for (const [index, script] of scripts.entries()) {
        const count = counts[index] as number
        const { begun, acknowledged } = ledger.lanes.get(script.lane) ?? { begun: 0, acknowledged: 0 }
        assert(
          count >= acknowledged,
          `lane ${script.lane}: ${acknowledged} commits were acknowledged, ${count} are there`,
        )
        assert(count <= begun, `lane ${script.lane}: ${begun} commits were begun, ${count} are there`)
        commits += count
        for (let k = 1; k <= count; k++) apply(script, k, this.#state)
      }
      assert.equal(this.#sequence + commits, store.sequence, 'the sequences have a hole')
      assert.deepEqual(await read(newest), this.#state, 'the newest state')
      await this.#checkDropped(store, scripts, counts)
      await this.#checkHistory(store, scripts, ledger)
      this.#sequence = store.sequence
      this.#earlier.push([store.sequence, new Map(this.#state)])
      if (this.#earlier.length > REMEMBERED) this.#earlier.shift()
      return commits
    } finally {
      await store.close()
    }
  }

  #checkRecovery(store: FountainStore, ledger: Ledger, isClean: boolean): void {
    const { created, clean, replayedCommits, discarded, quarantined } = store.recovery
    this.#exists ||= ledger.hasOpened
    assert(!(created && this.#exists), 'it was created anew')
    assert(clean || !isClean, `it had been closed, and is not clean: ${JSON.stringify(store.recovery)}`)
    assert.deepEqual(quarantined, [])
    assert(replayedCommits <= store.sequence)
    for (const { path, bytes, reason } of discarded) {
      assert(path.startsWith(this.#path) && bytes > 0 && reason !== '', JSON.stringify(store.recovery))
    }
    this.#exists = true
  }

  /** A collection that was dropped by the last commit of all is not there any more, and neither is its name. */
  async #checkDropped(store: FountainStore, scripts: readonly Script[], counts: readonly number[]): Promise<void> {
    const [script] = scripts
    const [last = 0] = counts
    if (script?.drops !== true || last === 0) return
    const names = await store.collections()
    for (const key of this.#state.keys()) assert(names.includes(JSON.parse(key)[0]), `${key} is of no collection`)
    for (const { collection, drop, put } of changes(script, last)) {
      if (drop || put) assert.equal(names.includes(collection), put !== undefined, `${collection} after commit ${last}`)
    }
  }

  /** How many commits of the round each lane has made: by its counter, or, without one, by the sequence. */
  async #counts(newest: Snapshot, scripts: readonly Script[]): Promise<number[]> {
    const counters = newest.collection<Document>(COUNTERS)
    const count = async ({ lane, round, single }: Script) => {
      if (single) return newest.sequence - this.#sequence
      const counter = await counters.get(lane)
      return counter?.round === round ? counter.k : 0
    }
    return Promise.all(scripts.map(count))
  }

  /** Acknowledged commits are seen at their sequences, and earlier states are what they were. */
  async #checkHistory(store: FountainStore, scripts: readonly Script[], ledger: Ledger): Promise<void> {
    for (const script of scripts) {
      const { sequences } = ledger.lanes.get(script.lane) ?? { sequences: [] }
      const every = Math.max(1, Math.ceil(sequences.length / SAMPLE))
      for (const [k, sequence] of sequences.filter((_, index) => index % every === 0)) {
        using then = store.at(sequence)
        const expected: State = new Map()
        apply(script, k, expected)
        for (const [key, document] of expected) {
          const [collection, id] = JSON.parse(key)
          assert.deepEqual(await then.collection<Document>(collection).get(id), document, `at ${sequence}`)
        }
      }
    }
    for (const [sequence, state] of this.#earlier) {
      using then = store.at(sequence)
      assert.deepEqual(await read(then), state, `the state at ${sequence}`)
    }
  }
}

/** Everything in the collections of the scripts. */
async function read(at: Snapshot): Promise<State> {
  const state: State = new Map()
  for (const name of [...COLLECTIONS, COUNTERS]) {
    for await (const document of at.collection<Document>(name).scan()) {
      state.set(JSON.stringify([name, document.id]), document)
    }
  }
  return state
}
