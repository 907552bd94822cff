/**
 * The process that gets killed: it writes numbered entries durably, one record per put, until it dies.
 *
 * A number goes to the parent, one line each on stdout, only after the promise of its put resolved. What is in the pipe
 * reaches the parent even if this process dies the next instant; what is not, was not acknowledged.
 *
 *   node --import=tsx crash-child.ts STORE FIRST-NUMBER
 */
import { FountainStore } from '../../index.mjs'
import { type Entry, entry, JOURNAL } from './journal.ts'

/** Puts in flight at any time: enough that the kill falls in the middle of shared commits. */
const IN_FLIGHT = 32

const [path = '', first = '1'] = process.argv.slice(2)
const store = await FountainStore.open(path, { durability: 'disk' })
const journal = store.collection<Entry>(JOURNAL)
let next = Number(first)

/** Writes one entry after the other for as long as the process lives. */
async function writeForEver(): Promise<never> {
  for (;;) {
    const id = next++
    await journal.put(entry(id))
    process.stdout.write(`${id}\n`)
  }
}

await Promise.all(Array.from({ length: IN_FLIGHT }, writeForEver))
