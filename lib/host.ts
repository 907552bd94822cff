/**
 * Functions of the host as they were when the package was loaded. Test frameworks put others in the place of the global ones,
 * which nobody may ever call; answers that wait for those would not come.
 */
import { nextTick } from 'node:process'
import { setImmediate } from 'node:timers'

/** Runs a function when everything that is due had its turn. */
export const afterOthers: (work: () => void) => unknown = setImmediate
/** Runs a function behind all promises that are resolved, before anything else. */
export const afterPromises: (work: () => void) => void = nextTick
