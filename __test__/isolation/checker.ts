/**
 * Finds what is wrong with a history of transactions on lists, from what they read alone, after Elle (Kingsbury, Alvaro:
 * "Elle: Inferring Isolation Anomalies from Experimental Observations", 2020). Every number is appended once; so the
 * longest read of a list is the order of its versions, a read shows which writes it saw, and each anomaly is a cycle of
 * dependencies or plain to see. Shares nothing with the store, nor with the checker of the simulator.
 */

/** A read of a whole list, or an append of a number that is never used again. */
export type Op =
  | { readonly read: string; readonly list: readonly number[] }
  | { readonly append: string; readonly value: number }

/** A transaction as its client saw it; `begin` and `end` are moments of one clock. */
export interface Txn {
  readonly begin: number
  readonly end: number
  readonly committed: boolean
  readonly ops: readonly Op[]
}

/**
 * What can be wrong: two reads that do not agree on the order of a list; a number twice or from nowhere; own appends not
 * seen; an acknowledged append lost; a read of what was aborted (G1a) or of what was not final (G1b); a cycle that
 * snapshot isolation forbids; any other cycle, such as write skew (G2).
 */
export type Anomaly = 'order' | 'garbage' | 'internal' | 'lost' | 'G1a' | 'G1b' | 'cycle' | 'G2'

/** A dependency: a write before a write or read of it and real time are plain, a read before the next write is not. */
interface Edge {
  readonly to: number
  readonly anti: boolean
}

/** Everything that is wrong, each kind once, with an example. */
export function anomalies(history: readonly Txn[]): Map<Anomaly, string> {
  return new Checker(history).check()
}

class Checker {
  readonly #history: readonly Txn[]
  readonly #writers = new Map<number, { readonly by: number; readonly key: string; readonly last: boolean }>()
  readonly #orders = new Map<string, readonly number[]>()
  readonly #found = new Map<Anomaly, string>()

  constructor(history: readonly Txn[]) {
    this.#history = history
  }

  check(): Map<Anomaly, string> {
    for (const [by, txn] of this.#history.entries()) this.#noteWriters(by, txn)
    for (const { key, list } of this.#reads()) {
      if (list.length > (this.#orders.get(key)?.length ?? -1)) this.#orders.set(key, list)
    }
    for (const { by, key, list } of this.#reads()) this.#checkRead(by, key, list)
    for (const [by, txn] of this.#history.entries()) if (!seesItself(txn)) this.#add('internal', `transaction ${by}`)
    this.#checkLost()
    const edges = this.#edges()
    if (hasCycle(withoutPairs(edges))) this.#add('cycle', 'a cycle without two reads before writes in a row')
    else if (hasCycle(edges.map((out) => out.map(({ to }) => to)))) this.#add('G2', 'a cycle of reads before writes')
    return this.#found
  }

  #add(kind: Anomaly, what: string): void {
    if (!this.#found.has(kind)) this.#found.set(kind, what)
  }

  #noteWriters(by: number, { ops }: Txn): void {
    for (const [place, op] of ops.entries()) {
      if (!('append' in op)) continue
      const last = !ops.slice(place + 1).some((later) => 'append' in later && later.append === op.append)
      if (this.#writers.has(op.value)) this.#add('garbage', `${op.value} is appended twice`)
      this.#writers.set(op.value, { by, key: op.append, last })
    }
  }

  /** What committed transactions read before they appended to the list themselves. */
  *#reads(): Generator<{ by: number; key: string; list: readonly number[] }> {
    for (const [by, { committed, ops }] of this.#history.entries()) {
      const own = new Set<string>()
      for (const op of committed ? ops : []) {
        if ('append' in op) own.add(op.append)
        else if (!own.has(op.read)) yield { by, key: op.read, list: op.list }
      }
    }
  }

  #checkRead(by: number, key: string, list: readonly number[]): void {
    const order = this.#orders.get(key) ?? []
    if (list.some((value, place) => value !== order[place])) this.#add('order', `list ${key} in transaction ${by}`)
    if (new Set(list).size < list.length) this.#add('garbage', `a number twice in list ${key}`)
    for (const [place, value] of list.entries()) {
      const writer = this.#writers.get(value)
      if (writer?.key !== key) this.#add('garbage', `${value} in list ${key} was never appended`)
      else if (!this.#history[writer.by]?.committed) this.#add('G1a', `${value} in list ${key}, read by ${by}`)
      else if (place === list.length - 1 && !writer.last) this.#add('G1b', `${value} in list ${key}, read by ${by}`)
    }
  }

  #checkLost(): void {
    const lastRead = new Map<string, number>()
    for (const { by, key } of this.#reads()) {
      lastRead.set(key, Math.max(lastRead.get(key) ?? 0, this.#history[by]?.begin ?? 0))
    }
    for (const [value, { by, key }] of this.#writers) {
      const txn = this.#history[by]
      const isRead = (lastRead.get(key) ?? 0) > (txn?.end ?? 0)
      if (txn?.committed && isRead && !this.#orders.get(key)?.includes(value)) {
        this.#add('lost', `${value} in list ${key}, appended by ${by}`)
      }
    }
  }

  #edges(): Edge[][] {
    const edges: Edge[][] = this.#history.map(() => [])
    const add = (from: number | undefined, to: number | undefined, anti: boolean) => {
      if (from !== undefined && to !== undefined && from !== to) edges[from]?.push({ to, anti })
    }
    const writer = (value: number | undefined) => (value === undefined ? undefined : this.#writers.get(value)?.by)
    for (const order of this.#orders.values()) {
      for (const [place, value] of order.entries()) add(writer(value), writer(order[place + 1]), false)
    }
    for (const { by, key, list } of this.#reads()) {
      add(writer(list.at(-1)), by, false)
      add(by, writer(this.#orders.get(key)?.[list.length]), true)
    }
    for (const [from, a] of this.#history.entries()) {
      for (const [to, b] of this.#history.entries())
        if (a.committed && b.committed && a.end < b.begin) add(from, to, false)
    }
    return edges
  }
}

/** Within a transaction a list is what it was, and what was appended since. */
function seesItself({ ops }: Txn): boolean {
  const known = new Map<string, { before?: readonly number[]; own: number[] }>()
  for (const op of ops) {
    const key = 'append' in op ? op.append : op.read
    const now = known.get(key) ?? { own: [] }
    known.set(key, now)
    if ('append' in op) {
      now.own.push(op.value)
      continue
    }
    const expected = [...(now.before ?? op.list.slice(0, op.list.length - now.own.length)), ...now.own]
    if (expected.join() !== op.list.join()) return false
    known.set(key, { before: op.list, own: [] })
  }
  return true
}

/** The graph in which a read before a write cannot follow another: each node twice, odd where it was reached by one. */
function withoutPairs(edges: readonly (readonly Edge[])[]): number[][] {
  return edges.flatMap((out) => {
    const all = out.map(({ to, anti }) => to * 2 + (anti ? 1 : 0))
    return [all, all.filter((place) => place % 2 === 0)]
  })
}

/** Whether nodes are left when those that nothing leads to are taken away, again and again. */
function hasCycle(graph: readonly (readonly number[])[]): boolean {
  const into = graph.map(() => 0)
  for (const out of graph) for (const to of out) into[to] = (into[to] ?? 0) + 1
  const free = [...into.keys()].filter((node) => into[node] === 0)
  let left = graph.length
  for (let node = free.pop(); node !== undefined; node = free.pop()) {
    left--
    for (const to of graph[node] ?? []) if (--(into[to] as number) === 0) free.push(to)
  }
  return left > 0
}
