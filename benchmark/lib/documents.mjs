/**
 * The documents that everything is measured with: made from their number alone, so that every engine stores the same ones
 * and any answer can be checked. `small` has about 200 bytes of JSON, `large` about 2 KB.
 *
 * Keys are 12 characters, in no order that insertion follows: number `i` gets a key from a permutation of all numbers.
 */
import assert from 'node:assert/strict'

const CITIES = 997
const WORDS = 'river stone cloud ember harbour lantern meadow orchard pebble quarry saddle timber valley willow'.split(
  ' ',
)

/** A fixed pseudo-random sequence (mulberry32), equal on every machine. */
export function randomFrom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A prime larger than any count of documents that has no factor in common with it. */
const STEP = 15_485_863

/** The key of document `i`: `STEP` and every count below it have no common factor, so no two are equal. */
export const keyOf = (i) => `k${((i * STEP) % 100_000_000_000).toString().padStart(11, '0')}`

function small(i) {
  return {
    id: keyOf(i),
    name: `${WORDS[i % WORDS.length]} ${WORDS[(i * 7) % WORDS.length]}`,
    email: `person${i}@example.com`,
    age: i % 90,
    active: i % 2 === 0,
    score: (i % 10_000) * 1.37,
    tags: [WORDS[i % 5], WORDS[(i % 7) + 5]],
    address: { street: `${i % 500} Main Street`, city: `city-${i % CITIES}`, zip: 10_000 + (i % 90_000) },
  }
}

function large(i) {
  const text = Array.from({ length: 150 }, (_, at) => WORDS[(i * 31 + at * (1 + (i % 11))) % WORDS.length]).join(' ')
  const items = Array.from({ length: 12 }, (_, n) => ({ sku: `sku-${i}-${n}`, count: n, price: n * 9.99 }))
  return { ...small(i), text, items }
}

const KINDS = { small, large }

/** Document number `i` of a kind. */
export const documentOf = (kind, i) => KINDS[kind](i)

/** What a reader adds up over the documents it gets, so that none goes unread: `age` and the length of the city's name. */
export const touch = (document) => document.age + document.address.city.length

/** The sum of `touch` over the documents that `numbers` names. */
export function touchSum(kind, numbers) {
  let sum = 0
  for (const i of numbers) sum += touch(documentOf(kind, i))
  return sum
}

/** Checks that an answer is document `i`, whole. */
export function check(kind, i, answer) {
  assert.deepEqual({ ...answer }, documentOf(kind, i), `document ${i} came back different`)
}

/** The numbers from 0 to `count` in an order that looks random and is always the same. */
export function shuffled(count, seed = 7) {
  const random = randomFrom(seed)
  const numbers = Uint32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1))
    const kept = numbers[i]
    numbers[i] = numbers[other]
    numbers[other] = kept
  }
  return numbers
}
