/** The types of script.mjs. */

/** The commits of one lane in one round. */
export interface Script {
  readonly seed: number
  readonly round: number
  readonly lane: number
  /** One change per commit, and no counter. */
  readonly single?: boolean
  /** Drops collections, too. */
  readonly drops?: boolean
}

/** A document as the scripts write it. */
export interface Document {
  readonly id: number | number[]
  readonly round: number
  readonly k: number
  readonly part?: number
  readonly text?: string
}

/** A change of a commit. */
export interface Change {
  readonly collection: string
  readonly put?: Document
  readonly delete?: number | number[]
  readonly drop?: true
}

/** The content of a store, by collection and key as JSON. */
export type State = Map<string, Document>

export const COLLECTIONS: readonly string[]
export const COUNTERS: string
export function random(seed: number): (end: number) => number
export function changes(script: Script, k: number): Change[]
export function apply(script: Script, k: number, state: State): void
