/** Bar charts of a run as SVG, one for each suite, into `docs/benchmarks`: rates relative to the best engine of a workload. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { OURS } from '../engines/index.mjs'
import { shown } from './numbers.mjs'

const DIRECTORY = new URL('../../docs/benchmarks/', import.meta.url)
const BAR = 14
const GAP = 22
const LABEL = 150
const WIDTH = 460
const COLOURS = { ours: '#1f6feb', peer: '#a0a8b4', text: '#57606a' }

/** Writes a chart for each suite in a run. */
export function writeCharts(summary) {
  mkdirSync(DIRECTORY, { recursive: true })
  for (const suite of new Set(summary.map((line) => line.suite))) {
    writeFileSync(new URL(`${suite}.svg`, DIRECTORY), chart(summary.filter((line) => line.suite === suite)))
  }
}

function chart(lines) {
  const parts = []
  let y = 10
  for (const workload of new Set(lines.map((line) => line.workload))) {
    const bars = lines.filter((line) => line.workload === workload).sort((a, b) => b.ops_per_s - a.ops_per_s)
    parts.push(text(0, y + 11, workload, 'start', 'bold'))
    y += 18
    for (const { engine, ops_per_s: rate } of bars) {
      const width = Math.max(1, (rate / bars[0].ops_per_s) * WIDTH).toFixed(1)
      const fill = engine === OURS ? COLOURS.ours : COLOURS.peer
      parts.push(text(LABEL - 8, y + 11, engine, 'end'))
      parts.push(`<rect x="${LABEL}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${fill}"/>`)
      parts.push(text(LABEL + Number(width) + 6, y + 11, `${shown(rate)}/s`))
      y += BAR + 3
    }
    y += GAP - 8
  }
  const size = `width="${LABEL + WIDTH + 110}" height="${y}" viewBox="0 0 ${LABEL + WIDTH + 110} ${y}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">\n${parts.join('\n')}\n</svg>\n`
}

const text = (x, y, content, anchor = 'start', weight = 'normal') =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" font-weight="${weight}" fill="${COLOURS.text}">${content}</text>`
