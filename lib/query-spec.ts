/** Checks of what `find`, `updateWhere` and `deleteWhere` are given, as far as it is not the engine's to judge. */
import { invalidArgument, StoreError } from './errors.js'
import { MAX_QUERY_PAGE_SIZE } from './limits.js'
import { asOfRule } from './moment.js'
import { anything, boolean, checkOptions, integer, type OptionRules, oneOf, signal } from './options.js'
import type { QueryParts } from './query.js'
import { cursorRule } from './query-arguments.js'
import { queryJson } from './query-json.js'
import type { FindSpec } from './query-types.js'
import { isPlainObject } from './record/plain.js'
import { Snapshot } from './snapshot.js'
import type { WriteOptions } from './types.js'

/** Options of `updateWhere` and `deleteWhere`. */
export interface ChangeOptions extends WriteOptions {
  /** Change at most this many documents; which of those that match is not promised. Default: no limit. */
  limit?: number | undefined
  /** Only count what would be changed. Default: false. */
  dryRun?: boolean | undefined
}

type AnySpec = FindSpec<unknown> & { readonly select?: readonly string[] | { readonly omit: readonly string[] } }

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
const SPEC: OptionRules<AnySpec> = {
  where: anything,
  orderBy: { expected: 'a list of { path, dir }', accepts: Array.isArray },
  select: anything,
  limit: integer(1, MAX_QUERY_PAGE_SIZE),
  count: oneOf('none', 'estimate', 'exact'),
  cursor: cursorRule,
  hint: anything,
  requireIndex: boolean,
  maxScanned: wholeNumber,
  timeoutMs: wholeNumber,
  allowRegex: boolean,
  snapshot: { expected: 'a Snapshot', accepts: (value: unknown) => value instanceof Snapshot },
  asOf: asOfRule,
  signal,
}

/** A query in one object, taken apart: what goes to the engine, a copy that no later change reaches, and what stays here. */
export function checkedSpec(spec: object | undefined): {
  parts: QueryParts
  regex: boolean
  state: Pick<AnySpec, 'snapshot' | 'asOf'>
  signal: AbortSignal | undefined
} {
  const checked = checkOptions(spec as AnySpec | undefined, SPEC, 'find')
  const { where, snapshot, asOf, signal, allowRegex = false, ...rest } = checked
  const parts = queryJson(rest, 'query', 'other') as QueryParts
  const conditions = where === undefined ? {} : { where: checkedWhere(where) }
  return { parts: { ...parts, ...conditions }, regex: allowRegex, state: { snapshot, asOf }, signal }
}

/** Conditions that documents must meet. */
export function checkedWhere(where: unknown): unknown {
  return queryJson(where, 'where', 'conditions')
}

/** The new values of an update. */
export function checkedSet(set: unknown, keyName: string): unknown {
  if (!isPlainObject(set)) throw invalidArgument('set', 'an object of new values', set)
  if (set[keyName] !== undefined) {
    const message = `an update cannot change the key, which is in ${JSON.stringify(keyName)}`
    throw new StoreError('ERR_VALIDATION', message, { place: 'set' })
  }
  return queryJson(set, 'set', 'values')
}
