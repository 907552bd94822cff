/**
 * The demo: the main job on real input, from an empty directory to a store that survived being killed.
 *
 * It uses the public API only. It exits 0 if every promise held, 1 if one was broken (and says which), 2 on bad options.
 */
import { FountainStore } from '../../index.mjs'
import { surviveKills } from './crash.ts'
import { type City, loadCities } from './dataset.ts'
import { freshDirectory } from './directory.ts'
import { importCities } from './import.ts'
import { type Options, readOptions, USAGE, UsageError } from './options.ts'
import { BrokenPromise, promisedEqual } from './promise.ts'
import { showReads } from './reads.ts'
import { Report } from './report.ts'
import { changeAndLookBack, checkPresent, lookBackAfterReopening, type Past } from './time-travel.ts'

const CITIES = 'cities'

/** Import, reads, changes and the look back, in a store that is open the whole time. */
async function liveStore(path: string, cities: readonly City[], report: Report): Promise<Past> {
  const store = await FountainStore.open(path)
  try {
    const collection = store.collection<City>(CITIES)
    report.tell(`Importing ${cities.length.toLocaleString('en')} cities`)
    await importCities(cities, collection, report)
    report.tell('Reading')
    await showReads(cities, collection, report)
    report.tell('Changing, deleting, and looking back')
    return await changeAndLookBack(cities, store, collection, report)
  } finally {
    await store.close()
  }
}

/** The look back in a store opened anew. */
async function reopenedStore(path: string, past: Past, report: Report): Promise<void> {
  const started = performance.now()
  const store = await FountainStore.open(path)
  try {
    report.add('store reopened', 1, performance.now() - started)
    await lookBackAfterReopening(past, store, store.collection<City>(CITIES), report)
  } finally {
    await store.close()
  }
}

/** After the crashes: everything that was there before them still is. */
async function finalCheck(path: string, total: number, past: Past, report: Report): Promise<void> {
  const store = await FountainStore.open(path)
  try {
    const collection = store.collection<City>(CITIES)
    await checkPresent(past, collection)
    await report.time('cities counted at the end', async () => {
      let count = 0
      for await (const page of collection.scan().pages()) count += page.length
      promisedEqual('crashes lose nothing that was there before', count, total - past.deleted.length)
      return count
    })
  } finally {
    await store.close()
  }
}

async function run(options: Options): Promise<void> {
  const report = new Report(options.json)
  const path = freshDirectory(options.dir)
  const cities = loadCities(options.limit)
  const past = await liveStore(path, cities, report)
  await reopenedStore(path, past, report)
  report.tell(`Killing ${options.kills} writing ${options.kills === 1 ? 'process' : 'processes'} with SIGKILL`)
  await surviveKills(path, options.kills, report)
  await finalCheck(path, cities.length, past, report)
  report.close()
}

try {
  await run(readOptions(process.argv.slice(2)))
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${USAGE}`)
  else console.error(error instanceof BrokenPromise ? error.message : error)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
