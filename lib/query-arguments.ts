/** Checks of what the methods of a query are given, as far as it is not the engine's to judge. */
import { invalidArgument } from './errors.js'
import { boolean, checkOptions, integer, type OptionRule, type OptionRules } from './options.js'
import type { QueryParts } from './query.js'
import { queryJson } from './query-json.js'
import type { QueryHints } from './query-types.js'

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
/** What a cursor must be. */
export const cursorRule: OptionRule = { expected: 'a cursor', accepts: (value) => typeof value === 'string' }
const HINTS: OptionRules<QueryHints> = {
  index: { expected: 'the name of an index', accepts: (value) => typeof value === 'string' },
  requireIndex: boolean,
  maxScanned: wholeNumber,
  timeoutMs: wholeNumber,
}

/** What `hint` is given, as parts of a query. */
export function checkedHints(hints: object): QueryParts {
  if (hints === undefined) throw invalidArgument('hints', 'a plain object', hints)
  const { index, requireIndex, maxScanned, timeoutMs } = checkOptions<QueryHints>(hints, HINTS, 'hint')
  return {
    ...(index !== undefined && { hint: { index } }),
    ...(requireIndex !== undefined && { requireIndex }),
    ...(maxScanned !== undefined && { maxScanned }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  }
}

/** Where a page ended; without one, all would be found anew. */
export function checkedCursor(cursor: unknown): string {
  if (!cursorRule.accepts(cursor)) throw invalidArgument('cursor', cursorRule.expected, cursor)
  return cursor as string
}

/** Paths, or terms of an order, as they go to the engine, which judges them. */
export function checkedPaths<P>(paths: P, place: string): P {
  return queryJson(paths, place, 'other') as P
}
