/**
 * What a query finds, in larger and larger pieces, so that few queries run and the first answer comes soon.
 *
 * Who asks for a second piece will ask for a third. So from the second one on, the next piece is asked for as soon as it is
 * known where it begins: before the piece at hand is unpacked, and the engine finds one while this thread unpacks the other.
 * Never more than one piece is found that nobody has asked for, and in a transaction none: what it writes meanwhile must be
 * in the next piece.
 */
/**
 * Asks for up to `limit` documents behind `cursor`. Calls `found` with where the next piece begins and the number of documents
 * before it unpacks them.
 */
export type AskPiece = (
  limit: number,
  cursor: string | undefined,
  found: (next: string | null, records: number) => void,
) => Promise<unknown[]>

/** How pieces are to be cut. */
export interface PiecePlan {
  /** Documents of the first piece. */
  readonly first: number
  /** Most documents of a piece; each has up to twice as many as the one before. */
  readonly most: number
  /** Most documents of all together. */
  readonly limit: number
  /** Behind what the first begins. */
  readonly cursor: string | undefined
  /** Whether pieces may be found that nobody has asked for yet. */
  readonly mayGoAhead: boolean
}

/** The pieces of one query. */
export class Pieces {
  readonly #ask: AskPiece
  readonly #most: number
  readonly #mayGoAhead: boolean
  #size: number
  #left: number
  /** Behind which the next piece begins that nobody has asked the engine for; null at the end. */
  #cursor: string | undefined | null
  /** The piece that is being found, or was found before anybody asked for it. */
  #ahead: Promise<unknown[]> | undefined
  /** How many pieces were asked for; the newest has this number. */
  #asked = 0
  /** The newest piece that was found. */
  #found = 0
  /** The piece that somebody waits for, or 0. The one behind it may be found before that wait is over. */
  #awaited = 0
  #isFirst = true

  /** Pieces that `ask` finds, of the sizes that `plan` has. */
  constructor(ask: AskPiece, plan: PiecePlan) {
    this.#ask = ask
    this.#most = plan.most
    this.#size = Math.min(plan.first, plan.most)
    this.#left = plan.limit
    this.#cursor = plan.limit > 0 ? plan.cursor : null
    this.#mayGoAhead = plan.mayGoAhead
  }

  /** The next piece, or undefined at the end. */
  async next(): Promise<unknown[] | undefined> {
    const piece = this.#ahead ?? (this.#cursor === null ? undefined : this.#fetch(this.#cursor))
    if (piece === undefined) return undefined
    this.#awaited = this.#asked
    if (this.#found === this.#asked) this.#goOn()
    const items = await piece
    this.#awaited = 0
    // Otherwise the next one is on its way.
    if (this.#ahead === piece) this.#ahead = undefined
    if (this.#ahead === undefined) this.#goOn()
    this.#isFirst = false
    return items
  }

  /** Ends it; `done` is called when nothing is read any more, which may be later. */
  end(done: () => void): void {
    this.#cursor = null
    this.#awaited = 0
    if (this.#ahead === undefined) done()
    else this.#ahead.then(done, done)
  }

  #goOn(): void {
    if (this.#cursor !== null && this.#mayGoAhead && !this.#isFirst) this.#fetch(this.#cursor)
  }

  #fetch(cursor: string | undefined): Promise<unknown[]> {
    const limit = Math.min(this.#size, this.#left)
    this.#size = Math.min(2 * this.#size, this.#most)
    const number = ++this.#asked
    const piece = this.#ask(limit, cursor, (next, records) => {
      this.#found = number
      this.#left -= records
      this.#cursor = this.#left > 0 ? next : null
      if (this.#awaited === number) this.#goOn()
    })
    // Whoever goes on hears of a failure; whoever has enough need not.
    piece.catch(() => {})
    this.#ahead = piece
    return piece
  }
}
