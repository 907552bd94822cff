/** A handful of typed reads: single records, all of one country by prefix, bounds, and both directions. */
import type { Collection } from '../../index.mjs'
import { byCountry, byKey, type City } from './dataset.ts'
import { promised, promisedEqual } from './promise.ts'
import type { Report } from './report.ts'

/** Shows the reads and proves each against the source. */
export async function showReads(cities: readonly City[], from: Collection<City>, report: Report): Promise<void> {
  const [expected = []] = byCountry(cities)
  const country = expected[0]?.country ?? ''
  await scanCountry(country, expected, from, report)
  await scanBackwards(country, expected, from, report)
  await scanBounds(expected, from, report)
  await readOne(expected, from, report)
}

async function scanCountry(country: string, expected: City[], from: Collection<City>, report: Report): Promise<void> {
  await report.time(`cities scanned by prefix ${country}:`, async () => {
    const found: City[] = []
    for await (const city of from.scan({ prefix: `${country}:` })) found.push(city)
    promisedEqual('a prefix scan returns exactly the matching records, in key order', found, expected)
    return found.length
  })
  report.tell(`  ${country}: has ${expected.length.toLocaleString('en')} cities, the first is ${expected[0]?.name}`)
}

async function scanBackwards(country: string, expected: City[], from: Collection<City>, report: Report): Promise<void> {
  const last = await from.scan({ prefix: `${country}:`, reverse: true, limit: 3 }).toArray()
  promisedEqual('a reverse scan returns the last records first', last, expected.slice(-3).reverse())
  report.tell(`  the last three, in reverse: ${last.map((city) => city.name).join(', ')}`)
}

async function scanBounds(expected: City[], from: Collection<City>, report: Report): Promise<void> {
  const low = expected[Math.floor(expected.length / 4)]
  const high = expected[Math.floor(expected.length / 2)]
  if (!low || !high) return
  const found = await from.scan({ gte: low.id, lt: high.id }).toArray()
  const wanted = expected.filter((city) => byKey(city, low) >= 0 && byKey(city, high) < 0)
  promisedEqual('gte includes its bound and lt does not', found, wanted)
  report.tell(`  from ${low.name} up to ${high.name}: ${found.length.toLocaleString('en')} cities`)
}

async function readOne(expected: City[], from: Collection<City>, report: Report): Promise<void> {
  const city = expected[0]
  if (!city) return
  const found = await from.get(city.id)
  promisedEqual('get returns the document that was put', found, city)
  const missing = await from.get('no such key')
  promised('a missing key reads as undefined', missing === undefined, () => `found ${JSON.stringify(missing)}`)
  report.tell(`  one record, typed: ${found?.name} lies at ${found?.at.lat}° N, ${found?.at.lng}° E`)
}
