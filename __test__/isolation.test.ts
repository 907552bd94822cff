/**
 * Isolation through the facade: the ten schedules of Hermitage end as they should on both levels, histories of many clients
 * are what each level promises, and what is broken is found.
 */
import test, { type ExecutionContext } from 'ava'
import type { FountainStore, Isolation } from '../index.mjs'
import { anomalies, type Op, type Txn } from './isolation/checker.js'
import { Clock, chance, history, Led, read } from './isolation/clients.js'
import { newStore } from './support.js'

/** A step of a schedule: who, what, and on which list; a predicate is a read of all lists. */
type Step = readonly [number, 'read' | 'append' | 'all' | 'commit' | 'abort', string?, number?]

interface Row {
  readonly name: string
  readonly steps: readonly Step[]
  /** Which transactions commit on each level. */
  readonly snapshot: readonly boolean[]
  readonly serializable: readonly boolean[]
}

// biome-ignore format: a row is read as a schedule
const ROWS: readonly Row[] = [
  { name: 'G0', snapshot: [true, false], serializable: [true, false],
    steps: [[0, 'append', 'x', 11], [1, 'append', 'x', 12], [0, 'append', 'y', 21], [0, 'commit'], [1, 'append', 'y', 22], [1, 'commit']] },
  { name: 'G1a', snapshot: [false, true], serializable: [false, true],
    steps: [[0, 'append', 'x', 11], [1, 'read', 'x'], [0, 'abort'], [1, 'read', 'x'], [1, 'commit']] },
  { name: 'G1b', snapshot: [true, true], serializable: [true, true],
    steps: [[0, 'append', 'x', 11], [1, 'read', 'x'], [0, 'append', 'x', 12], [0, 'commit'], [1, 'read', 'x'], [1, 'commit']] },
  { name: 'G1c', snapshot: [true, true], serializable: [true, false],
    steps: [[0, 'append', 'x', 11], [1, 'append', 'y', 22], [0, 'read', 'y'], [1, 'read', 'x'], [0, 'commit'], [1, 'commit']] },
  { name: 'OTV', snapshot: [true, false, true], serializable: [true, false, true],
    steps: [[0, 'append', 'x', 11], [0, 'append', 'y', 21], [1, 'append', 'x', 12], [0, 'commit'], [2, 'read', 'x'],
      [1, 'append', 'y', 22], [2, 'read', 'y'], [1, 'commit'], [2, 'read', 'x'], [2, 'commit']] },
  { name: 'PMP', snapshot: [true, true], serializable: [true, true],
    steps: [[0, 'all'], [1, 'append', 'z', 31], [1, 'commit'], [0, 'all'], [0, 'commit']] },
  { name: 'P4', snapshot: [true, false], serializable: [true, false],
    steps: [[0, 'read', 'x'], [1, 'read', 'x'], [0, 'append', 'x', 11], [1, 'append', 'x', 12], [0, 'commit'], [1, 'commit']] },
  { name: 'G-single', snapshot: [true, true], serializable: [true, true],
    steps: [[0, 'read', 'x'], [1, 'append', 'x', 12], [1, 'append', 'y', 22], [1, 'commit'], [0, 'read', 'y'], [0, 'commit']] },
  { name: 'G2-item', snapshot: [true, true], serializable: [true, false],
    steps: [[0, 'read', 'x'], [0, 'read', 'y'], [1, 'read', 'x'], [1, 'read', 'y'], [0, 'append', 'x', 11], [1, 'append', 'y', 22],
      [0, 'commit'], [1, 'commit']] },
  { name: 'G2', snapshot: [true, true], serializable: [true, false],
    steps: [[0, 'all'], [1, 'all'], [0, 'append', 'z', 31], [1, 'append', 'w', 42], [0, 'commit'], [1, 'commit']] },
]

const LISTS = ['w', 'x', 'y', 'z']
/** The schedules that snapshot isolation lets pass though no order of the transactions explains them. */
const SKEWED = ['G1c', 'G2-item', 'G2']

/** Leads the transactions of a row; its history ends with a read of everything. */
async function lead(store: FountainStore, { steps, snapshot }: Row, isolation: Isolation): Promise<Txn[]> {
  const clock = new Clock()
  const clients = await Promise.all(snapshot.map(() => Led.begin(store, isolation, clock)))
  const ended: Txn[] = []
  for (const [who, what, key = '', value = 0] of steps) {
    const client = clients[who] as Led
    if (what === 'read') await client.read(key)
    else if (what === 'all') for (const list of LISTS) await client.read(list)
    else if (what === 'append') await client.append(key, value)
    else ended[who] = await client.end(what === 'commit')
  }
  const [begin, ops] = [clock.tick(), [] as Op[]]
  for (const list of LISTS) await read(store, ops, list)
  return [...ended, { begin, end: clock.tick(), committed: true, ops }]
}

for (const row of ROWS) {
  test(`schedule ${row.name} ends as it should on both levels`, async (t) => {
    for (const isolation of ['snapshot', 'serializable'] as const) {
      const txns = await lead(await newStore(t), row, isolation)
      const committed = txns.slice(0, -1).map((txn) => txn.committed)
      t.deepEqual(committed, row[isolation], isolation)
      const skew = isolation === 'snapshot' && SKEWED.includes(row.name)
      t.deepEqual([...anomalies(txns).keys()], skew ? ['G2'] : [], isolation)
    }
  })
}

const TRANSACTIONS = 400

async function checked(
  t: ExecutionContext,
  isolation: Isolation | undefined,
  seed: number,
): Promise<Map<string, string>> {
  const txns = await history(await newStore(t), isolation, TRANSACTIONS, chance(seed))
  const aborted = txns.filter(({ committed }) => !committed).length
  t.true(txns.length > TRANSACTIONS && (isolation === undefined || aborted > TRANSACTIONS / 20), `${aborted} conflicts`)
  return anomalies(txns)
}

test('many clients see snapshot isolation, write skew included, and nothing else', async (t) => {
  let skewed = 0
  for (const seed of [1, 2, 3]) {
    const found = await checked(t, 'snapshot', seed)
    skewed += Number(found.delete('G2'))
    t.deepEqual([...found], [], `seed ${seed}`)
  }
  t.true(skewed > 0, 'the lists are not hot enough for write skew')
})

test('many clients see one order when serializable', async (t) => {
  for (const seed of [1, 2, 3]) t.deepEqual([...(await checked(t, 'serializable', seed))], [], `seed ${seed}`)
})

test('without transactions appends are lost, and the checker finds it', async (t) => {
  const found = await checked(t, undefined, 1)
  t.true(found.has('lost') || found.has('order') || found.has('cycle'), [...found.keys()].join())
})

/** Transactions one after the other, committed unless their operations begin with a null. */
function told(...txns: (Op | null)[][]): Txn[] {
  return txns.map((ops, index) => ({
    begin: index * 2 + 1,
    end: index * 2 + 2,
    committed: ops[0] !== null,
    ops: ops.filter((op) => op !== null),
  }))
}

/** As if all had run beside each other. */
const beside = (...txns: (Op | null)[][]): Txn[] => told(...txns).map((txn) => ({ ...txn, begin: 0, end: 100 }))
const r = (key: string, ...list: number[]): Op => ({ read: key, list })
const a = (key: string, value: number): Op => ({ append: key, value })

// biome-ignore format: one history a line
const BROKEN: [string, Txn[]][] = [
  ['order', beside([a('x', 1)], [a('x', 2)], [r('x', 1, 2)], [r('x', 2)])],
  ['garbage', beside([r('x', 7)])],
  ['garbage', beside([a('x', 1)], [r('x', 1, 1)])],
  ['internal', beside([a('x', 1), r('x')])],
  ['lost', told([a('x', 1)], [r('x')])],
  ['G1a', beside([null, a('x', 1)], [r('x', 1)])],
  ['G1b', beside([a('x', 1), a('x', 2)], [r('x', 1)])],
  ['cycle', beside([a('x', 1), a('y', 2)], [a('x', 3), a('y', 4)], [r('x', 1, 3)], [r('y', 4, 2)])],
  ['cycle', beside([r('x'), r('y', 2)], [a('x', 1), a('y', 2)], [r('x', 1)])],
  ['cycle', told([a('x', 1)], [r('x', 1)], [r('x')])],
  ['G2', beside([r('x'), a('y', 2)], [r('y'), a('x', 1)], [r('x', 1), r('y', 2)])],
]

test('every kind of anomaly is found, and a good history has none', (t) => {
  for (const [kind, txns] of BROKEN)
    t.true((anomalies(txns) as Map<string, string>).has(kind), `${kind}: ${JSON.stringify(txns)}`)
  t.deepEqual([...anomalies(told([a('x', 1)], [r('x', 1), a('x', 2)], [r('x', 1, 2), a('y', 3)], [r('y', 3)]))], [])
})
