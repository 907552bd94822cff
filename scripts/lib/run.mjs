/** Runs programs: silently unless they fail, or aloud while keeping what they said. */
import { spawn, spawnSync } from 'node:child_process'
import { ROOT } from './checkout.mjs'
import { StepError } from './errors.mjs'

const MAX_OUTPUT_BYTES = 256 << 20

/** Prints one line about what is being done, to stderr so that stdout stays the result. */
export const say = (line) => console.error(`» ${line}`)

/** Runs a command without showing its output; returns its exit code and all it printed. */
export function runQuietly({ program, args, shell = false, env = {} }) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: ROOT,
    shell,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: MAX_OUTPUT_BYTES,
  })
  if (error) return { code: 127, output: `${program}: ${error.message}` }
  return { code: status ?? 1, output: `${stdout}${stderr}` }
}

/** Runs a command that must succeed; its output is shown only when it does not. */
export function must(what, command) {
  const { code, output } = runQuietly(command)
  if (code === 0) return
  console.error(output.trimEnd())
  throw new StepError(`${what} failed (exit code ${code})`)
}

/** Runs a command that must succeed, with its output on our stderr as it comes. */
export function mustAloud(what, { program, args, shell = false }) {
  const { status, error } = spawnSync(program, args, { cwd: ROOT, shell, stdio: ['ignore', 2, 2] })
  if (error) throw new StepError(`${what} could not start: ${error.message}`)
  if (status !== 0) throw new StepError(`${what} failed (exit code ${status})`)
}

/** Runs a command with its output passed on as it comes; resolves to its exit code and all it printed. */
export function runAloud({ program, args, shell = false, env }) {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, shell, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] }
    const child = spawn(program, args, options)
    const chunks = []
    const keep = (target) => (chunk) => {
      chunks.push(chunk)
      target.write(chunk)
    }
    child.stdout.on('data', keep(process.stdout))
    child.stderr.on('data', keep(process.stderr))
    child.on('error', (error) => resolve({ code: 127, output: error.message }))
    child.on('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString('utf8') }))
  })
}
