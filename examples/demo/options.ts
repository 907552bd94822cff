/** The demo's command line: three options, each checked before anything touches the disk. */
import { parseArgs } from 'node:util'

export interface Options {
  /** Directory of the demo store; wiped at the start if it is an earlier demo's. Default: ./.demo-store. */
  readonly dir: string
  /** How often a writing child process is killed. Default: 1. */
  readonly kills: number
  /** Print one JSON object at the end instead of the story. Default: false. */
  readonly json: boolean
  /** Import at most this many cities, for quick tests. Default: all. */
  readonly limit: number
}

export const USAGE = `usage: npm run demo -- [--dir PATH] [--kills N] [--limit N] [--json]

  --dir PATH   where the store lies; default ./.demo-store; must be empty, absent or an earlier demo's
  --kills N    how many times a writing process is killed in mid-write; default 1
  --limit N    import only the first N cities; default all
  --json       print one JSON object at the end instead of the story`

/** Bad options: the message says which, and the usage belongs under it. */
export class UsageError extends Error {}

/** A whole number of at least `least`, or a UsageError that names the option. */
function whole(name: string, text: string, least: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value
  throw new UsageError(`--${name} takes a whole number of at least ${least}, not "${text}"`)
}

/** Reads the options from the arguments after the script's name. */
export function readOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        dir: { type: 'string', default: '.demo-store' },
        kills: { type: 'string', default: '1' },
        limit: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    })
    const limit = values.limit === undefined ? Number.POSITIVE_INFINITY : whole('limit', values.limit, 1)
    return { dir: values.dir, kills: whole('kills', values.kills, 0), json: values.json, limit }
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message)
    throw error
  }
}
