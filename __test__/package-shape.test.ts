/** The package as users will get it: what it holds and what it lacks, how it resolves, and that it brings nothing along. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { runQuietly } from '../scripts/lib/run.mjs'
import { npm } from '../scripts/lib/tool.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What these tests read of a package.json. */
interface Manifest {
  readonly version: string
  readonly files: readonly string[]
  readonly main: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly napi: { readonly targets: readonly string[]; readonly packageName: string }
  readonly name: string
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const manifest = manifestOf(root)

/** The paths that `npm pack` would put into the package. */
function packed(): string[] {
  const { code, output } = runQuietly(npm('pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=silent'))
  if (code !== 0) throw new Error(output)
  const [{ files }] = JSON.parse(output) as [{ files: { path: string }[] }]
  return files.map(({ path }) => path)
}

test('the package holds the facade in both module formats, with its declarations and the loader of the addon', (t) => {
  const paths = packed()
  for (const path of ['index.js', 'index.mjs', 'index.d.ts', 'index.d.mts', 'native.js', 'LICENSE', 'README.md']) {
    t.true(paths.includes(path), `${path} is missing`)
  }
  const sources = readdirSync(join(root, 'lib')).filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
  t.true(sources.length > 0)
  for (const source of sources) {
    const stem = `lib/${source.slice(0, -'.ts'.length)}`
    t.true(paths.includes(`${stem}.js`) && paths.includes(`${stem}.d.ts`), `${stem} is not compiled into the package`)
  }
})

test('the package holds no sources, no tests, no binary and nothing of the demo', (t) => {
  const unwanted = /^(crates|__test__|examples|scripts|docs|npm|target)\/|\.node$|\.rs$|(?<!\.d)\.ts$/
  t.deepEqual(
    packed().filter((path) => unwanted.test(path)),
    [],
  )
})

test('every pattern of the files list stands for something', (t) => {
  const paths = packed()
  for (const pattern of manifest.files) {
    const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`)
    t.true(
      paths.some((path) => expression.test(path)),
      `nothing matches ${pattern}`,
    )
  }
})

test('installing the package installs nothing else and runs nothing', (t) => {
  t.is(manifest.dependencies, undefined)
  t.is(manifest.peerDependencies, undefined)
  // The platform packages are added as optional dependencies when a version is published, and only those.
  const optional = Object.keys(manifest.optionalDependencies ?? {})
  t.true(optional.every((name) => name.startsWith(`${manifest.napi.packageName}-`)))
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish', 'prepublishOnly']
  t.deepEqual(
    Object.keys(manifest.scripts ?? {}).filter((name) => hooks.includes(name)),
    [],
  )
  t.false(existsSync(join(root, 'binding.gyp')), 'npm would run node-gyp by itself')
})

test('import and require resolve to the two entry files and see the same classes', async (t) => {
  const require = createRequire(join(root, 'package.json'))
  t.is(require.resolve('fountainstore'), join(root, 'index.js'))
  t.is(require.resolve('fountainstore/package.json'), join(root, 'package.json'))
  t.throws(() => require.resolve('fountainstore/native.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' })
  const required = require('fountainstore') as Record<string, unknown>
  const imported = (await import('../index.mjs')) as Record<string, unknown>
  t.is(typeof required.FountainStore, 'function')
  const names = Object.keys(required).filter((name) => name !== '__esModule')
  t.deepEqual(Object.keys(imported).sort(), names.sort())
  for (const name of names) t.is(imported[name], required[name], `${name} differs`)
})

test('there is one platform package for each target, of the same version, named for its binary', (t) => {
  const folders = readdirSync(join(root, 'npm'))
  t.is(folders.length, manifest.napi.targets.length)
  for (const folder of folders) {
    const platform = manifestOf(join(root, 'npm', folder))
    t.is(platform.name, `${manifest.napi.packageName}-${folder}`)
    t.is(platform.version, manifest.version)
    t.is(platform.main, `fountainstore.${folder}.node`)
    t.deepEqual(platform.files, [platform.main])
    t.is(platform.scripts, undefined)
  }
})
