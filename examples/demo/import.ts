/** The import: every city in atomic batches, each durable on disk before the next is asked for. */
import type { Collection } from '../../index.mjs'
import type { City } from './dataset.ts'
import { Progress } from './progress.ts'
import { promisedEqual } from './promise.ts'
import type { Report } from './report.ts'

/** Records in one commit: large enough that the sync of the log costs little per record. */
const BATCH = 1000

/** Imports all cities and proves that each can be read back. */
export async function importCities(cities: readonly City[], into: Collection<City>, report: Report): Promise<void> {
  const progress = new Progress('import', cities.length)
  for (let start = 0; start < cities.length; start += BATCH) {
    const part = cities.slice(start, start + BATCH)
    await into.batch(part.map((city) => ({ put: city })))
    progress.advance(part.length)
  }
  report.add('cities imported, in durable batches of 1,000', cities.length, progress.finish())
  await report.time('cities read back and compared', () => readBack(cities, into))
}

/** Reads every city by its id and compares it with the source; returns how many. */
async function readBack(cities: readonly City[], from: Collection<City>): Promise<number> {
  for (const city of cities) {
    promisedEqual('what was put is what is read', from.getSync(city.id) ?? (await from.get(city.id)), city)
  }
  return cities.length
}
