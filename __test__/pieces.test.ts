/** The pieces of a query: their order and sizes, what is asked for ahead, and how they end. */
import test from 'ava'
import { type AskPiece, type PiecePlan, Pieces } from '../lib/pieces.js'
import { newStore } from './support.js'

interface Asked {
  readonly limit: number
  readonly cursor: string | undefined
  /** Gives the answer, or the error, once. */
  readonly answer: (error?: Error) => void
}

/** `count` numbers to be found, in pieces that wait until they are told to answer. */
function numbers(count: number, plan: Partial<PiecePlan>): { pieces: Pieces; asked: Asked[] } {
  const asked: Asked[] = []
  const ask: AskPiece = (limit, cursor, found) =>
    new Promise((resolve, reject) => {
      let isAnswered = false
      const answer = (error?: Error) => {
        if (isAnswered) return
        isAnswered = true
        if (error !== undefined) return reject(error)
        const from = Number(cursor ?? 0)
        const items = Array.from({ length: Math.min(limit, count - from) }, (_, index) => from + index)
        found(from + items.length < count ? String(from + items.length) : null, items.length)
        resolve(items)
      }
      asked.push({ limit, cursor, answer })
    })
  const whole = { first: 4, most: 16, limit: Number.MAX_SAFE_INTEGER, cursor: undefined, mayGoAhead: true }
  return { pieces: new Pieces(ask, { ...whole, ...plan }), asked }
}

/** Lets everything run that only waits for promises. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

/** Answers whatever is asked until `next` has its piece. */
async function take(pieces: Pieces, asked: Asked[]): Promise<unknown[] | undefined> {
  let isDone = false
  const next = pieces.next().finally(() => {
    isDone = true
  })
  for (let at = 0; !isDone; at++) {
    asked[at % Math.max(1, asked.length)]?.answer()
    await settle()
  }
  return next
}

for (const mayGoAhead of [true, false]) {
  test(`pieces come in order, each up to twice as large, and all of them; going ahead: ${mayGoAhead}`, async (t) => {
    const { pieces, asked } = numbers(50, { mayGoAhead })
    const found: unknown[][] = []
    for (let piece = await take(pieces, asked); piece !== undefined; piece = await take(pieces, asked))
      found.push(piece)
    t.deepEqual(
      found.map(({ length }) => length),
      [4, 8, 16, 16, 6],
    )
    t.deepEqual(
      found.flat(),
      Array.from({ length: 50 }, (_, index) => index),
    )
    t.deepEqual(
      asked.map(({ cursor }) => cursor),
      [undefined, '4', '12', '28', '44'],
    )
    t.is(await pieces.next(), undefined)
  })

  test(`no more is asked for than the limit leaves; going ahead: ${mayGoAhead}`, async (t) => {
    const { pieces, asked } = numbers(50, { mayGoAhead, limit: 14, cursor: '10' })
    const found = [await take(pieces, asked), await take(pieces, asked), await take(pieces, asked)]
    t.deepEqual(
      found.flat(),
      Array.from({ length: 14 }, (_, index) => 10 + index),
    )
    t.is(await take(pieces, asked), undefined)
    t.deepEqual(
      asked.map(({ limit }) => limit),
      [4, 8, 2],
    )
    t.is(await numbers(50, { mayGoAhead, limit: 0 }).pieces.next(), undefined)
  })
}

test('from the second piece on one more is asked for while one is awaited, and never two', async (t) => {
  const { pieces, asked } = numbers(1000, {})
  await take(pieces, asked)
  await settle()
  t.is(asked.length, 1, 'who wanted one piece may want no more')
  const second = pieces.next()
  await settle()
  t.is(asked.length, 2)
  asked[1]?.answer()
  await second
  await settle()
  t.is(asked.length, 3)
  asked[2]?.answer()
  await settle()
  t.is(asked.length, 3, 'nobody has asked for the third one yet')
  t.is((await pieces.next())?.length, 16)
  await settle()
  t.is(asked.length, 4)
})

test('a piece that is found before the one at hand was taken is not passed over', async (t) => {
  const { pieces, asked } = numbers(100, {})
  await take(pieces, asked)
  const found: unknown[] = [0, 1, 2, 3]
  for (let at = 1; found.length < 100; at++) {
    const next = pieces.next()
    // All that was asked for is answered at once, while the caller still waits for the turn of its promise.
    for (let index = 0; index < asked.length; index++) asked[index]?.answer()
    const piece = await next
    t.true(piece !== undefined && at < 50, `piece ${at} after ${found.length} numbers`)
    found.push(...(piece ?? []))
    t.true(asked.length <= at + 2, 'one more than was wanted')
  }
  t.deepEqual(
    found,
    Array.from({ length: 100 }, (_, index) => index),
  )
  t.is(await take(pieces, asked), undefined)
})

test('where nothing may be found ahead a piece is asked for when somebody wants it', async (t) => {
  const { pieces, asked } = numbers(1000, { mayGoAhead: false })
  for (let count = 1; count < 5; count++) {
    await take(pieces, asked)
    await settle()
    t.is(asked.length, count)
  }
})

test('an end asks for nothing more and tells when the piece under way is over, whatever becomes of it', async (t) => {
  for (const error of [undefined, new Error('the piece failed')]) {
    const { pieces, asked } = numbers(1000, {})
    await take(pieces, asked)
    await take(pieces, asked)
    t.is(asked.length, 3)
    let ended = 0
    pieces.end(() => ended++)
    await settle()
    t.is(ended, 0)
    asked[2]?.answer(error)
    await settle()
    t.deepEqual([ended, asked.length], [1, 3])
  }
  let ended = 0
  numbers(1000, {}).pieces.end(() => ended++)
  t.is(ended, 1, 'nothing is under way')
})

test('the failure of a piece is that of the call that wants it, and of nobody else', async (t) => {
  const failure = new Error('the piece failed')
  const first = numbers(1000, {})
  const wanted = first.pieces.next()
  first.asked[0]?.answer(failure)
  t.is(await t.throwsAsync(wanted), failure)

  const { pieces, asked } = numbers(1000, {})
  await take(pieces, asked)
  await take(pieces, asked)
  asked[2]?.answer(failure)
  await settle()
  t.is(await t.throwsAsync(pieces.next()), failure)
})

test('a loop over a query that is left early does not wait, and its store closes all the same', async (t) => {
  const store = await newStore(t)
  const things = store.collection<{ id: number }>('things')
  await things.batch(Array.from({ length: 2000 }, (_, id) => ({ put: { id } })))
  let seen = 0
  for await (const { id } of things.find()) {
    t.is(id, seen++)
    if (seen === 400) break
  }
  await store.close()
  t.is(seen, 400)
})
