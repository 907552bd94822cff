/** What is set about a collection: which old versions are kept, when documents expire, and what is said of it. */
import { describe, invalidArgument } from './errors.js'
import { checkedPath, checkOptions, integer, type OptionRule, type OptionRules } from './options.js'
import type { CollectionSettings, ExpiryOptions, Retention, Sequence, Ttl } from './types.js'

const wholeNumber = integer(0, Number.MAX_SAFE_INTEGER)
const MAX_COUNT = 0xffff_ffff

/** Settings in which `null` takes one back. */
export type SettingsChange = { [P in keyof CollectionSettings]?: CollectionSettings[P] | null | undefined }

/** Finds the sequence of a time. */
type SequenceOf = (time: Date) => Sequence

/** When a document expires, as options. */
export const EXPIRY_OPTIONS: OptionRules<ExpiryOptions> = {
  expiresAt: {
    accepts: (value) => wholeNumber.accepts(value instanceof Date ? value.getTime() : value),
    expected: 'a Date, or a whole number of milliseconds since 1970',
  },
  ttl: wholeNumber,
}

/**
 * When a document expires, in milliseconds since 1970; undefined if the options, which were checked, do not say.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT` if they say it twice
 */
export function expiryOf(options: ExpiryOptions | undefined): number | undefined {
  const { expiresAt, ttl } = options ?? {}
  if (ttl === undefined) return expiresAt instanceof Date ? expiresAt.getTime() : expiresAt
  if (expiresAt !== undefined) throw invalidArgument('options', 'either expiresAt or ttl', 'both')
  return Math.min(Date.now() + ttl, Number.MAX_SAFE_INTEGER)
}

/** A retention, as an option. */
export const retentionRule: OptionRule = {
  accepts: (value) => isRetention(value),
  expected: '"unbounded", "latestOnly", { count }, { since } or { maxAge }',
}

const SETTINGS: OptionRules<SettingsChange> = {
  schemaVersion: { accepts: (value) => value === null || wholeNumber.accepts(value), expected: wholeNumber.expected },
  ttl: { accepts: (value) => value === null || isTtl(value), expected: 'a path or { field, after }' },
  retention: { accepts: (value) => value === null || isRetention(value), expected: retentionRule.expected },
}

/**
 * Settings as the addon takes them.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT`
 */
export function checkedSettings(settings: unknown, call: string, sequenceOf: SequenceOf): object {
  const { retention, ...others } = checkOptions(settings as SettingsChange, SETTINGS, call)
  const { ttl } = others
  if (ttl) checkedPath(typeof ttl === 'string' ? ttl : ttl.field, 'options.ttl')
  return retention ? { ...others, retention: plainRetention(retention, sequenceOf) } : { ...others, retention }
}

/** A retention as the addon takes it: a time is the sequence that was the newest then. */
export function plainRetention(retention: Retention, sequenceOf: SequenceOf): object | string {
  if (typeof retention === 'string' || !('since' in retention) || !(retention.since instanceof Date)) return retention
  return { since: sequenceOf(retention.since) }
}

/**
 * The retention of a store that is yet to be opened, so no time means a sequence.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT`
 */
export function openRetention(retention: Retention): string {
  const refuse = (): never => {
    throw invalidArgument('options.retention', 'a sequence as "since" when a store is opened', describe(retention))
  }
  return JSON.stringify(plainRetention(retention, refuse))
}

function isRetention(value: unknown): value is Retention {
  if (value === 'unbounded' || value === 'latestOnly') return true
  const member = onlyMember(value)
  if (member === undefined) return false
  const [name, of] = member
  if (name === 'count') return wholeNumber.accepts(of) && (of as number) >= 1 && (of as number) <= MAX_COUNT
  if (name === 'since') return wholeNumber.accepts(of) || (of instanceof Date && !Number.isNaN(of.getTime()))
  return name === 'maxAge' && wholeNumber.accepts(of)
}

function isTtl(value: unknown): value is Ttl {
  if (typeof value === 'string') return true
  if (typeof value !== 'object' || value === null) return false
  const { field, after, ...unknown } = value as Record<string, unknown>
  const known = Object.keys(unknown).length === 0 && typeof field === 'string'
  return known && (after === undefined || wholeNumber.accepts(after))
}

function onlyMember(value: unknown): [string, unknown] | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const members = Object.entries(value)
  return members.length === 1 ? members[0] : undefined
}
