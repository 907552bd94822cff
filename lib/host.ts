/**
 * What differs from host to host. Functions of the host are as they were when the package was loaded: test frameworks put
 * others in the place of the global ones, which nobody may ever call; answers that wait for those would not come.
 */
import { nextTick } from 'node:process'
import { clearTimeout, setImmediate, setTimeout } from 'node:timers'

/** Milliseconds of a clock that is never set back. */
export const now: () => number = performance.now.bind(performance)
/** Waits for some milliseconds. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** Runs a function after some milliseconds, unless what it returns is called before. */
export function afterTime(ms: number, work: () => void): () => void {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}
/** Runs a function when everything that is due had its turn. */
export const afterOthers: (work: () => void) => unknown = setImmediate
/** Runs a function behind all promises that are resolved, before anything else. */
export const afterPromises: (work: () => void) => void = nextTick

/** Lets `await using` end a generator also where those of the host cannot be disposed of: before Node 24. */
export function disposable<G extends AsyncGenerator>(generator: G): G {
  if (Symbol.asyncDispose in generator) return generator
  const value = async function (this: AsyncGenerator): Promise<void> {
    await this.return(undefined)
  }
  return Object.defineProperty(generator, Symbol.asyncDispose, { value })
}
