/**
 * What a store must hold at every sequence, worked out after the fact from what its clients were told: each acknowledged
 * commit is one change of the whole state. Shares no code with the store.
 *
 * What always holds: an answer that was given for a span of sequences is judged by the states within that span, one of which
 * it must fit as a whole, however it was found. A snapshot's span is one sequence.
 */

/** A document of these tests; `version` is never used twice. */
export interface Row {
  readonly id: number
  readonly n: number
  readonly city: string
  readonly version: number
  readonly text: string
}

/** What a commit did, as its client knows it. */
export type Done =
  | { readonly kind: 'write'; readonly puts: readonly Row[]; readonly deletes: readonly number[] }
  | (Where & { readonly kind: 'move'; readonly to: number })
  | (Where & { readonly kind: 'clear' })

/**
 * A change of all that match. Which those are was found at a moment not before `since`; what others made match after that
 * moment is not among them.
 */
interface Where {
  readonly matches: (row: Row) => boolean
  readonly since: number
  readonly changed: number
}

/** The documents by their ids. */
export type State = ReadonlyMap<number, Row>

/** An answer: the sequences whose states it may be of, and whether it fits one. */
export interface Answer {
  readonly what: string
  readonly from: number
  readonly to: number
  readonly fits: (state: State) => boolean
}

/** One change of a document, as a watcher sees it: the version that was put, or undefined for a deletion. */
export interface Step {
  readonly sequence: number
  readonly id: number
  readonly version: number | undefined
}

/** A history of commits and of what was read meanwhile. */
export class Model {
  readonly #commits = new Map<number, Done>()
  readonly #answers: Answer[] = []
  readonly #steps: Step[] = []
  readonly #wrong: string[] = []
  /** The last commit that wrote a document. */
  readonly #written = new Map<number, number>()

  /** Notes an acknowledged commit. */
  note(sequence: number, done: Done): void {
    if (this.#commits.has(sequence)) this.#wrong.push(`two commits were told that they are number ${sequence}`)
    this.#commits.set(sequence, done)
  }

  /** The newest commit that was noted. */
  get newest(): number {
    return Math.max(...this.#commits.keys())
  }

  /** Notes what was read. */
  heard(answer: Answer): void {
    this.#answers.push(answer)
  }

  /**
   * Everything that is wrong with the history, and the changes in the order in which a watcher must see them. What the
   * watcher saw says which documents a change of all that match found.
   */
  judge(seen: readonly Step[]): { wrong: readonly string[]; steps: readonly Step[]; answers: number; commits: number } {
    const sequences = [...this.#commits.keys()].sort((a, b) => a - b)
    let open = [...this.#answers]
    const judgeFor = (state: State, from: number, to: number): void => {
      open = open.filter((answer) => {
        if (answer.to < from) this.#wrong.push(`${answer.what} fits no state from ${answer.from} to ${answer.to}`)
        if (answer.to < from) return false
        return answer.from > to || !answer.fits(state)
      })
    }
    const state = new Map<number, Row>()
    const saw = new Map<number, number[]>()
    for (const { sequence, id } of seen) saw.set(sequence, [...(saw.get(sequence) ?? []), id])
    judgeFor(state, 0, (sequences[0] ?? Number.MAX_SAFE_INTEGER) - 1)
    for (const [at, sequence] of sequences.entries()) {
      this.#apply(sequence, this.#commits.get(sequence) as Done, state, saw.get(sequence) ?? [])
      judgeFor(state, sequence, (sequences[at + 1] ?? Number.MAX_SAFE_INTEGER) - 1)
    }
    for (const { what, from, to } of open) this.#wrong.push(`${what} fits no state from ${from} to ${to}`)
    const [answers, commits] = [this.#answers.length, sequences.length]
    return { wrong: this.#wrong, steps: this.#steps, answers, commits }
  }

  #apply(sequence: number, done: Done, state: Map<number, Row>, saw: readonly number[]): void {
    if (done.kind === 'write') {
      for (const id of done.deletes) this.#step(sequence, id, undefined, state)
      for (const row of done.puts) this.#step(sequence, row.id, row, state)
      return
    }
    this.#checkFound(sequence, done, state, new Set(saw))
    for (const id of saw) {
      const row = state.get(id)
      if (row !== undefined) this.#step(sequence, id, done.kind === 'move' ? { ...row, n: done.to } : undefined, state)
    }
  }

  #checkFound(sequence: number, { matches, since, changed, kind }: Where & Done, state: State, saw: Set<number>): void {
    const wrong = (what: string) => this.#wrong.push(`${kind} at ${sequence} ${what}`)
    if (saw.size !== changed) wrong(`was told that it changed ${changed} documents, ${saw.size} did change`)
    for (const id of saw) {
      const row = state.get(id)
      if (row === undefined || !matches(row)) wrong(`changed ${id}, which does not match`)
    }
    for (const row of state.values()) {
      if (matches(row) && !saw.has(row.id) && (this.#written.get(row.id) ?? 0) <= since)
        wrong(`left out ${row.id}, which matched before it was called`)
    }
  }

  #step(sequence: number, id: number, row: Row | undefined, state: Map<number, Row>): void {
    this.#steps.push({ sequence, id, version: row?.version })
    this.#written.set(id, sequence)
    if (row === undefined) state.delete(id)
    else state.set(id, row)
  }
}
