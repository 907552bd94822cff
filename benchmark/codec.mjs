/**
 * How documents should lie in the store: as JSON text, as msgpackr records, or as the store's own records.
 *
 * Measures, for the same documents: bytes, encoding and decoding alone, and putting and reading through the store itself,
 * where the first two are carried as the store would have to carry them: JSON by `putJson` and `getJson` and a parse,
 * msgpackr as bytes in a member. Rounds of the three alternate; printed are medians with the fastest and the slowest
 * round. Every answer is compared with its document.
 *
 *   npm --prefix benchmark install && npm --prefix benchmark run codec
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Packr } from 'msgpackr'
import { FountainStore } from '../index.mjs'

const require = createRequire(import.meta.url)
const { readRecord } = require('../lib/record/reader.js')
const { ShapeTable } = require('../lib/record/shapes.js')
const { copyOf, writeRecord } = require('../lib/record/writer.js')

const DOCUMENTS = 20_000
const ROUNDS = 9

const kinds = {
  'about 200 bytes, ASCII': (i) => ({
    id: `user-${i}`,
    name: `Person Number ${i}`,
    email: `person${i}@example.com`,
    age: i % 90,
    active: i % 2 === 0,
    score: i * 1.37,
    tags: ['alpha', 'beta', `g${i % 10}`],
    address: { street: `${i} Main Street`, city: 'Springfield', zip: 10_000 + (i % 90_000) },
  }),
  'about 200 bytes, beyond ASCII': (i) => ({ ...kinds['about 200 bytes, ASCII'](i), name: `Jürgen Müller ${i} 😀` }),
  'about 2 KB': (i) => ({
    ...kinds['about 200 bytes, ASCII'](i),
    text: 'the quick brown fox jumps over the lazy dog '.repeat(20),
    items: Array.from({ length: 12 }, (_, n) => ({ sku: `sku-${i}-${n}`, count: n, price: n * 9.99 })),
  }),
}

function ownCodec() {
  const lists = []
  const ids = new Map()
  const source = {
    reserve(names) {
      const key = JSON.stringify(names)
      if (!ids.has(key)) ids.set(key, lists.push(names) - 1)
      return ids.get(key)
    },
    names: (id) => lists[id],
  }
  const shapes = new ShapeTable(source)
  const root = shapes.rootOf(0)
  return {
    encode: (document) => copyOf(writeRecord(document, undefined, root, shapes)),
    decode: (bytes) => readRecord(bytes, 0, bytes.length, shapes),
  }
}

function packCodec() {
  const packr = new Packr({ structures: [] })
  return { encode: (document) => Buffer.from(packr.pack(document)), decode: (bytes) => packr.unpack(bytes) }
}

const jsonCodec = () => ({
  encode: (document) => Buffer.from(JSON.stringify(document)),
  decode: (bytes) => JSON.parse(bytes.toString('utf8')),
})

/** Nanoseconds per document of `work`, which handles all of them. */
async function time(work) {
  const start = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - start) / DOCUMENTS
}

/** Runs the works in turn and prints the median, the fastest and the slowest round of each. */
async function compare(title, works) {
  const rounds = Object.fromEntries(Object.keys(works).map((name) => [name, []]))
  for (let round = -2; round < ROUNDS; round++) {
    for (const [name, work] of Object.entries(works)) {
      const taken = await time(work)
      if (round >= 0) rounds[name].push(taken)
    }
  }
  for (const [name, taken] of Object.entries(rounds)) {
    taken.sort((a, b) => a - b)
    const [fastest, median, slowest] = [taken[0], taken[ROUNDS >> 1], taken[ROUNDS - 1]].map(Math.round)
    console.log(`  ${title.padEnd(22)} ${name.padEnd(9)} ${String(median).padStart(7)} ns  (${fastest} to ${slowest})`)
  }
}

async function alone(documents) {
  const codecs = { json: jsonCodec(), msgpackr: packCodec(), records: ownCodec() }
  const encoded = {}
  for (const [name, { encode, decode }] of Object.entries(codecs)) {
    encoded[name] = documents.map(encode)
    for (let i = 0; i < DOCUMENTS; i += 97) assert.deepEqual(decode(encoded[name][i]), documents[i])
    const bytes = encoded[name].reduce((sum, bytes) => sum + bytes.length, 0)
    console.log(`  ${'bytes'.padEnd(22)} ${name.padEnd(9)} ${(bytes / DOCUMENTS).toFixed(1).padStart(7)}`)
  }
  const each = (work) => Object.fromEntries(Object.keys(codecs).map((name) => [name, () => work(codecs[name], name)]))
  const encodeAll = ({ encode }) => {
    for (const document of documents) encode(document)
  }
  const decodeAll = ({ decode }, name) => {
    for (const bytes of encoded[name]) decode(bytes)
  }
  await compare('encode', each(encodeAll))
  await compare('decode', each(decodeAll))
}

async function throughTheStore(documents) {
  const directory = mkdtempSync(join(tmpdir(), 'fountainstore-benchmark-'))
  const store = await FountainStore.open(join(directory, 'store'), { durability: 'memory' })
  try {
    const [json, packed, records] = ['json', 'packed', 'records'].map((name) => store.collection(name))
    const { encode, decode } = packCodec()
    await compare('put into the store', {
      json: () => Promise.all(documents.map((document) => json.putJson(JSON.stringify(document)))),
      msgpackr: () => Promise.all(documents.map((document) => packed.put({ id: document.id, b: encode(document) }))),
      records: () => Promise.all(documents.map((document) => records.put(document))),
    })
    const parse = async ({ id }) => JSON.parse(await json.getJson(id))
    assert.deepEqual(await parse(documents[7]), documents[7])
    assert.deepEqual(decode(packed.getSync(documents[7].id).b), documents[7])
    assert.deepEqual(records.getSync(documents[7].id), documents[7])
    await compare('read from the store', {
      json: async () => {
        for (const document of documents) await parse(document)
      },
      msgpackr: async () => {
        for (const { id } of documents) decode((await packed.get(id)).b)
      },
      records: async () => {
        for (const { id } of documents) await records.get(id)
      },
    })
  } finally {
    await store.close()
    rmSync(directory, { recursive: true })
  }
}

for (const [kind, make] of Object.entries(kinds)) {
  const documents = Array.from({ length: DOCUMENTS }, (_, i) => make(i))
  console.log(kind)
  await alone(documents)
  await throughTheStore(documents)
}
