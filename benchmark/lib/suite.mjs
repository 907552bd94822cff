/**
 * One suite of one engine in a process of its own: prints a JSON line for each workload that was measured.
 *
 *   node lib/suite.mjs '{"engine":"lmdb","suite":"read","kind":"small","documents":20000,"limitMs":300,"dir":"…","only":null}'
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { rounded } from './numbers.mjs'
import { SUITES } from './suites.mjs'

const asked = JSON.parse(process.argv[2])
const { run } = await import(`../workloads/${SUITES[asked.suite].module}.mjs`)
const lines = []
const wanted = (workload) => asked.only === null || asked.only.includes(workload)
await run({
  ...asked,
  only: wanted,
  report: (workload, measured) => {
    if (wanted(workload)) lines.push({ workload, measured })
  },
})

const rss_mb = process.resourceUsage().maxRSS / 1024
const bytes_on_disk = bytesIn(asked.dir)
for (const { workload, measured } of lines) {
  const { suite, engine } = asked
  console.log(JSON.stringify({ suite, workload, engine, ...rounded({ ...measured, rss_mb }), bytes_on_disk }))
}

/** The bytes that the files below a directory take on the disk, which is less than their length where they have holes. */
function bytesIn(dir) {
  let sum = 0
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) sum += statSync(join(entry.parentPath, entry.name)).blocks * 512
  }
  return sum
}
