/** The types hold what they promise: see types.ts. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'
import { root } from './support.js'

test('what must compile compiles, and every expected error occurs', (t) => {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const options = [
    '--noEmit',
    '--strict',
    '--target',
    'es2022',
    '--lib',
    'es2024,esnext.disposable',
    '--module',
    'node20',
  ]
  const args = [
    compiler,
    ...options,
    '--types',
    'node',
    '--skipLibCheck',
    '--noUnusedLocals',
    'false',
    '__test__/types.ts',
    '__test__/query-types.ts',
    '__test__/definition-types.ts',
  ]
  const { status, stdout } = spawnSync(process.execPath, [...args, '--ignoreConfig'], { cwd: root, encoding: 'utf8' })
  t.is(status, 0, stdout)
})
