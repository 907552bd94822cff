/** For stores that do not open: what is wrong with them, and what is left of them. */
import { resolve } from 'node:path'
import { invalidArgument } from './errors.js'
import { runtime } from './runtime.js'
import type { Sequence } from './types.js'

/** What `FountainStore.verify` found. `docs/reports.schema.json` is its form as JSON. */
export interface VerifyReport {
  /** The store's directory. */
  readonly path: string
  /** The store's id in hexadecimal, if any file still has it. */
  readonly store: string | null
  /** The newest commit that could be read. */
  readonly sequence: Sequence
  /** The store was closed in good order after it. */
  readonly closedCleanly: boolean
  /** Nothing is wrong, neither with a file nor with what is in it. */
  readonly sound: boolean
  /** Bytes read. */
  readonly bytes: number
  /** Every file that counts, with what is wrong with it. */
  readonly files: readonly CheckedFile[]
  /** What is in the files; null if one of them has a fault, as then nothing certain can be said of it. */
  readonly contents: CheckedContents | null
  /** What the store does not need or can do without; nothing of it is wrong. */
  readonly notes: readonly RepairNote[]
}

/** What is in a store whose files are sound. */
export interface CheckedContents {
  /** How many collections there are. */
  readonly collections: number
  /** How many records they have. */
  readonly records: number
  /** How many entries their indexes have, those by which records expire included. */
  readonly indexEntries: number
  /** What is wrong; the first thousand, if there is more. */
  readonly faults: readonly ContentFault[]
  /** How many faults there are beyond those. */
  readonly moreFaults: number
}

/** One thing that is wrong with what is in a store. */
export interface ContentFault {
  /**
   * What does not hold: `'catalog'`, `'shapes'`, `'keyspace'`, `'record'`, `'missing_entry'` (of an index), `'stray_entry'`
   * or `'unique'`. The list may grow.
   */
  readonly code: string
  /** The collection that it concerns, if it is one. */
  readonly collection: string | null
  /** The index that it concerns, if it is one; `$ttl` is the one by which records expire. */
  readonly index: string | null
  /**
   * The key of the record that it concerns, if it is one and the key can be read; null otherwise. `where: { $id: key }` finds the
   * record.
   */
  readonly key: ReportedKey | null
  /** What was found. */
  readonly found: string
}

/**
 * A key in a report, which is JSON: as queries write values, `{ $bigint: '10' }` and `{ $bytes: 'base64' }` for what JSON has no
 * type for. Infinities, which only keys may be, are `{ $number: 'Infinity' }` and with a sign.
 */
export type ReportedKey =
  | string
  | number
  | {
      /** A bigint, in decimal. */
      readonly $bigint: string
    }
  | {
      /** Bytes, in base64. */
      readonly $bytes: string
    }
  | {
      /** A number that JSON has not. */
      readonly $number: 'Infinity' | '-Infinity'
    }
  | readonly ReportedKey[]

/** A file that was read. */
export interface CheckedFile {
  /** The file. */
  readonly path: string
  /** Its length. */
  readonly bytes: number
  /** Sound blocks of a table, commits of a log segment or edits of a manifest. */
  readonly blocks: number
  /** What is wrong with it. */
  readonly faults: readonly FileFault[]
}

/** One thing that is wrong with a file. */
export interface FileFault {
  /** Where in the file, in bytes; 0 when it concerns all of it. */
  readonly offset: number
  /** Which rule of the format does not hold, for example `'block'`, `'frame'`, `'missing'`. The list may grow. */
  readonly code: string
  /** The rule, in words. */
  readonly expected: string
  /** What was found instead. */
  readonly found: string
}

/** Something that is no fault and yet worth knowing. */
export interface RepairNote {
  /** The file. */
  readonly path: string
  /** `'torn_tail'`, `'left_over'`, `'quarantined'`, `'foreign'` or `'large_log'`. The list may grow. */
  readonly code: string
  /** Where in the file it begins; 0 for all of it. */
  readonly offset: number
  /** How many bytes. */
  readonly bytes: number
}

/** What `FountainStore.salvage` did. `docs/reports.schema.json` is its form as JSON. */
export interface SalvageReport {
  /** The store that was read. */
  readonly source: string
  /** The store that was made. */
  readonly destination: string
  /** The id of the source, in hexadecimal. */
  readonly sourceStore: string
  /** The id of the destination. */
  readonly store: string
  /** The newest commit of the destination; sequences are those of the source. */
  readonly sequence: Sequence
  /** Before this commit the past cannot be read in the destination, for some keys or for all. */
  readonly historyFrom: Sequence
  /** Everything was saved, for certain: there are no losses. */
  readonly complete: boolean
  /** The manifest told for certain which files belong to the source. */
  readonly manifestSound: boolean
  /** Versions written, deletions included. */
  readonly versions: number
  /** Deletions of ranges written. */
  readonly rangeDeletions: number
  /** Commits taken from the log. */
  readonly logCommits: number
  /** Tables written. */
  readonly tables: number
  /** Bytes of the tables written. */
  readonly bytes: number
  /** The collections of the destination. */
  readonly collections: readonly string[]
  /** Those of them whose names were lost: `recovered-` and a number. */
  readonly renamed: readonly string[]
  /** What is missing, or may be. Everything else is there. */
  readonly losses: readonly SalvageLoss[]
  /** Every file of the source that was read, with what is wrong with it. */
  readonly files: readonly CheckedFile[]
  /** Files of the source that were left alone. */
  readonly notes: readonly RepairNote[]
}

/**
 * A stretch that is missing: of certain keys, what certain commits did to them. A read of such a key may find nothing, or
 * an older version than the right one, also one that had been deleted by one of these commits.
 */
export interface SalvageLoss {
  /**
   * What is missing: `'block'`, `'table'`, `'range_deletions'`, `'log'`, `'torn_tail'`, `'manifest'` or `'order'`. The list
   * may grow.
   */
  readonly code: string
  /** The file. */
  readonly path: string
  /** Where in the file; 0 for all of it. */
  readonly offset: number
  /** How many bytes; 0 when that is not known. */
  readonly bytes: number
  /** The collections that it may concern. */
  readonly collections: readonly string[]
  /** Whether it may concern names of collections and what else the store keeps for itself. */
  readonly catalog: boolean
  /** The stored keys that it may concern, in hexadecimal: from the first up to but without the second; null for no end. */
  readonly keys: { readonly start: string; readonly end: string | null }
  /** The commits that it may concern; null when nothing tells which was the last. */
  readonly sequences: { readonly first: Sequence; readonly last: Sequence | null }
  /** Something is missing for certain, rather than perhaps nothing. */
  readonly certain: boolean
  /** What was found instead. */
  readonly found: string
}

/** See `FountainStore.verify`. */
export async function verify(path: string): Promise<VerifyReport> {
  const directory = asDirectory(path, 'path')
  return runtime().report(directory, (native, env, ticket) => native.verify(env, ticket, directory))
}

/** See `FountainStore.salvage`. */
export async function salvage(source: string, destination: string): Promise<SalvageReport> {
  const from = asDirectory(source, 'source')
  const to = asDirectory(destination, 'destination')
  return runtime().report(from, (native, env, ticket) => native.salvage(env, ticket, from, to))
}

/** The absolute path of a directory, whether it is there or not. */
function asDirectory(path: unknown, name: string): string {
  if (typeof path !== 'string') throw invalidArgument(name, 'a string', path)
  if (path === '' || path.includes('\0')) throw invalidArgument(name, 'the name of a directory', path)
  return resolve(path)
}
