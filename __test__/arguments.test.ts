/** Arguments of wrong kinds are refused by name before anything is done, also those that say something else each time. */
import test from 'ava'
import { type Cursor, Index, type IndexDefinition, path, type Schema } from '../index.mjs'
import { fails, newStore } from './support.js'

interface Item {
  id: string
  n?: number
}

const code = 'ERR_INVALID_ARGUMENT'

test('an option is read once, so that what was checked is what is used', async (t) => {
  const items = (await newStore(t)).collection<Item>('items')
  const changing = (...values: unknown[]) => ({
    enumerable: true,
    get: () => (values.length > 1 ? values.shift() : values[0]),
  })
  const options = (name: string, ...values: unknown[]) =>
    Object.defineProperty({}, name, changing(...values)) as Record<string, never>
  // One that came in unchecked would take the others of its tick with it.
  const written = await Promise.all([
    items.put({ id: 'a' }),
    items.put({ id: 'b' }, options('expiresAt', 9e15, 'never')),
    items.put({ id: 'c' }, options('ttl', 9e14, {})),
    items.put({ id: 'd' }, options('durability', 'memory', 'forever')),
  ])
  t.is(written.length, 4)
  await items.put({ id: 'a' }, options('ifSequence', written[0].sequence, Number.NaN))
  t.is((await items.scan(options('limit', 2, 'all')).toArray()).length, 2)
  t.is((await items.find(options('limit', 3, 'all')).toArray()).length, 3)
  t.deepEqual(await items.get('a', options('signal', undefined, 5)), { id: 'a' })
  t.deepEqual(await items.get('a', options('snapshot', undefined, 5)), { id: 'a' })
})

test('methods of queries name what they cannot use', async (t) => {
  const items = (await newStore(t)).collection<Item>('items')
  await items.batch([{ put: { id: 'a', n: 1 } }, { put: { id: 'b', n: 2 } }])
  const query = items.find()
  await fails(t, () => query.hint(undefined as never), { code })
  await fails(t, () => query.hint(null as never), { code })
  await fails(t, () => query.hint({ indx: 'byN' } as never), { code, place: 'options.indx' })
  await fails(t, () => query.hint({ maxScanned: -1 }), { code })
  // Without a cursor all would be found anew, by a loop that has come to its end for ever.
  await fails(t, () => query.after(undefined as unknown as Cursor), { code, place: 'cursor' })
  await fails(t, () => query.after(null as unknown as Cursor), { code, place: 'cursor' })
  await fails(t, () => query.toArray({ sginal: undefined } as never), { code, place: 'options.sginal' })
  await fails(t, () => query.toArray({ signal: 5 } as never), { code })
  await fails(t, () => query.pages(null as never), { code })
  await fails(t, () => items.find({ orderBy: 'n' } as never), { code })
  await fails(t, () => items.find({ orderBy: [null] } as never).toArray(), { code: 'ERR_VALIDATION' })
  for (const wrong of [5n, undefined, Symbol('n'), '\ud800', ['n'], { path: 'n' }] as unknown as 'n'[]) {
    await fails(t, () => query.select(wrong).toArray(), { code: 'ERR_VALIDATION' })
    await fails(t, () => query.omit(wrong).toArray(), { code: 'ERR_VALIDATION' })
    await fails(t, () => query.orderBy(wrong).toArray(), { code: 'ERR_VALIDATION' })
    await fails(t, () => query.distinct(wrong), { code: 'ERR_VALIDATION' })
  }
  await fails(t, () => query.explain(5n as never), { code: 'ERR_VALIDATION' })
  t.deepEqual(await query.select('n').orderBy('n', 'desc').hint({}).toArray({}), [{ n: 2 }, { n: 1 }])
})

test('a hole in a list is refused with its place', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  await fails(t, () => items.getMany(['a', , 'b'] as string[]), { code: 'ERR_INVALID_KEY', place: 'keys[1]' })
  const put = items.putOp({ id: 'a' })
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  await fails(t, () => store.batch([put, , put] as (typeof put)[]), { code, place: 'operations[1]' })
  t.is(await items.get('a'), undefined)
})

test('an item of a batch with other members is told which', async (t) => {
  const items = (await newStore(t)).collection<Item>('items')
  const item = { put: { id: 'a' }, ifSequence: 5 }
  await fails(t, () => items.batch([item]), { code, place: 'items[0]', says: /it has put, ifSequence$/ })
  await fails(t, () => items.batch([{ delete: 'a', ttl: 5 } as never]), { code, says: /knows none$/ })
})

test('a validator that answers as none may is refused by name', async (t) => {
  const store = await newStore(t)
  for (const answer of [undefined, null, 5, {}, { issues: 'none' }, { issues: [null] }]) {
    const schema = { '~standard': { version: 1, vendor: 'x', validate: () => answer } } as unknown as Schema<Item>
    const items = store.collection('items', { schema })
    await fails(t, () => items.put({ id: 'a' }), { code, place: 'schema' })
  }
  const validate = () => ({ issues: [{ message: 'no', path: [null, 'a'] }] })
  const schema = { '~standard': { version: 1, vendor: 'x', validate } } as unknown as Schema<Item>
  await fails(t, () => store.collection('items', { schema }).put({ id: 'a' }), { code: 'ERR_VALIDATION' })
})

test('definitions of indexes and collections are refused for what nobody knows in them', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  const define = (definition: unknown) => items.defineIndex('byN', definition as IndexDefinition)
  await fails(t, () => define(undefined), { code, place: 'definition' })
  await fails(t, () => define('n'), { code, place: 'definition' })
  await fails(t, () => define({ kind: 'multi', on: 'n', sprase: true }), { code, place: 'definition.sprase' })
  const computed = { version: 1, values: () => [] }
  await fails(t, () => define({ ...computed, kid: 'unique' }), { code, place: 'definition.kid' })
  await fails(t, () => define({ ...computed, on: 'n' }), { code, says: /^definition\.on must not be there/ })
  await fails(t, () => define({ kind: 'multi', on: 'n\ud800' }), { code, place: 'definition.on' })
  // What is beside a document is no part of it; a member of such a name is written in brackets.
  const code2 = 'ERR_VALIDATION'
  for (const on of ['$id', '.$seq', '$createdSeq', '$anything']) {
    await fails(t, () => define({ kind: 'multi', on }), { code: code2, place: 'definition.on' })
    await fails(t, () => Index.multi('byN', ['n', on]), { code: code2, place: 'on' })
    await fails(t, () => store.createCollection('c', { ttl: on }), { code: code2, place: 'options.ttl' })
  }
  await define({ kind: 'multi', on: '["$id"]' })
  await items.put({ id: 'a', $id: 'x' } as Item)
  t.is((await items.byIndex('byN', 'x')).length, 1)
  t.deepEqual(items.indexes()[0]?.on, [path('["$id"]')])
  await fails(t, () => store.alterCollection('items', undefined as never), { code, place: 'settings' })
})
