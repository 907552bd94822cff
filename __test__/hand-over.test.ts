/** When writes are handed over before their tick is over. */
import test from 'ava'
import { HandOver } from '../lib/hand-over.js'
import { HAND_OVER_BYTES } from '../lib/limits.js'
import { newStore } from './support.js'

interface Item {
  id: number
  s?: string
}

test('writes that take longer to encode than a sync takes are synced meanwhile, in their order', async (t) => {
  const store = await newStore(t)
  const items = store.collection<Item>('items')
  for (let id = 0; id < 20; id++) await items.put({ id })
  const before = store.metrics().walSyncs
  const slow = (id: number) => ({
    id,
    get s() {
      for (const until = performance.now() + 20; performance.now() < until; );
      return `slow ${id}`
    },
  })
  const commits = await Promise.all(Array.from({ length: 30 }, (_, id) => items.put(slow(id))))
  t.true(store.metrics().walSyncs - before >= 2, `${store.metrics().walSyncs - before} syncs`)
  t.deepEqual(
    commits.map(({ sequence }) => sequence),
    Array.from({ length: 30 }, (_, i) => i + 21),
  )
  t.deepEqual((await items.scan().toArray())[29], { id: 29, s: 'slow 29' })
})

test('writes cross before the end of their tick only if a sync can be done while the others are encoded', (t) => {
  let now = 100
  const judge = new HandOver(() => now)
  const isDue = (count: number, { bytes = 10, isDurable = true, isIdle = true } = {}) =>
    judge.isDue(count, bytes, isDurable, isIdle)
  const begin = () => isDue(1)
  const due = (ms: number, options = {}) => {
    begin()
    now += ms
    return isDue(2, options)
  }
  t.false(begin())
  t.true(isDue(2, { bytes: HAND_OVER_BYTES, isDurable: false, isIdle: false }), 'there are many')
  judge.answered(0.2, 1)
  judge.answered(0.01, 0)
  t.false(due(0.19), 'what was refused was not synced')
  t.true(due(0.21))
  t.false(due(0.21, { isDurable: false }), 'nobody waits for a sync')
  t.false(due(0.21, { isIdle: false }), 'the engine has others to do')
  // What began while the engine was busy is not judged by when something else began.
  isDue(1, { isIdle: false })
  now += 0.1
  t.false(isDue(2))
  judge.answered(5, 1)
  t.false(due(0.2), 'one answer that comes late changes little')
  t.true(due(0.21))
  for (let n = 0; n < 200; n++) judge.answered(5, 1)
  t.false(due(4.9), 'the disk is slower now')
  t.true(due(5.1))
})
