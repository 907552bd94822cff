/** What the demo did and how fast: told step by step, and closed with a table or one JSON object. */

/** One line of the closing table. */
export interface Row {
  readonly what: string
  /** How many records, reads or rounds. */
  readonly count: number
  readonly milliseconds: number
}

export class Report {
  readonly #json: boolean
  readonly #rows: Row[] = []
  readonly #facts: Record<string, unknown> = {}

  constructor(json: boolean) {
    this.#json = json
  }

  /** Tells one line of the story. */
  tell(line: string): void {
    if (!this.#json) console.log(line)
  }

  /** Adds a line to the closing table. */
  add(what: string, count: number, milliseconds: number): void {
    this.#rows.push({ what, count, milliseconds })
  }

  /** Runs some work that returns how many it did, and adds its line. */
  async time(what: string, work: () => Promise<number> | number): Promise<void> {
    const started = performance.now()
    const count = await work()
    this.add(what, count, performance.now() - started)
  }

  /** Remembers a fact for the JSON object. */
  fact(name: string, value: unknown): void {
    this.#facts[name] = value
  }

  /** Prints the table, or the JSON object. */
  close(): void {
    if (this.#json) console.log(JSON.stringify({ ok: true, ...this.#facts, steps: this.#rows.map(withRate) }))
    else console.log(`\n${table(this.#rows)}\n\nAll promises held.`)
  }
}

const rate = ({ count, milliseconds }: Row) => (milliseconds > 0 ? (count * 1000) / milliseconds : 0)

const withRate = (row: Row) => ({
  ...row,
  milliseconds: Number(row.milliseconds.toFixed(1)),
  rate: Math.round(rate(row)),
})

/** The rows as text in aligned columns. */
function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.what,
    row.count.toLocaleString('en'),
    `${row.milliseconds.toFixed(row.milliseconds < 10 ? 2 : 0)} ms`,
    `${rate(row).toLocaleString('en', { maximumFractionDigits: rate(row) < 10 ? 1 : 0 })}/s`,
  ])
  const all = [['what', 'how many', 'time', 'rate'], ...cells]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((line) => line[column]?.length ?? 0)))
  const pad = (text: string, column: number) =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)
  const lines = all.map((line) => line.map(pad).join('  '))
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '))
  return lines.join('\n')
}
