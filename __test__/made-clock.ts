/**
 * A clock that a test makes go as it likes. The package takes the functions of its host when it is loaded, so this has to be
 * imported before it.
 */
const real = performance.now.bind(performance)
let made: (() => number) | undefined

performance.now = () => (made ?? real)()

/** Lets `performance.now` say what `clock` says, or the time again. */
export function makeClock(clock: (() => number) | undefined): void {
  made = clock
}
