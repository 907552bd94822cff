/** Build step 1: node_modules as the lockfile says. */
import { exists } from './checkout.mjs'
import { must, say } from './run.mjs'
import { fingerprint } from './stamp.mjs'
import { npm } from './tool.mjs'

export const dependencies = {
  name: 'dependencies',
  inputs: () => fingerprint(['package-lock.json', '.npmrc'], process.platform, process.arch),
  isDone: () => exists('node_modules', '.package-lock.json'),
  run() {
    say('installing development dependencies (npm ci)')
    must('npm ci', npm('ci', '--no-audit', '--no-fund'))
  },
}
