/** What the tests of the facade share: stores in temporary directories, expected errors, child processes. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ExecutionContext } from 'ava'
import { FountainStore, type OpenOptions, StoreError, type StoreErrorCode } from '../index.mjs'

/** The root of the checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/** A new directory that is removed after the test. */
export function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'fountainstore-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A new store that is closed and removed after the test. */
export async function newStore(t: ExecutionContext, options?: OpenOptions): Promise<FountainStore> {
  const store = await FountainStore.open(join(directory(t), 'store'), options)
  t.teardown(() => store.close())
  return store
}

/** What an error must be: its code, words of its message, and values of its properties. */
export interface Expected extends Partial<Pick<StoreError, 'collection' | 'key' | 'place' | 'pid' | 'path'>> {
  code: StoreErrorCode
  says?: RegExp
}

/** Asserts that `work` throws or rejects with a StoreError like `expected`, and returns it. */
export async function fails(t: ExecutionContext, work: () => unknown, expected: Expected): Promise<StoreError> {
  let error: unknown
  try {
    await work()
  } catch (thrown) {
    error = thrown
  }
  if (!(error instanceof StoreError))
    throw new Error(`expected ${expected.code}, got ${String(error)}`, { cause: error })
  const { says, ...properties } = expected
  for (const [name, value] of Object.entries(properties)) {
    t.deepEqual((error as unknown as Record<string, unknown>)[name], value, `${name} of: ${error.message}`)
  }
  if (says) t.regex(error.message, says)
  return error
}

/** Collects garbage until a condition holds, or for some rounds if it never does. */
export async function collectGarbage(done: () => boolean): Promise<void> {
  setFlagsFromString('--expose-gc')
  const gc: () => void = runInNewContext('gc')
  for (let round = 0; round < 100 && !done(); round++) {
    gc()
    await turn()
  }
}

/**
 * Takes the first answer of each iterator and makes a check while all of them are still held, so that no garbage collection
 * of its own accord comes before it. Nothing holds them afterwards.
 */
export async function heldUntil(iterators: AsyncIterator<unknown>[], check: () => void): Promise<void> {
  for (const iterator of iterators) await iterator.next()
  check()
  iterators.length = 0
}

/**
 * Asserts that the event loop turns while `work` is under way. Where work blocks it, it turns once or twice to deliver the
 * answer; on a busy machine that may happen to other work, too, so it is tried again until it is seen to turn.
 */
export async function letsLoopTurn(t: ExecutionContext, work: () => Promise<unknown>): Promise<void> {
  let most = 0
  for (let attempt = 0; attempt < 200 && most < 10; attempt++) {
    let underWay = true
    const begin = performance.now()
    const working = work()
    const called = performance.now()
    const done = working.then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    void done.then(() => (underWay = false))
    let turns = 0
    for (; underWay; turns++) await turn()
    const failed = await done
    if (failed) throw failed.error
    // The call itself is the lesser part.
    if (called - begin < performance.now() - called) most = Math.max(most, turns)
  }
  t.true(most >= 10, `${most} turns`)
}

/** How a child process ended. */
export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** How a child process is started. */
export interface ChildOptions {
  env?: NodeJS.ProcessEnv
  /** The command that starts the process, to which its own command line is added. */
  wrapper?: readonly string[]
}

/** A wrapper that sets a limit with `ulimit`, for example `-n 40`. */
export const limit = (setting: string): string[] => ['sh', '-c', `ulimit ${setting} && exec "$@"`, 'sh']

/** A child process that runs `script` as an ES module which may use `FountainStore`, `StoreError`, `path` and `say`. */
export function child(path: string, script: string, { env, wrapper = [] }: ChildOptions = {}) {
  const prelude = `import { FountainStore, StoreError } from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)}
    const path = ${JSON.stringify(path)}
    const say = (text) => new Promise((resolve) => process.stdout.write(text + '\\n', resolve))
  `
  const node = [process.execPath, '--input-type=module', '--expose-gc', '--eval', prelude + script]
  const [command, ...args] = [...wrapper, ...node]
  const running = spawn(command as string, args, { env: { ...process.env, NODE_OPTIONS: '', ...env } })
  let stdout = ''
  let stderr = ''
  running.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
  running.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
  const ended = new Promise<Ended>((resolve) => {
    running.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const said = async (text: string) => {
    while (!stdout.split('\n').includes(text)) {
      const outcome = await Promise.race([ended, new Promise((resolve) => running.stdout.once('data', resolve))])
      if (typeof outcome === 'object' && !stdout.split('\n').includes(text)) throw new Error(`${stdout}\n${stderr}`)
    }
  }
  return { pid: running.pid as number, ended, said, kill: () => running.kill('SIGKILL') }
}

/** Everything that an iteration gives, to its end. */
export async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of from) all.push(one)
  return all
}
