/** The three build steps in their order. Each runs only when stale; all of them together are `npm run build`. */
import { dependencies } from './dependencies.mjs'
import { facade } from './facade.mjs'
import { native } from './native.mjs'
import { forget, isFresh, remember } from './stamp.mjs'

/**
 * Brings one step up to date. A step has a `name`, an `inputs()` fingerprint, `isDone()` which says whether its outputs
 * are there, and `run()`.
 */
function ensure(step) {
  const print = step.inputs()
  if (step.isDone() && isFresh(step.name, print)) return
  forget(step.name)
  step.run()
  // The fingerprint from before the run: an input that changed meanwhile must count as stale.
  remember(step.name, print)
}

/** Installs the development dependencies if they are not what the lockfile says. */
export const install = () => ensure(dependencies)

/** Installs, builds the addon and compiles the facade, each only when stale. */
export function build() {
  for (const step of [dependencies, native, facade]) ensure(step)
}
