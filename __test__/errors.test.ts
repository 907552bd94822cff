/** The closed list of error codes is one list, in Rust and in TypeScript. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { CODES, RETRYABLE } from '../lib/errors.js'
import { fromNative, fromThrown } from '../lib/failures.js'

const rust = readFileSync(join(import.meta.dirname, '../crates/engine/src/error/code.rs'), 'utf8')

test('the engine and the facade know the same codes, in the same order', (t) => {
  const codes = [...rust.matchAll(/Self::(\w+) => "(ERR_\w+)"/g)].map((match) => match[2])
  t.true(codes.length > 20)
  t.deepEqual([...CODES] as (string | undefined)[], codes)
})

test('the engine and the facade agree on what may be tried again', (t) => {
  const names = new Map([...rust.matchAll(/Self::(\w+) => "(ERR_\w+)"/g)].map((match) => [match[1], match[2]]))
  const retryable = rust.slice(rust.indexOf('fn retryable')).matchAll(/Self::(\w+)/g)
  const codes = [...retryable].map((match) => names.get(match[1] ?? ''))
  t.deepEqual([...RETRYABLE].sort() as (string | undefined)[], codes.sort())
})

test('what was known when a call began is told unless the engine knows better', (t) => {
  const known = { path: '/known', collection: 'known', key: 1, pid: 1 }
  t.like(fromNative('{"code":"ERR_IO","message":"m","details":{}}', known), known)
  const better = { path: '/better', collection: 'better', pid: 2 }
  t.like(fromNative(JSON.stringify({ code: 'ERR_IO', message: 'm', details: better }), known), better)
})

test('what the engine throws is known by its code, also where Error is another class', (t) => {
  const text = JSON.stringify({ code: 'ERR_CLOSED', message: 'the store is closed', details: {} })
  const thrown = runInNewContext('Object.assign(new Error(text), { code: "ERR_CLOSED" })', { text })
  t.false(thrown instanceof Error)
  t.like(fromThrown(thrown), { code: 'ERR_CLOSED', message: 'the store is closed' })
  t.like(fromThrown(runInNewContext('new TypeError("odd")')), { code: 'ERR_INTERNAL', message: 'odd' })
  t.like(fromThrown('text'), { code: 'ERR_INTERNAL', message: 'text' })
})
