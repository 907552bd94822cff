/** Many clients at once on a busy thread: every answer of every kind is that of a state which there was. */
import test from 'ava'
import { Clients } from './busy/clients.js'
import type { Step } from './busy/model.js'
import { newStore } from './support.js'

const SMALL = { cacheBytes: 1 << 20, memtableBytes: 128 * 1024, durability: 'memory' } as const

for (const [name, options] of [
  ['all versions kept, small memtables', { ...SMALL }],
  ['the newest versions kept, small memtables', { ...SMALL, retention: 'latestOnly' }],
  ['all in memory, durable', {}],
] as const) {
  test(`answers amid writes are of states that there were, and watchers see each change once: ${name}`, async (t) => {
    const store = await newStore(t, options)
    const clients = new Clients(store, name.length)
    const seen: Step[] = []
    const controller = new AbortController()
    const watching = (async () => {
      for await (const { change } of store.watch({ from: 0, signal: controller.signal })) {
        if (change.op === 'drop') continue
        const version = change.op === 'put' ? (change.doc as { version: number }).version : undefined
        seen.push({ sequence: change.sequence, id: change.id as number, version })
      }
    })().catch((error: unknown) => error)
    await clients.begin()
    await clients.run(8, 8, 60)
    while ((seen.at(-1)?.sequence ?? 0) < clients.model.newest) await new Promise((resolve) => setTimeout(resolve, 5))
    controller.abort()
    await watching
    const { wrong, steps, answers, commits } = clients.model.judge(seen)
    t.deepEqual(wrong, [])
    t.true(answers > 300 && commits > 300, `${answers} answers, ${commits} commits`)
    t.deepEqual(inOrder(seen), inOrder(steps))
  })
}

/** The changes of a commit in the order of keys; commits stay in theirs. */
const inOrder = (steps: readonly Step[]): Step[] => steps.toSorted((a, b) => a.sequence - b.sequence || a.id - b.id)
