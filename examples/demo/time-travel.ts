/**
 * Reading the past: thousands of records are changed and deleted, and the state before stays readable, through an open
 * snapshot and, after the store was closed and opened again, through its sequence number alone.
 */
import type { Collection, FountainStore, Snapshot } from '../../index.mjs'
import { byCountry, type City } from './dataset.ts'
import { promised, promisedEqual } from './promise.ts'
import type { Report } from './report.ts'

/** Operations in one atomic commit. */
const BATCH = 1000

/** What has to stay readable. */
export interface Past {
  readonly sequence: number
  /** The two largest countries as they were, in key order: one is changed, the other deleted. */
  readonly changed: readonly City[]
  readonly deleted: readonly City[]
}

type Operation = { readonly put: City } | { readonly delete: string }

/** Changes one country, deletes another, and proves the present and, through a snapshot, the past. */
export async function changeAndLookBack(
  cities: readonly City[],
  store: FountainStore,
  collection: Collection<City>,
  report: Report,
): Promise<Past> {
  const [changed = [], deleted = []] = byCountry(cities)
  const snapshot = store.snapshot()
  const past: Past = { sequence: snapshot.sequence, changed, deleted }
  report.tell(`  snapshot taken at sequence ${snapshot.sequence}`)
  const visits = changed.map((city): Operation => ({ put: { ...city, visited: true } }))
  await report.time('records changed', () => apply(visits, collection))
  const removals = deleted.map((city): Operation => ({ delete: city.id }))
  await report.time('records deleted', () => apply(removals, collection))
  await report.time('changed records read at the newest state', () => checkPresent(past, collection))
  await report.time('old versions read through the snapshot', () => checkPast(past, snapshot, collection))
  await snapshot.close()
  return past
}

/** Proves, in a store that was closed and opened again, that the past is still there under its sequence number. */
export async function lookBackAfterReopening(
  past: Past,
  store: FountainStore,
  collection: Collection<City>,
  report: Report,
): Promise<void> {
  const view = store.at(past.sequence)
  await report.time('old versions read after reopening, by sequence', () => checkPast(past, view, collection))
  await view.close()
  report.tell(`  reopened at sequence ${store.sequence}; sequence ${past.sequence} reads as it did`)
}

/** Applies the operations in atomic batches; returns how many there were. */
async function apply(operations: readonly Operation[], to: Collection<City>): Promise<number> {
  for (let start = 0; start < operations.length; start += BATCH) await to.batch(operations.slice(start, start + BATCH))
  return operations.length
}

/** The records of one country, now or at a snapshot. */
function countryOf(sample: City | undefined, from: Collection<City>, snapshot?: Snapshot): Promise<City[]> {
  return from.scan({ prefix: `${sample?.country}:`, ...(snapshot && { snapshot }) }).toArray()
}

/** Proves that the newest state has every change and nothing that was deleted; returns how many records it read. */
export async function checkPresent(past: Past, from: Collection<City>): Promise<number> {
  const now = await countryOf(past.changed[0], from)
  const wanted = past.changed.map((city) => ({ ...city, visited: true }))
  promisedEqual('a change is read after it was committed', now, wanted)
  const gone = await countryOf(past.deleted[0], from)
  promised('a deleted record is gone', gone.length === 0, () => `${gone.length} records are still there`)
  return now.length
}

/** Proves that the old state reads as it was, changed and deleted records alike; returns how many records it read. */
async function checkPast(past: Past, at: Snapshot, from: Collection<City>): Promise<number> {
  const changed = await countryOf(past.changed[0], from, at)
  promisedEqual('a snapshot reads changed records as they were', changed, past.changed)
  const deleted = await countryOf(past.deleted[0], from, at)
  promisedEqual('a snapshot reads deleted records as they were', deleted, past.deleted)
  return changed.length + deleted.length
}
