/** Reports as text for people. */
import type { CheckedContents, CheckedFile, RepairNote, SalvageLoss, SalvageReport, VerifyReport } from '../index.js'

const NOTES: Record<string, string> = {
  torn_tail: 'an append that was cut short; the next open discards it',
  left_over: 'left over from a crash; the next open removes it',
  quarantined: 'moved aside by an earlier recovery',
  foreign: 'not a file of the store',
  large_log: 'too large a log: records and indexes were not looked at; open and close the store first',
}

/** What `verify` found, line by line. */
export function verifyText(report: VerifyReport): string {
  const { contents } = report
  const faults = [...faultLines(report.files), ...(contents === null ? [] : contentLines(contents))]
  const count = faults.length + (contents?.moreFaults ?? 0)
  const holds = contents === null ? '' : `, ${contents.records} records in ${contents.collections} collections`
  const closed = report.closedCleanly ? 'closed in good order' : 'not closed'
  const summary = report.sound ? 'sound' : `${count} ${plural(count, 'fault')}`
  return lines([
    ...faults,
    ...(count > faults.length ? [`and ${count - faults.length} more`] : []),
    ...report.notes.map(noteLine),
    `${report.path}: ${summary}; ${report.files.length} files, ${report.bytes} bytes${holds}, newest commit ${report.sequence}, ${closed}`,
  ])
}

/** What `salvage` did, line by line. */
export function salvageText(report: SalvageReport): string {
  const { losses, renamed } = report
  const missing = report.complete ? 'nothing is missing' : `${losses.length} ${plural(losses.length, 'loss', 'losses')}`
  return lines([
    ...faultLines(report.files),
    ...report.notes.map(noteLine),
    ...losses.map(lossLine),
    ...(renamed.length > 0 ? [`collections whose names are lost: ${renamed.join(', ')}`] : []),
    ...(report.historyFrom > 0 ? [`the past can be read from commit ${report.historyFrom} on`] : []),
    `${report.destination}: ${missing}; ${report.versions} versions in ${report.tables} tables, newest commit ${report.sequence}`,
  ])
}

function faultLines(files: readonly CheckedFile[]): string[] {
  return files.flatMap(({ path, faults }) =>
    faults.map(({ offset, code, found }) => `${path} at ${offset}: ${code}: ${found}`),
  )
}

function contentLines({ faults }: CheckedContents): string[] {
  return faults.map(({ code, collection, index, key, found }) => {
    const place = [
      ...(collection === null ? [] : [`collection ${collection}`]),
      ...(index === null ? [] : [`index ${index}`]),
      ...(key === null ? [] : [`key ${JSON.stringify(key)}`]),
    ]
    return `${[place.join(', '), code, found].filter(Boolean).join(': ')}`
  })
}

function noteLine({ path, code }: RepairNote): string {
  return `${path}: ${NOTES[code] ?? code}`
}

function lossLine(loss: SalvageLoss): string {
  const { first, last } = loss.sequences
  const commits = last === null ? `commits from ${first} on` : `commits ${first} to ${last}`
  const whose = [...loss.collections, ...(loss.catalog ? ['the catalog'] : [])].join(', ')
  const { start, end } = loss.keys
  const keys = start === '' && end === null ? 'any key' : `keys ${start || 'from the first'} to ${end ?? 'the last'}`
  const certainty = loss.certain ? 'missing' : 'perhaps missing'
  return `${certainty}: ${commits} of ${whose || 'no collection'}, ${keys} (${loss.path} at ${loss.offset}: ${loss.found})`
}

function plural(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? one : many
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('')
}
