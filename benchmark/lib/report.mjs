/**
 * What the rounds say: for each workload and engine the medians, and the ratio of our rate to the best peer's.
 *
 * A ratio is made within a round, so that both of its sides met the machine in the same mood; the median of the rounds'
 * ratios is what counts, and the least and greatest are shown beside it.
 */
import { OURS } from '../engines/index.mjs'
import { shown, spread } from './numbers.mjs'
import { TARGETS, WORKLOADS } from './suites.mjs'

const MEASURES = ['ops_per_s', 'p50_us', 'p99_us', 'rss_mb', 'bytes_on_disk', 'loop_delay_p99_ms']

/** One line for each workload and engine. */
export function summarize(lines, engines) {
  return WORKLOADS.filter((workload) => lines.some((line) => line.workload === workload)).flatMap((workload) => {
    const all = lines.filter((line) => line.workload === workload)
    const measured = engines.filter((engine) => all.some((line) => line.engine === engine))
    const peers = measured.filter((engine) => engine !== OURS)
    const best = peers.toSorted((a, b) => rate(all, b) - rate(all, a))[0]
    return measured.map((engine) => {
      const own = all.filter((line) => line.engine === engine)
      const medians = Object.fromEntries(
        MEASURES.map((name) => [name, spread(own.map((line) => line[name]))?.median ?? null]),
      )
      const ratio = best === undefined ? null : ratios(all, engine, best)
      return {
        suite: own[0].suite,
        workload,
        engine,
        ...medians,
        ratio_to_best_peer: ratio?.median ?? null,
        ratio_least: ratio?.least ?? null,
        ratio_most: ratio?.most ?? null,
        best_peer: best ?? null,
        ...(engine === OURS && { targets: targets(lines, workload, best) }),
      }
    })
  })
}

const rate = (lines, engine) =>
  spread(lines.filter((line) => line.engine === engine).map((line) => line.ops_per_s))?.median ?? 0

/** Ratios of the rates of two engines, round by round. */
function ratios(lines, engine, other) {
  const of = (name, round) => lines.find((line) => line.engine === name && line.round === round)?.ops_per_s
  const rounds = [...new Set(lines.map((line) => line.round))]
  return spread(
    rounds.map((round) => (of(engine, round) && of(other, round) ? of(engine, round) / of(other, round) : null)),
  )
}

/** The targets of a workload with what was reached; those whose other side was not measured are left out. */
function targets(lines, workload, best) {
  return (TARGETS[workload] ?? []).flatMap(({ to, workload: against = workload, least }) => {
    const other = to === 'best' ? best : to === 'own' ? OURS : to
    const ours = lines.filter((line) => line.workload === workload && line.engine === OURS)
    const theirs = lines.filter((line) => line.workload === against && line.engine === other)
    const reached = spread(
      ours.map(({ round, ops_per_s }) => {
        const match = theirs.find((line) => line.round === round)
        return match ? ops_per_s / match.ops_per_s : null
      }),
    )
    if (reached === null) return []
    return [
      {
        to: to === 'own' ? `our ${against}` : other,
        least,
        reached: Number(reached.median.toPrecision(3)),
        met: reached.median >= least,
      },
    ]
  })
}

/** A table for people: a workload in a block, an engine in a line. */
export function table(summary) {
  const out = []
  for (const workload of new Set(summary.map((line) => line.workload))) {
    const lines = summary.filter((line) => line.workload === workload).sort((a, b) => b.ops_per_s - a.ops_per_s)
    out.push('', workload)
    out.push('  engine            ops/s      p50 µs     p99 µs   RSS MB  disk MB  loop p99 ms   to best peer')
    for (const line of lines) out.push(row(line))
    for (const { to, least, reached, met } of lines.find((line) => line.targets)?.targets ?? []) {
      out.push(`  ${met ? 'met   ' : 'MISSED'} ${reached} of ${to}, at least ${least} is wanted`)
    }
  }
  return out.join('\n')
}

function row(line) {
  const cells = [
    line.engine.padEnd(14),
    shown(line.ops_per_s).padStart(10),
    shown(line.p50_us).padStart(11),
    shown(line.p99_us).padStart(11),
    shown(line.rss_mb).padStart(8),
    shown(line.bytes_on_disk / 1e6).padStart(8),
    shown(line.loop_delay_p99_ms).padStart(11),
  ]
  const ratio =
    line.ratio_to_best_peer === null
      ? ''
      : `${shown(line.ratio_to_best_peer)} [${shown(line.ratio_least)}..${shown(line.ratio_most)}]`
  return `  ${cells.join(' ')}   ${ratio}`
}
