/** `npm run docs`: the API pages from the doc comments, into docs/api. A warning is an error. */
import { must } from './run.mjs'
import { build } from './steps.mjs'
import { nodeTool } from './tool.mjs'

export function docs() {
  build()
  must('typedoc', nodeTool('typedoc'))
  console.log('API documentation written to docs/api')
}
