/** Medians, and numbers as people and programs read them. */

/** The median, the least and the greatest of some numbers; null for those that are missing. */
export function spread(numbers) {
  const sorted = numbers.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { median, least: sorted[0], most: sorted.at(-1) }
}

/** An object with its numbers to four significant digits. */
export function rounded(values) {
  const short = (value) => (typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value)
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, short(value)]))
}

/** A number for people: `1,234`, `12.3`, `0.45`, or a dash. */
export function shown(value) {
  if (value === null || value === undefined) return '–'
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
