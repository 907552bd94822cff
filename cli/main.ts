#!/usr/bin/env node
/**
 * The command `fountainstore`: verifies a store and salvages one that does not open.
 *
 * Exit codes: 0 when nothing is wrong or missing, 1 when something is, 2 when the command could not be carried out: wrong
 * usage, a store that is open elsewhere, no such directory, an error of the disk.
 */
import { parseArgs } from 'node:util'
import { FountainStore, StoreError } from '../index.js'
import { salvageText, verifyText } from './text.js'

const USAGE = `Usage:
  fountainstore verify PATH [--json]          read every file and record of a closed store; tell what is wrong
  fountainstore salvage SRC DST [--json]      save what can be read of SRC, which stays as it is, into DST
  fountainstore --help | --version

Exit codes: 0 nothing is wrong or missing; 1 something is; 2 it could not be done.
docs/repair.md says what to do with a store that does not open.
`

const CLEAN = 0
const FINDINGS = 1
const FAILED = 2

/** What a command has to say, and whether everything is in order. */
interface Answer {
  readonly report: object
  readonly text: string
  readonly clean: boolean
}

/** The commands with the names of their arguments. */
const COMMANDS: Record<string, { names: readonly string[]; run: (...paths: string[]) => Promise<Answer> }> = {
  verify: {
    names: ['PATH'],
    async run(path) {
      const report = await FountainStore.verify(path ?? '')
      return { report, text: verifyText(report), clean: report.sound }
    },
  },
  salvage: {
    names: ['SRC', 'DST'],
    async run(source, destination) {
      const report = await FountainStore.salvage(source ?? '', destination ?? '')
      return { report, text: salvageText(report), clean: report.complete }
    },
  },
}

/** Carries out a command line; answers with the exit code. */
async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' }, version: { type: 'boolean' } },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return CLEAN
  }
  if (values.version) {
    const { version } = require('../package.json') as { version: string }
    process.stdout.write(`${version}\n`)
    return CLEAN
  }
  const [name = '', ...paths] = positionals
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined)
    throw new UsageError(name === '' ? 'a command is missing' : `there is no command '${name}'`)
  if (paths.length !== command.names.length) throw new UsageError(`${name} needs ${command.names.join(' and ')}`)
  const { report, text, clean } = await command.run(...paths)
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : text)
  return clean ? CLEAN : FINDINGS
}

class UsageError extends Error {}

/** Tells on stderr why a command could not be carried out. */
function failed(error: unknown): number {
  const isUsage = error instanceof UsageError || (error as { code?: string })?.code?.startsWith('ERR_PARSE_ARGS')
  const code = StoreError.is(error) ? `${error.code}: ` : ''
  process.stderr.write(`fountainstore: ${code}${error instanceof Error ? error.message : String(error)}\n`)
  if (isUsage) process.stderr.write(USAGE)
  return FAILED
}

main(process.argv.slice(2))
  .catch(failed)
  .then((code) => {
    process.exitCode = code
  })
