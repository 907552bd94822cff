/**
 * How each program is started without a shell: Node programs by their own script, cargo by name, npm by the script that
 * npm itself names in the environment. Only a bare `npm` on Windows needs a shell, because there it is a .cmd file.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { inRoot } from './checkout.mjs'

const PACKAGES = {
  attw: '@arethetypeswrong/cli',
  ava: 'ava',
  biome: '@biomejs/biome',
  napi: '@napi-rs/cli',
  publint: 'publint',
  tsc: 'typescript',
  typedoc: 'typedoc',
}

/** A command of an installed development dependency, ready for run.mjs. */
export function nodeTool(name, ...args) {
  const folder = inRoot('node_modules', PACKAGES[name])
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const script = typeof bin === 'string' ? bin : bin[name]
  return { program: process.execPath, args: [join(folder, script), ...args] }
}

/** A cargo command. */
export const cargo = (...args) => ({ program: 'cargo', args })

/** An npm command: the npm that runs us, or else the one on the path. */
export function npm(...args) {
  const script = process.env.npm_execpath
  if (script && basename(script) === 'npm-cli.js') return { program: process.execPath, args: [script, ...args] }
  return { program: 'npm', args, shell: process.platform === 'win32' }
}

/** True when the command starts and exits with 0. */
export function works({ program, args }) {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}
