/** Refuses a Node.js that is too old before anything else can fail in a way that hides the cause. */
import { StepError } from './errors.mjs'

/** Oldest supported version, the same as `engines.node` in package.json. */
const MINIMUM = [20, 19]

/** Throws a StepError when this process runs on an older Node.js than the package supports. */
export function requireNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number)
  if (major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])) return
  throw new StepError(
    `Node.js ${MINIMUM.join('.')} or newer is needed, this is ${version}. Install a newer one and run again.`,
  )
}
