/**
 * What a query finds, in larger and larger pieces, so that few queries run and the first answer comes soon.
 *
 * Who asks for a second piece will ask for a third. So from the second one on, the next piece is asked for as soon as it is
 * known where it begins: before the piece at hand is unpacked, and the engine finds one while this thread unpacks the other.
 * Never more than one piece is found that nobody has asked for.
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

/** The pieces of one query. */
export class Pieces {
  readonly #ask: AskPiece
  readonly #most: number
  #size: number
  #left: number
  /** Behind which the next piece begins that nobody has asked the engine for; null at the end. */
  #cursor: string | undefined | null
  /** The piece that is being found, or was found before anybody asked for it. */
  #ahead: Promise<unknown[]> | undefined
  /** Whether somebody waits for it. */
  #isAwaited = false
  #isFirst = true

  /** The first piece has up to `size` documents, the later ones up to `most`, all together up to `limit`, from `cursor` on. */
  constructor(ask: AskPiece, size: number, most: number, limit: number, cursor: string | undefined) {
    this.#ask = ask
    this.#most = most
    this.#size = Math.min(size, most)
    this.#left = limit
    this.#cursor = limit > 0 ? cursor : null
  }

  /** The next piece, or undefined at the end. */
  async next(): Promise<unknown[] | undefined> {
    const piece = this.#ahead ?? (this.#cursor === null ? undefined : this.#fetch(this.#cursor))
    if (piece === undefined) return undefined
    this.#isAwaited = true
    const items = await piece
    this.#isAwaited = false
    // Otherwise the next one is on its way.
    if (this.#ahead === piece) this.#ahead = undefined
    if (this.#ahead === undefined) this.#goOn()
    this.#isFirst = false
    return items
  }

  /** Waits for what nobody will ask for any more. */
  async end(): Promise<void> {
    await this.#ahead?.catch(() => {})
  }

  #goOn(): void {
    if (this.#cursor !== null && !this.#isFirst) this.#fetch(this.#cursor)
  }

  #fetch(cursor: string | undefined): Promise<unknown[]> {
    const limit = Math.min(this.#size, this.#left)
    this.#size = Math.min(2 * this.#size, this.#most)
    const piece = this.#ask(limit, cursor, (next, records) => {
      this.#left -= records
      this.#cursor = this.#left > 0 ? next : null
      if (this.#isAwaited) this.#goOn()
    })
    // Whoever goes on hears of a failure; whoever has enough need not.
    piece.catch(() => {})
    this.#ahead = piece
    return piece
  }
}
