/**
 * A progress report on stderr: a bar with rate and time left on a terminal, one JSON line per second elsewhere.
 * stdout stays free for results.
 */
const BAR_CELLS = 30
const TERMINAL_INTERVAL_MS = 100
const LINE_INTERVAL_MS = 1000

export class Progress {
  readonly #label: string
  readonly #total: number
  readonly #started = performance.now()
  readonly #terminal = process.stderr.isTTY === true
  #done = 0
  #shown = Number.NEGATIVE_INFINITY

  constructor(label: string, total: number) {
    this.#label = label
    this.#total = total
  }

  /** Counts `count` more as done, and shows it if it is time to. */
  advance(count: number): void {
    this.#done += count
    const interval = this.#terminal ? TERMINAL_INTERVAL_MS : LINE_INTERVAL_MS
    if (performance.now() - this.#shown >= interval) this.#show()
  }

  /** Shows the end state; returns how long it all took, in milliseconds. */
  finish(): number {
    this.#show()
    if (this.#terminal) process.stderr.write('\n')
    return performance.now() - this.#started
  }

  #show(): void {
    this.#shown = performance.now()
    const elapsed = (this.#shown - this.#started) / 1000
    const rate = elapsed > 0 ? this.#done / elapsed : 0
    const eta = rate > 0 ? (this.#total - this.#done) / rate : 0
    process.stderr.write(this.#terminal ? this.#bar(rate, eta) : this.#line(rate, eta))
  }

  #bar(rate: number, eta: number): string {
    const share = this.#total === 0 ? 1 : this.#done / this.#total
    const full = Math.round(share * BAR_CELLS)
    const cells = '█'.repeat(full) + '░'.repeat(BAR_CELLS - full)
    const numbers = `${Math.floor(share * 100)} %  ${Math.round(rate).toLocaleString('en')}/s  ETA ${eta.toFixed(1)} s`
    return `\r\u001b[K${this.#label} ${cells} ${numbers}`
  }

  #line(rate: number, eta: number): string {
    const fields = {
      phase: this.#label,
      done: this.#done,
      total: this.#total,
      rate: Math.round(rate),
      eta_s: Number(eta.toFixed(1)),
    }
    return `${JSON.stringify(fields)}\n`
  }
}
