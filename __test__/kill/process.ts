/** Starts a child and kills it. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url))
/** A child that has not said the word after this time is broken. */
const PATIENCE_MS = 60_000

/** What a child does. */
export interface Task {
  readonly path: string
  readonly workload: string
  readonly seed: number
  readonly round: number
}

/** A child is killed `ms` after it was started, or said that it opens, has opened, or had a commit acknowledged. */
export interface Death {
  readonly after: 'start' | 'opening' | 'opened' | 'acknowledged'
  readonly ms: number
}

const WORDS = { opening: /^opening$/m, opened: /^opened$/m, acknowledged: /^a .*$/m }

/** Lets a child live until its death; resolves to all that it said. Rejects if it ended in any other way. */
export function liveAndDie(task: Task, death: Death): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CHILD, JSON.stringify(task)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    let said = ''
    let complaint = ''
    let timer: NodeJS.Timeout | undefined
    const die = (ms: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => child.kill('SIGKILL'), ms)
    }
    let waitsFor = death.after === 'start' ? undefined : WORDS[death.after]
    die(waitsFor === undefined ? death.ms : PATIENCE_MS)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (!waitsFor?.test(said)) return
      waitsFor = undefined
      die(death.ms)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      // Windows has no signals: there a killed process ends with code 1.
      const killed = signal === 'SIGKILL' || (process.platform === 'win32' && code === 1 && complaint === '')
      if (killed && waitsFor === undefined) resolve(said)
      else reject(new Error(`a child was not killed as planned: exit code ${code}, ${signal}\n${said}\n${complaint}`))
    })
  })
}
