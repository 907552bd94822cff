/** Build step 3: the TypeScript facade and the command compiled to CommonJS, with its declarations, beside the sources. */
import { exists, filesBelow } from './checkout.mjs'
import { must, say } from './run.mjs'
import { fingerprint } from './stamp.mjs'
import { nodeTool } from './tool.mjs'

/** Source files of the facade and of the command, relative to the root. */
function sources() {
  const isSource = (path) => path.endsWith('.ts') && !path.endsWith('.d.ts')
  return ['index.ts', ...filesBelow('lib', isSource), ...filesBelow('cli', isSource)]
}

/** True when a source has both of its outputs. */
function isCompiled(source) {
  const stem = source.slice(0, -'.ts'.length)
  return exists(`${stem}.js`) && exists(`${stem}.d.ts`)
}

export const facade = {
  name: 'facade',
  inputs: () => fingerprint([...sources(), 'tsconfig.json', 'package-lock.json']),
  isDone: () => sources().every(isCompiled),
  run() {
    say('compiling the TypeScript facade (tsc)')
    must('tsc', nodeTool('tsc', '-p', '.'))
  },
}
