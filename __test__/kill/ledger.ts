/** What a child said before it died: which commits it had begun, which had been acknowledged, what it was doing. */

/** What became of the commits of a lane. */
export interface LaneLedger {
  /** The last commit that was begun. */
  begun: number
  /** The last commit that was acknowledged. */
  acknowledged: number
  /** Acknowledged commits and their sequences. */
  readonly sequences: [k: number, sequence: number][]
}

/** All that a child said. */
export interface Ledger {
  readonly lanes: ReadonlyMap<number, LaneLedger>
  /** The last of its words about opening and closing. */
  readonly state: 'nothing' | 'opening' | 'opened' | 'closing' | 'closed'
  /** Whether it ever had the store. */
  readonly hasOpened: boolean
}

/** Reads the lines of a child. One that the kill cut short was not said. */
export function readLedger(said: string): Ledger {
  const lanes = new Map<number, LaneLedger>()
  let state: Ledger['state'] = 'nothing'
  let hasOpened = false
  for (const line of said.split('\n').slice(0, -1)) {
    const [word, ...numbers] = line.split(' ')
    const [lane = -1, k = -1, sequence = -1] = numbers.map(Number)
    const ledger = lanes.get(lane) ?? { begun: 0, acknowledged: 0, sequences: [] }
    if (word === 'b') lanes.set(lane, { ...ledger, begun: Math.max(ledger.begun, k) })
    else if (word === 'a') {
      ledger.sequences.push([k, sequence])
      lanes.set(lane, { ...ledger, acknowledged: Math.max(ledger.acknowledged, k) })
    } else if (word === 'opening' || word === 'opened' || word === 'closing' || word === 'closed') {
      state = word
      hasOpened ||= word === 'opened'
    } else throw new Error(`the child said ${JSON.stringify(line)}`)
  }
  return { lanes, state, hasOpened }
}
