/** What the demo checks: each check names the promise it stands for, so a failure says which promise was broken. */
import { isDeepStrictEqual } from 'node:util'

/** A promise of the store that did not hold. */
export class BrokenPromise extends Error {
  constructor(promise: string, detail: string) {
    super(`broken promise: ${promise}\n  ${detail}`)
  }
}

/** Throws BrokenPromise unless the condition holds. */
export function promised(promise: string, holds: boolean, detail: () => string): void {
  if (!holds) throw new BrokenPromise(promise, detail())
}

/** Throws BrokenPromise unless both values are deeply equal. */
export function promisedEqual(promise: string, actual: unknown, expected: unknown): void {
  const show = (value: unknown) => JSON.stringify(value) ?? 'undefined'
  promised(promise, isDeepStrictEqual(actual, expected), () => `expected ${show(expected)}, found ${show(actual)}`)
}
