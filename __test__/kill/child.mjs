/**
 * The process that gets killed: `node child.mjs '{"path":…,"workload":…,"seed":…,"round":…}'`.
 *
 * It says what it does with one synchronous write each: `b lane k` before commit k of a lane begins, `a lane k sequence`
 * after it was acknowledged, and `opening`, `opened`, `closing`, `closed`. What is in the pipe survives the process.
 */
import { writeSync } from 'node:fs'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { FountainStore } from '../../index.mjs'
import { changes, random } from './script.mjs'

const task = isMainThread ? JSON.parse(process.argv[2]) : workerData
const { path, workload, seed, round } = task
const pick = random(seed * 31 + round)
const say = (text) => writeSync(1, `${text}\n`)

const TINY = { memtableBytes: 64 * 1024, walSegmentBytes: 64 * 1024, cacheBytes: 64 * 1024 }
const OPTIONS = { upkeep: TINY, workers: TINY, reopen: TINY, drops: TINY, recover: {} }

async function open() {
  say('opening')
  const store = await FountainStore.open(path, OPTIONS[workload])
  say('opened')
  return store
}

/** Commits number `k` of a lane and says so. Both levels survive the death of the process. */
async function commit(store, script, k) {
  const durability = k % 3 === 0 ? 'os' : 'disk'
  const found = changes(script, k)
  const work = found.map((change) => ({ ...change, collection: store.collection(change.collection) }))
  say(`b ${script.lane} ${k}`)
  if (found[0].drop) {
    await store.dropCollection(found[0].collection)
    return say(`a ${script.lane} ${k} ${store.sequence}`)
  }
  const { sequence } = await (script.single ? write(work[0], durability) : writeAll(store, work, durability))
  say(`a ${script.lane} ${k} ${sequence}`)
}

function write({ collection, put, delete: id }, durability) {
  return put ? collection.put(put, { durability }) : collection.delete(id, { durability })
}

function writeAll(store, work, durability) {
  const operation = ({ collection, put, delete: id }) => (put ? collection.putOp(put) : collection.deleteOp(id))
  return store.batch(work.map(operation), { durability })
}

async function commitForEver(store, script) {
  for (let k = 1; ; k++) await commit(store, script, k)
}

/** Commits of one lane in program order, up to `width` of them under way. */
async function commitManyAtOnce(store, script, width) {
  const underWay = new Set()
  for (let k = 1; ; k++) {
    const one = commit(store, script, k).finally(() => underWay.delete(one))
    underWay.add(one)
    if (underWay.size >= width) await Promise.race(underWay)
  }
}

const WORKLOADS = {
  /** One put or delete after the other. */
  async single(store) {
    await commitForEver(store, { seed, round, lane: 0, single: true })
  },
  /** Many puts and deletes under way. */
  async many(store) {
    await commitManyAtOnce(store, { seed, round, lane: 0, single: true }, 200)
  },
  /** Batches over several collections, several lanes. */
  async batches(store) {
    await Promise.all([0, 1, 2].map((lane) => commitManyAtOnce(store, { seed, round, lane }, 8)))
  },
  /** Tiny memtables; flushes and compactions all the time, and scans and snapshots open. */
  async upkeep(store) {
    const upkeep = async () => {
      for (;;) {
        await (pick(2) ? store.flush() : store.compact())
        const snapshot = store.snapshot()
        for await (const _ of snapshot.collection('red').scan({ limit: 10, pageSize: 3 })) if (pick(8) === 0) break
        if (pick(2)) await snapshot.close()
      }
    }
    await Promise.all([upkeep(), ...[0, 1].map((lane) => commitManyAtOnce(store, { seed, round, lane }, 16))])
  },
  /** Several threads. */
  async workers(store) {
    const crew = [1, 2].map((lane) => new Worker(new URL(import.meta.url), { workerData: { ...task, lane } }))
    for (const worker of crew)
      worker.on('error', (error) => {
        throw error
      })
    await commitForEver(store, { seed, round, lane: 0 })
  },
  /** Closed and opened again all the time. */
  async reopen(store) {
    for (let k = 1, current = store; ; ) {
      for (let more = pick(15); more > 0; more--) await commit(current, { seed, round, lane: 0 }, k++)
      say('closing')
      await current.close()
      say('closed')
      current = await open()
    }
  },
  /** Collections that are dropped and come again, one commit after the other; flushes meanwhile. */
  async drops(store) {
    const upkeep = async () => {
      for (;;) await (pick(3) ? store.flush() : store.compact())
    }
    await Promise.all([upkeep(), commitForEver(store, { seed, round, lane: 0, single: true, drops: true })])
  },
  /** A long log, for those who recover after this one was killed. */
  async recover(store) {
    await commitManyAtOnce(store, { seed, round, lane: 0 }, 200)
  },
  /** Nothing: it is killed while it opens, or a moment later. */
  async idle() {
    setInterval(() => {}, 1000)
  },
}

if (isMainThread) await WORKLOADS[workload](await open())
else await commitForEver(await FountainStore.open(path), { seed, round, lane: workerData.lane })
