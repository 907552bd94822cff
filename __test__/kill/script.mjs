/**
 * What the killed processes write. Commit `k` of a lane in a round follows from these numbers and the seed alone, so the
 * child need not tell and the check need not remember. Plain JavaScript, because the child is started without a loader.
 */

/** Keys of a lane in each collection. */
const KEYS = 40
/** The collections, over which a commit may spread. */
export const COLLECTIONS = ['red', 'green', 'blue']
/** Every lane counts its commits here, in the same commit. */
export const COUNTERS = 'counters'

/** Reproducible numbers below `end`: mulberry32. */
export function random(seed) {
  let state = seed >>> 0
  return (end) => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * end)
  }
}

/** One number out of several. */
const mix = (...numbers) => numbers.reduce((hash, number) => Math.imul(hash ^ number, 0x9e3779b1) >>> 0, 0x811c9dc5)

/** How often a lane that drops drops. */
const DROP_EVERY = 8

/**
 * The changes of commit `k`, from 1: `{ collection, put }`, `{ collection, delete }` or `{ collection, drop: true }`. The
 * last on a key wins. With `single` there is just one, besides none for the counter. With `drops` every eighth commit drops a
 * collection, and the one before it puts something there, so that there is one to drop.
 */
export function changes({ seed, round, lane, single, drops }, k) {
  const pick = random(mix(seed, round, lane, k))
  const next = Math.ceil(k / DROP_EVERY) * DROP_EVERY
  if (drops && next - k < 2) {
    const collection = COLLECTIONS[random(mix(seed, round, lane, next))(COLLECTIONS.length)]
    if (next === k) return [{ collection, drop: true }]
    return [{ collection, put: { id: [lane, pick(KEYS)], round, k } }]
  }
  const found = []
  for (let part = 0; part < (single ? 1 : 1 + pick(5)); part++) {
    const collection = COLLECTIONS[pick(COLLECTIONS.length)]
    const id = [lane, pick(KEYS)]
    if (pick(4) === 0) found.push({ collection, delete: id })
    else {
      const text = String.fromCharCode(97 + pick(26)).repeat(pick(10) === 0 ? pick(20_000) : pick(300))
      found.push({ collection, put: { id, round, k, part, text } })
    }
  }
  if (!single) found.push({ collection: COUNTERS, put: { id: lane, round, k } })
  return found
}

/** Changes `state`, a map of collection and key to document, as commit `k` does. */
export function apply(script, k, state) {
  for (const change of changes(script, k)) {
    if (change.drop) {
      for (const key of state.keys()) if (JSON.parse(key)[0] === change.collection) state.delete(key)
      continue
    }
    const key = JSON.stringify([change.collection, change.put ? change.put.id : change.delete])
    if (change.put) state.set(key, change.put)
    else state.delete(key)
  }
}
