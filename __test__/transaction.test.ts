/** Transactions through the facade: what they see, conflicts and retries, limits, and their ends. */
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { FountainStore, type Isolation, StoreError, type Transaction, type TransactionCollection } from '../index.mjs'
import { directory, fails, newStore } from './support.js'

interface Account {
  id: string
  balance: number
}

const accounts = (transaction: Transaction) => transaction.collection<Account>('accounts')

test('a transaction reads one moment and its own writes, and commits them as one', async (t) => {
  const store = await newStore(t)
  const outside = store.collection<Account>('accounts')
  await outside.batch(['a', 'b', 'c'].map((id) => ({ put: { id, balance: 1 } })))
  const result = await store.transaction(async (transaction) => {
    t.is(transaction.sequence, 1)
    const inside = accounts(transaction)
    await outside.put({ id: 'd', balance: 1 })
    inside.put({ id: 'a', balance: 2 })
    inside.delete('b')
    inside.insert({ id: 'e', balance: 3 })
    t.deepEqual(inside.getSync('a'), { id: 'a', balance: 2 })
    t.deepEqual(await inside.getMany(['a', 'b', 'd']), [{ id: 'a', balance: 2 }, undefined, undefined])
    const ids = (documents: Account[]) => documents.map(({ id }) => id)
    t.deepEqual(ids(await inside.scan().toArray()), ['a', 'c', 'e'])
    t.deepEqual(ids(await inside.scan({ reverse: true, pageSize: 1 }).toArray()), ['e', 'c', 'a'])
    t.is(outside.getSync('a')?.balance, 1)
    return 'done'
  })
  t.is(result, 'done')
  t.deepEqual([store.sequence, outside.getSync('a')?.balance, outside.getSync('b')], [3, 2, undefined])
  t.is(store.metrics().openSnapshots, 0)
})

test('pages of a query in a transaction show what was written before each was asked for', async (t) => {
  const store = await newStore(t)
  const key = (n: number) => `k${String(n).padStart(5, '0')}`
  const outside = store.collection<Account>('accounts')
  await outside.batch(Array.from({ length: 4000 }, (_, balance) => ({ put: { id: key(balance), balance } })))
  const seen = await store.transaction(async (transaction) => {
    const inside = accounts(transaction)
    const seen: number[] = []
    for await (const page of inside.find().pages({ size: 100 })) {
      seen.push(...page.map(({ balance }) => balance))
      // Pieces of 100, 200 and 400 are fetched; the third must not have been read before this.
      if (seen.length === 300) for (let n = 500; n < 4000; n++) inside.delete(key(n))
    }
    return seen
  })
  t.deepEqual(
    seen,
    Array.from({ length: 500 }, (_, n) => n),
  )
})

test('a read does not see what its transaction writes after the call, however long it waits for a thread', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  await first.collection<Account>('accounts').put({ id: 'a', balance: 1 })
  const many = Array.from({ length: 20_000 }, (_, n) => ({ put: { id: String(n), n } }))
  await first.collection('many').batch(many, { durability: 'memory' })
  await first.close()
  // The disk is read by one thread, which is busy.
  await using store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false, readThreads: 1 })
  await store.transaction(async (transaction) => {
    const inside = accounts(transaction)
    const busy = store
      .collection<{ id: string; n: number }>('many')
      .find({ where: { n: -1 } })
      .count()
    const [one, several] = [inside.get('a'), inside.getMany(['a', 'b'])]
    const [found, scanned] = [inside.find().toArray(), inside.scan().toArray()]
    inside.put({ id: 'a', balance: 2 })
    inside.put({ id: 'b', balance: 2 })
    const before = { id: 'a', balance: 1 }
    t.deepEqual(await one, before)
    t.deepEqual(await several, [before, undefined])
    t.deepEqual(await found, [before])
    t.deepEqual(await scanned, [before])
    t.is(await busy, 0)
    t.is((await inside.get('a'))?.balance, 2)
  })
})

test('writes that were begun before a transaction commits come before it, however many wait', async (t) => {
  const store = await newStore(t)
  const items = store.collection<{ id: string; s: string }>('items')
  const large = 'x'.repeat(1024 * 1024)
  const writes = Array.from({ length: 80 }, (_, n) => items.put({ id: String(n % 8), s: large }))
  writes.push(items.put({ id: 'k', s: 'old' }))
  await store.transaction(async (tx) => tx.collection<{ id: string; s: string }>('items').put({ id: 'k', s: 'new' }))
  await Promise.all(writes)
  t.is((await items.get('k'))?.s, 'new')
})

test('a getMany in parts does not see what its transaction writes after the call', async (t) => {
  const path = join(directory(t), 'store')
  const first = await FountainStore.open(path)
  const ids = Array.from({ length: 2500 }, (_, n) => `id${n}`)
  await first.collection<Account>('accounts').batch(ids.map((id) => ({ put: { id, balance: 1 } })))
  await first.close()
  // From memory, and from the disk on a read thread.
  for (const options of [{}, { cacheBytes: 0, pageCacheReads: false }]) {
    await using store = await FountainStore.open(path, options)
    const reading = store.transaction(async (transaction) => {
      const inside = accounts(transaction)
      inside.put({ id: 'id2400', balance: 2 })
      const found = inside.getMany(ids)
      for (const id of ids) inside.put({ id, balance: 3 })
      inside.delete('id2300')
      const different = (await found).filter((one) => one?.balance !== 1)
      t.deepEqual(different, [{ id: 'id2400', balance: 2 }])
      t.is((await inside.getMany(ids)).filter((one) => one?.balance === 3).length, 2499)
      throw new RangeError('written enough')
    })
    await t.throwsAsync(reading, { instanceOf: RangeError })
  }
  // One that its transaction does not wait for.
  await using store = await FountainStore.open(path, { cacheBytes: 0, pageCacheReads: false })
  const left = await store.transaction((transaction) => [accounts(transaction).getMany(ids)])
  await fails(t, () => left[0], { code: 'ERR_CLOSED' })
})

test('a callback that throws writes nothing', async (t) => {
  const store = await newStore(t)
  let leaked: TransactionCollection<Account, string> | undefined
  const failing = store.transaction((transaction) => {
    leaked = accounts(transaction)
    leaked.put({ id: 'a', balance: 1 })
    throw new RangeError('mine')
  })
  await t.throwsAsync(failing, { instanceOf: RangeError, message: 'mine' })
  t.is(store.sequence, 0)
  await fails(t, () => leaked?.put({ id: 'a', balance: 1 }), { code: 'ERR_CLOSED', says: /has ended/ })
  await fails(t, () => leaked?.get('a'), { code: 'ERR_CLOSED' })
  await fails(t, () => leaked?.scan().toArray(), { code: 'ERR_CLOSED' })
})

test('a conflict runs the callback again, on the newer state', async (t) => {
  const store = await newStore(t)
  const outside = store.collection<Account>('accounts')
  await outside.put({ id: 'a', balance: 10 })
  let runs = 0
  await store.transaction(async (transaction) => {
    const balance = accounts(transaction).getSync('a')?.balance ?? 0
    if (runs++ === 0) await outside.put({ id: 'a', balance: 20 })
    accounts(transaction).put({ id: 'a', balance: balance + 1 })
  })
  t.deepEqual([runs, outside.getSync('a')?.balance], [2, 21])

  runs = 0
  const always = store.transaction(
    async (transaction) => {
      runs++
      await outside.put({ id: 'a', balance: 0 })
      accounts(transaction).put({ id: 'a', balance: 1 })
    },
    { retries: 2 },
  )
  const error = await fails(t, () => always, { code: 'ERR_CONFLICT', collection: 'accounts', key: 'a' })
  t.deepEqual([runs, error.retryable], [3, true])
})

test('write skew happens with snapshot isolation and not when serializable', async (t) => {
  for (const isolation of ['snapshot', 'serializable'] as const) {
    const store = await newStore(t)
    const doctors = store.collection<Account>('accounts')
    await doctors.batch(['a', 'b'].map((id) => ({ put: { id, balance: 1 } })))
    // Both leave if the other stays.
    let waiting = 2
    let go: () => void = () => undefined
    const together = new Promise<void>((resolve) => (go = resolve))
    const leave = (id: string) =>
      store.transaction(
        async (transaction) => {
          const there = (await accounts(transaction).scan().toArray()).filter(({ balance }) => balance > 0)
          if (--waiting === 0) go()
          await together
          if (there.length > 1) accounts(transaction).put({ id, balance: 0 })
        },
        { isolation },
      )
    await Promise.all([leave('a'), leave('b')])
    const left = (await doctors.scan().toArray()).filter(({ balance }) => balance > 0).length
    t.is(left, isolation === 'snapshot' ? 0 : 1)
  }
})

test('an insert that finds a document rejects and is not tried again', async (t) => {
  const store = await newStore(t)
  await store.collection<Account>('accounts').put({ id: 'a', balance: 1 })
  let runs = 0
  const insert = store.transaction((transaction) => {
    runs++
    accounts(transaction).insert({ id: 'a', balance: 2 })
  })
  await fails(t, () => insert, { code: 'ERR_EXISTS', collection: 'accounts', key: 'a' })
  const twice = store.transaction((transaction) => {
    accounts(transaction).insert({ id: 'b', balance: 2 })
    accounts(transaction).insert({ id: 'b', balance: 2 })
  })
  await fails(t, () => twice, { code: 'ERR_EXISTS', collection: 'accounts', key: 'b' })
  t.deepEqual([runs, store.sequence], [1, 1])
})

test('time and signals end a transaction before its commit', async (t) => {
  const store = await newStore(t)
  const slow = store.transaction(
    async (transaction) => {
      accounts(transaction).put({ id: 'a', balance: 1 })
      await wait(10_000, undefined, { ref: false })
    },
    { timeoutMs: 30 },
  )
  await fails(t, () => slow, { code: 'ERR_TIMEOUT', says: /30 ms/ })
  const controller = new AbortController()
  const aborted = store.transaction(
    async (transaction) => {
      accounts(transaction).put({ id: 'a', balance: 1 })
      controller.abort(new RangeError('enough'))
      await wait(10_000, undefined, { ref: false })
    },
    { signal: controller.signal },
  )
  await t.throwsAsync(aborted, { instanceOf: RangeError, message: 'enough' })
  await t.throwsAsync(
    store.transaction(() => t.fail(), { signal: controller.signal }),
    { message: 'enough' },
  )
  t.deepEqual([store.sequence, store.metrics().openSnapshots], [0, 0])
})

test('work that returned does not commit after the signal was aborted or the time was over', async (t) => {
  const store = await newStore(t)
  const controller = new AbortController()
  const aborting = store.transaction(
    (transaction) => {
      accounts(transaction).put({ id: 'a', balance: 1 })
      controller.abort(new RangeError('enough'))
    },
    { signal: controller.signal },
  )
  await t.throwsAsync(aborting, { instanceOf: RangeError, message: 'enough' })
  const late = store.transaction(
    (transaction) => {
      accounts(transaction).put({ id: 'a', balance: 1 })
      for (const begin = performance.now(); performance.now() - begin < 20; );
    },
    { timeoutMs: 10 },
  )
  await fails(t, () => late, { code: 'ERR_TIMEOUT', says: /10 ms/ })
  t.is(store.sequence, 0)
})

test('closing the store ends its transactions', async (t) => {
  const path = directory(t)
  const store = await FountainStore.open(path)
  const during = store.transaction(async (transaction) => {
    accounts(transaction).put({ id: 'a', balance: 1 })
    await store.close()
    accounts(transaction).put({ id: 'b', balance: 1 })
  })
  await fails(t, () => during, { code: 'ERR_CLOSED' })
  const late = store.transaction(() => undefined)
  await fails(t, () => late, { code: 'ERR_CLOSED' })
  await using again = await FountainStore.open(path)
  t.is(again.sequence, 0)
  const atTheEnd = again.transaction(async (transaction) => {
    accounts(transaction).put({ id: 'a', balance: 1 })
    await again.close()
  })
  await fails(t, () => atTheEnd, { code: 'ERR_CLOSED' })
})

test('options are checked by name', async (t) => {
  const store = await newStore(t)
  const run = (options: object) => () => store.transaction(() => 1, options)
  await fails(t, run({ isolation: 'dirty' }), { code: 'ERR_INVALID_ARGUMENT', says: /isolation/ })
  await fails(t, run({ retry: 1 }), { code: 'ERR_INVALID_ARGUMENT', says: /no option "retry"/ })
  await fails(t, run({ timeoutMs: 0 }), { code: 'ERR_INVALID_ARGUMENT', says: /timeoutMs/ })
  await fails(t, run({ requireSequenceAtLeast: 5 }), { code: 'ERR_SEQUENCE' })
  await fails(t, () => store.transaction(7 as never), { code: 'ERR_INVALID_ARGUMENT', says: /function/ })
  t.is(await store.transaction(() => 5), 5)
})

test('a transaction of one store does not read another', async (t) => {
  const [store, other] = [await newStore(t), await newStore(t)]
  await store.transaction(async (transaction) => {
    const rows = other.collection<Account>('accounts')
    await rows.put({ id: 'a', balance: 1 })
    t.is(accounts(transaction).getSync('a'), undefined)
  })
  t.is(store.sequence, 0)
})

test('workers that transfer between accounts keep the sum', async (t) => {
  const path = directory(t)
  await using store = await FountainStore.open(path)
  const outside = store.collection<Account>('accounts')
  await outside.batch(['0', '1', '2', '3'].map((id) => ({ put: { id, balance: 100 } })))
  const script = `
    const { workerData: { index, url, path } } = require('node:worker_threads')
    import(url).then(async ({ FountainStore }) => {
      const store = await FountainStore.open(path)
      for (let n = 0; n < 60; n++) {
        await store.transaction((transaction) => {
          const accounts = transaction.collection('accounts')
          const [from, to] = [String((index + n) % 4), String((index + n + 1 + n % 3) % 4)].map((id) => accounts.getSync(id))
          accounts.put({ ...from, balance: from.balance - 1 })
          accounts.put({ ...to, balance: to.balance + 1 })
        }, { retries: 1000, durability: 'os' })
      }
      await store.close()
    })`
  const url = new URL('../index.mjs', import.meta.url).href
  const workers = [0, 1, 2].map((index) => new Worker(script, { eval: true, workerData: { index, url, path } }))
  await Promise.all(
    workers.map((worker) => {
      return new Promise((resolve, reject) => worker.once('error', reject).once('exit', resolve))
    }),
  )
  const all = await outside.scan().toArray()
  t.is(
    all.reduce((sum, { balance }) => sum + balance, 0),
    400,
  )
  t.is(store.sequence, 181)
})

test('errors of other work inside the callback are passed on as they are', async (t) => {
  const store = await newStore(t)
  const error = new StoreError('ERR_IO', 'made up')
  t.is(await t.throwsAsync(store.transaction(() => Promise.reject(error))), error)
})

test('what a serializable transaction has read the history of is protected like what it has read', async (t) => {
  const store = await newStore(t)
  const rows = store.collection<{ id: string; n: number }>('rows')
  await rows.put({ id: 'a', n: 0 })
  type Read = (rows: TransactionCollection<{ id: string; n: number }, string>) => Promise<unknown>
  const reads: Record<string, Read> = {
    getMeta: (tx) => tx.getMeta('a'),
    'getMeta of nothing': (tx) => tx.getMeta('none'),
    history: (tx) => tx.history('a').next(),
  }
  for (const [name, read] of Object.entries(reads)) {
    const run = (isolation: Isolation) =>
      store.transaction(
        async (tx) => {
          const view = tx.collection(rows)
          await read(view)
          await rows.batch([{ put: { id: 'a', n: 1 } }, { put: { id: 'none', n: 1 } }])
          view.put({ id: 'b', n: 2 })
        },
        { isolation, retries: 0 },
      )
    await fails(t, () => run('serializable'), { code: 'ERR_CONFLICT', collection: 'rows' })
    t.is(await rows.get('b'), undefined, name)
    await run('snapshot')
    await rows.batch([{ delete: 'b' }, { delete: 'none' }])
  }
})
