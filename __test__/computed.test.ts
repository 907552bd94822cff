/** Indexes on what a function of the program computes: what is found, who may write, what was there before. */
import { execFile } from 'node:child_process'
import { setImmediate as turn } from 'node:timers/promises'
import { promisify } from 'node:util'
import test from 'ava'
import { type ComputedIndex, FountainStore, Index, StoreError, type } from '../index.mjs'
import { directory, fails, newStore, root } from './support.js'

interface Note {
  id: string
  text: string
}

const words = (note: { text: string }) => note.text.split(/\s+/).filter((word) => word !== '')
const WORDS = { version: 1, values: words }
const declared = { schema: type<Note>(), indexes: { byWord: WORDS } }
const ids = (notes: readonly Note[]) => notes.map((note) => note.id)

test('documents are found by what the function computes, however they are written', async (t) => {
  const store = await newStore(t)
  const notes = store.collection('notes', declared)
  await notes.ready()
  await notes.put({ id: 'a', text: 'fountain pen' })
  await notes.putJson('{"id":"b","text":"pen and paper"}')
  await notes.batch([{ insert: { id: 'c', text: '' } }, { put: { id: 'd', text: 'Pen' } }])
  await store.batch([notes.putOp({ id: 'e', text: 'ink pen' })])
  await store.transaction(async (tx) => {
    const inside = tx.collection(notes)
    inside.put({ id: 'f', text: 'pen' })
    t.deepEqual(ids(await inside.byIndex('byWord', 'pen')), ['a', 'b', 'e', 'f'])
  })
  t.deepEqual(await notes.get('a'), { id: 'a', text: 'fountain pen' })
  t.deepEqual(ids(await notes.byIndex('byWord', 'pen')), ['a', 'b', 'e', 'f'])
  t.deepEqual(ids(await notes.scanIndex('byWord', 'p').toArray()), ['b', 'a', 'b', 'e', 'f'])
  const past = store.snapshot()
  await notes.updateWhere({ id: 'a' }, { text: 'quill' })
  await notes.delete('b')
  t.deepEqual(ids(await notes.byIndex('byWord', 'pen')), ['e', 'f'])
  t.deepEqual(ids(await notes.byIndex('byWord', 'quill')), ['a'])
  t.deepEqual(ids(await notes.byIndex('byWord', 'pen', { snapshot: past })), ['a', 'b', 'e', 'f'])
  past.close()
  const [info] = notes.indexes()
  t.like(info, { name: 'byWord', kind: 'multi', on: [], computed: 1, sparse: true, state: 'ready' })
})

test('a function that writes disturbs neither what it writes nor the document it was asked about', async (t) => {
  const store = await newStore(t)
  const log = store.collection<Note>('log')
  const writes: Promise<unknown>[] = []
  const values = (note: Note) => {
    writes.push(log.put({ id: `log of ${note.id}`, text: 'another text, and a longer one' }))
    return words(note)
  }
  const notes = store.collection('notes', { schema: type<Note>(), indexes: { byWord: { version: 1, values } } })
  await notes.ready()
  await notes.put({ id: 'a', text: 'fountain pen' })
  await notes.batch([{ put: { id: 'b', text: 'pen' } }, { put: { id: 'c', text: 'ink' } }])
  await Promise.all(writes)
  t.deepEqual(await notes.byIndex('byWord', 'pen'), [
    { id: 'a', text: 'fountain pen' },
    { id: 'b', text: 'pen' },
  ])
  t.deepEqual(ids(await log.scan().toArray()), ['log of a', 'log of b', 'log of c'])
})

test('what was there before is computed, and keeps its own moment of expiry', async (t) => {
  const path = directory(t)
  const store = await FountainStore.open(path)
  const notes = store.collection<Note>('notes')
  await Promise.all(Array.from({ length: 700 }, (_, i) => notes.put({ id: `n${i}`, text: `pen ${i}` })))
  await notes.put({ id: 'brief', text: 'brief pen' }, { ttl: 3_600_000 })
  const expires = (store: FountainStore) =>
    store
      .collection<Note>('notes')
      .find({ where: { id: 'brief' } })
      .toArray()
  const build = notes.define(Index.multiValues('byWord', words, { version: 1 }))
  await notes.put({ id: 'new', text: 'pen' })
  await build
  t.is((await notes.byIndex('byWord', 'pen')).length, 702)
  t.deepEqual(ids(await notes.byIndex('byWord', '69')), ['n69'])
  t.is((await expires(store)).length, 1)
  await store.close()
  const again = await FountainStore.open(path)
  t.teardown(() => again.close())
  const reopened = again.collection('notes', declared)
  await reopened.ready()
  t.deepEqual(ids(await reopened.byIndex('byWord', 'brief')), ['brief'])
})

test('a build goes on in the next process that knows the function', async (t) => {
  const path = directory(t)
  const store = await FountainStore.open(path)
  const notes = store.collection<Note>('notes')
  await notes.put({ id: 'a', text: 'pen' })
  const build = notes.defineIndex('byWord', {
    version: 1,
    values: () => {
      throw new Error('not today')
    },
  })
  await t.throwsAsync(async () => await build, { message: 'not today' })
  await store.close()
  const again = await FountainStore.open(path)
  t.teardown(() => again.close())
  const listed = () => again.collection<Note>('notes').indexes()[0]
  while (listed()?.error === undefined) await turn()
  t.like(listed(), { state: 'building', records: 0 })
  t.true((listed()?.total ?? 0) >= 1)
  t.like(listed()?.error, { code: 'ERR_DEFINITION', collection: 'notes' })
  t.true(listed()?.error instanceof StoreError)
  t.is((await again.collectionInfo('notes'))?.indexes[0]?.error?.code, 'ERR_DEFINITION')
  await fails(t, () => again.collection<Note>('notes').byIndex('byWord', 'pen'), { code: 'ERR_INDEX_BUILDING' })
  const knowing = again.collection('notes', declared)
  await knowing.ready()
  t.deepEqual(ids(await knowing.byIndex('byWord', 'pen')), ['a'])
})

test('a build that goes on is in no trouble, whoever lists it', async (t) => {
  const store = await newStore(t)
  const notes = store.collection<Note>('notes')
  await Promise.all(Array.from({ length: 3000 }, (_, i) => notes.put({ id: `n${i}`, text: `pen ${i}` })))
  const build = notes.define(Index.multiValues('byWord', words, { version: 1 }))
  let [looks, done] = [0, false]
  const ready = build.ready().then(() => {
    done = true
  })
  for (; !done; looks++) {
    t.is(build.progress()?.error, undefined)
    t.is(notes.indexes()[0]?.error, undefined)
    t.is((await store.collectionInfo('notes'))?.indexes[0]?.error, undefined)
    await turn()
  }
  await ready
  t.true(looks > 2)
  t.is(build.progress()?.state, 'ready')
})

test('who does not know the function writes nothing, but may delete', async (t) => {
  const path = directory(t)
  const store = await FountainStore.open(path)
  const notes = store.collection('notes', declared)
  await notes.ready()
  await notes.put({ id: 'a', text: 'pen' })
  await store.close()
  const other = await FountainStore.open(path)
  t.teardown(() => other.close())
  const unaware = other.collection<Note>('notes')
  const error = await fails(t, () => unaware.put({ id: 'b', text: 'pen' }), { code: 'ERR_DEFINITION' })
  t.is(error.details?.index, 'byWord')
  t.regex(error.message, /byWord.*version 1/)
  await fails(t, () => unaware.updateWhere({ id: 'a' }, { text: 'x' }), { code: 'ERR_DEFINITION' })
  t.deepEqual(await unaware.get('a'), { id: 'a', text: 'pen' })
  await unaware.delete('a')
  const newer = other.collection('notes', { schema: type<Note>(), indexes: { byWord: { ...WORDS, version: 2 } } })
  await fails(t, () => newer.ready(), { code: 'ERR_EXISTS' })
  await newer.dropIndex('byWord')
  await newer.ready()
  await newer.put({ id: 'c', text: 'pen' })
  t.is(newer.indexes()[0]?.computed, 2)
})

test('a unique index on computed values refuses the second holder', async (t) => {
  const store = await newStore(t)
  const users = store.collection('users', {
    schema: type<{ id: string; email: string }>(),
    indexes: {
      byEmail: { kind: 'unique', version: 1, values: (user: { email: string }) => [user.email.toLowerCase()] },
    },
  })
  await users.ready()
  await users.put({ id: 'a', email: 'A@x' })
  const error = await fails(t, () => users.put({ id: 'b', email: 'a@X' }), { code: 'ERR_UNIQUE' })
  t.like(error.details, { index: 'byEmail', indexKey: 'a@x', holder: 'a' })
})

test('two old documents with one unique value end the build, and the index is dropped', async (t) => {
  const store = await newStore(t)
  const notes = store.collection<Note>('notes')
  await Promise.all(['a', 'b', 'c', 'd'].map((id) => notes.put({ id, text: 'pen' })))
  const values = (note: Note) => [note.text]
  const build = notes.defineIndex('byText', { kind: 'unique', version: 1, values })
  await fails(t, async () => await build, { code: 'ERR_UNIQUE' })
  t.deepEqual(notes.indexes(), [])
  await notes.put({ id: 'e', text: 'pen' })
})

test('an old document whose values are too large ends the build, and the index is dropped', async (t) => {
  const store = await newStore(t)
  const notes = store.collection<Note>('notes')
  await notes.put({ id: 'a', text: 'pen' })
  const build = notes.defineIndex('byText', { version: 1, values: ({ text }) => [text.repeat(500_000)] })
  await fails(t, async () => await build, { code: 'ERR_TOO_LARGE' })
  t.deepEqual(notes.indexes(), [])
})

test('an index that is dropped and defined anew by the same function in one breath is kept up', async (t) => {
  const store = await newStore(t)
  const notes = store.collection<Note>('notes')
  await notes.defineIndex('byWord', WORDS)
  const dropped = notes.dropIndex('byWord')
  const build = notes.defineIndex('byWord', WORDS)
  await Promise.all([dropped, build])
  await notes.put({ id: 'a', text: 'pen' })
  t.deepEqual(ids(await notes.byIndex('byWord', 'pen')), ['a'])
})

test('a function that throws for one of many leaves no promise that nobody handles', async (t) => {
  const path = directory(t)
  const script = `
    const { FountainStore } = require(${JSON.stringify(`${root}index.js`)})
    FountainStore.open(${JSON.stringify(path)}).then(async (store) => {
      const notes = store.collection('notes')
      for (const id of ['a', 'b', 'c']) await notes.put({ id, text: 'pen' })
      const values = (note) => {
        if (note.id === 'c') throw new Error('not this one')
        return [note.text]
      }
      try {
        await notes.defineIndex('byText', { kind: 'unique', version: 1, values })
      } catch (error) {
        console.log(error.message)
      }
      await notes.delete('a')
      await store.close()
      console.log('closed')
    })`
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script])
  t.is(stdout, 'not this one\nclosed\n')
})

test('an index that is dropped and defined anew in one breath has the new function', async (t) => {
  const store = await newStore(t)
  const notes = store.collection<Note>('notes')
  await notes.put({ id: 'a', text: 'pen' })
  await notes.defineIndex('byWord', WORDS)
  const dropped = notes.dropIndex('byWord')
  const build = notes.defineIndex('byWord', { version: 2, values: (note) => [note.text.length] })
  await dropped
  await build
  await notes.put({ id: 'b', text: 'ink' })
  t.deepEqual(ids(await notes.byIndex('byWord', 3)), ['a', 'b'])
  await store.dropCollection('notes')
  await store.collection<{ id: string }>('notes').put({ id: 'x' })
})

test('what is no definition and what are no values is refused by name', async (t) => {
  const store = await newStore(t)
  const notes = store.collection<Note>('notes')
  const bad = (definition: object) => () => notes.defineIndex('x', definition as ComputedIndex<Note>)
  t.throws(bad({ version: 0, values: words }), { message: /version/ })
  t.throws(bad({ values: words }), { message: /version/ })
  t.throws(bad({ version: 1, values: words, on: 'text' }), { message: /on.*function/ })
  t.throws(bad({ version: 1, values: 'words' }), { message: /values.*function/ })
  t.throws(bad({ kind: 'fts', version: 1, values: words }), { message: /kind/ })
  const results: unknown[] = ['pen', undefined, [{}], [Number.NaN], [() => 1]]
  let result: unknown
  await notes.defineIndex('x', { version: 1, values: () => result as string[] })
  for (result of results) {
    const error = await fails(t, () => notes.put({ id: 'a', text: 'pen' }), { code: 'ERR_VALIDATION' })
    t.regex(error.message, /function of index "x" of "notes"/)
  }
  result = ['\ud800']
  await fails(t, () => notes.put({ id: 'a', text: 'pen' }), { code: 'ERR_VALIDATION' })
  result = ['x'.repeat(2 * 1024 * 1024)]
  await fails(t, () => notes.put({ id: 'a', text: 'pen' }), { code: 'ERR_TOO_LARGE' })
  t.is(await notes.get('a'), undefined)
})
