/**
 * The records that the crash part writes. Everything in an entry follows from its number, so the process that checks
 * needs no memory of what the killed one wrote.
 */
import { createHash } from 'node:crypto'

export interface Entry {
  /** 1, 2, 3 … without gaps, over all kills. */
  readonly id: number
  readonly text: string
}

export const JOURNAL = 'journal'

/** The one right content of entry `id`: between 64 and 2,112 characters that no other entry has. */
export function entry(id: number): Entry {
  const digest = createHash('sha256').update(`entry ${id}`).digest('hex')
  return { id, text: digest.repeat(1 + (id % 33)) }
}
