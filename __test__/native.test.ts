/** Rules of the binding that no behaviour shows, and hosts that the tests do not run on. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { load, type NativeBinding } from '../lib/native.js'
import { root } from './support.js'

const sources = readdirSync(join(root, 'crates/node/src')).map((name) => ({
  name,
  text: readFileSync(join(root, 'crates/node/src', name), 'utf8'),
}))

test('every exported function catches panics', (t) => {
  const exported = sources.flatMap(({ name, text }) =>
    [...text.matchAll(/#\[napi(.*)\]\n(.*)/g)].map((m) => [name, ...m]),
  )
  const functions = exported.filter(([, , , item]) => /\bfn\b/.test(item ?? ''))
  t.true(functions.length >= 20)
  for (const [name, , attribute, item] of functions) t.is(attribute, '(catch_unwind)', `${name}: ${item}`)
})

// Which functions of Node-API are called cannot be read from the binary, which looks all of them up by name.
test('no exported function gives memory of Rust to JavaScript, so no external buffers exist', (t) => {
  const declarations = readFileSync(join(root, 'native.d.ts'), 'utf8')
  const answers = [...declarations.matchAll(/export declare function \w+\(.*\): (.*)/g)].map(([, type]) => type)
  t.true(answers.length >= 20)
  t.deepEqual([...new Set(answers)].sort(), ['number', 'string', 'void'])
  for (const { name, text } of sources) {
    t.notRegex(text, /External|ArrayBuffer|Uint8Array|Buffer::from|BufferSlice::(from|copy)/, name)
  }
})

test('the addon uses Node-API only: it links nothing of V8', (t) => {
  const binary = readdirSync(root).find((name) => name.endsWith('.node'))
  const bytes = readFileSync(join(root, binary ?? 'missing')).toString('latin1')
  t.true(bytes.includes('napi_register_module_v1'))
  t.notRegex(bytes, /_ZNK?2v8|@v8@@/)
})

test('the binding uses no libuv pool and no async runtime', (t) => {
  for (const { name, text } of sources) t.notRegex(text, /AsyncTask|AsyncWork|async fn|tokio/, name)
  t.notRegex(readFileSync(join(root, 'crates/node/Cargo.toml'), 'utf8'), /tokio|"async"/)
})

test('a host without Node-API 8 is told so', (t) => {
  const never = () => t.fail('the addon must not be loaded') as never
  for (const level of [undefined, '7', 'none']) {
    t.throws(() => load(level, never), { code: 'ERR_UNSUPPORTED_RUNTIME', message: /needs Node-API 8.*has (none|7)/ })
  }
  const binding = {} as NativeBinding
  t.is(
    load('10', () => binding),
    binding,
  )
})

test('a missing binary is an error that names the package and the way out', (t) => {
  const cause = new Error('Cannot find native binding')
  const missing = () => {
    throw cause
  }
  const error = t.throws(() => load('9', missing), { code: 'ERR_NO_BINARY' })
  t.is(error?.cause, cause)
  t.true(error?.message.includes(`@fountainstore/native-${process.platform}-${process.arch}`), error?.message)
  t.regex(error?.message ?? '', /npm run build/)
})
