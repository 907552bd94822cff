/**
 * Build step 2: the native addon of this platform and its generated loader, native.js.
 *
 * Built with cargo when there is cargo. Without it, an installed prebuilt package of this platform serves; with neither,
 * the message says exactly that, because it is the first thing a newcomer without Rust meets.
 */
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { exists, filesBelow, inRoot } from './checkout.mjs'
import { StepError } from './errors.mjs'
import { platformName } from './platform.mjs'
import { mustAloud, say } from './run.mjs'
import { fingerprint } from './stamp.mjs'
import { cargo, nodeTool, works } from './tool.mjs'

const BINARY = `fountainstore.${platformName()}.node`
const PREBUILT = `@fountainstore/native-${platformName()}`

/** Everything that decides what the addon is: crate sources, manifests, build scripts and the lockfile. */
function inputs() {
  const crates = filesBelow('crates', (path) => /^crates\/[^/]+\/(src\/.*|Cargo\.toml|build\.rs)$/.test(path))
  return fingerprint(['Cargo.toml', 'Cargo.lock', ...crates], platformName())
}

/** True when the prebuilt package of this platform is installed. */
function hasPrebuilt() {
  try {
    createRequire(inRoot('package.json')).resolve(PREBUILT)
    return true
  } catch {
    return false
  }
}

function buildWithCargo() {
  say('building the native addon (a release build: minutes the first time, seconds later)')
  const target = ['--platform', '--release', '--manifest-path', 'crates/node/Cargo.toml', '--output-dir', '.']
  const loader = ['--js', 'native.js', '--dts', 'native.d.ts', '--no-const-enum']
  mustAloud('napi build', nodeTool('napi', 'build', ...target, ...loader))
}

function missingEverything() {
  return new StepError(
    [
      `no Rust toolchain (cargo) was found, and no prebuilt binary for this platform is installed.`,
      `  Either install Rust with rustup (https://rustup.rs) and run the command again,`,
      `  or install the prebuilt package: npm install --no-save ${PREBUILT}`,
    ].join('\n'),
  )
}

export const native = {
  name: 'native',
  inputs,
  isDone: () => exists(BINARY) && exists('native.js'),
  run() {
    if (works(cargo('--version'))) return buildWithCargo()
    if (!hasPrebuilt()) throw missingEverything()
    say(`no cargo found: using the prebuilt ${PREBUILT}`)
    // napi generates the loader together with the addon; without a build, one line does the same for this platform.
    if (!exists('native.js')) writeFileSync(inRoot('native.js'), `module.exports = require('${PREBUILT}')\n`)
  },
}
