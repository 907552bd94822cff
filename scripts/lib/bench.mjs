/** `npm run bench`: builds what is stale, installs the peers into `benchmark/`, and hands over to the benchmark. */
import { spawnSync } from 'node:child_process'
import { exists, inRoot } from './checkout.mjs'
import { must, say } from './run.mjs'
import { fingerprint, isFresh, remember } from './stamp.mjs'
import { build } from './steps.mjs'
import { npm } from './tool.mjs'

/** The peers come as prebuilt packages; none of them needs an install script. */
function installPeers() {
  const print = fingerprint(['benchmark/package-lock.json'], process.platform, process.arch)
  if (exists('benchmark', 'node_modules', '.package-lock.json') && isFresh('peers', print)) return
  say('installing the peers of the benchmark (npm ci)')
  must('npm ci', npm('ci', '--prefix', 'benchmark', '--ignore-scripts', '--no-audit', '--no-fund'))
  remember('peers', print)
}

/** The benchmark with all options passed on. */
export function bench(args) {
  build()
  installPeers()
  const program = inRoot('benchmark', 'bench.mjs')
  return spawnSync(process.execPath, ['--no-warnings', program, ...args], { stdio: 'inherit' }).status ?? 1
}
