/** What must and must not compile of queries. Checked by `tsc`, never run. */
import {
  type AnyIndexes,
  type At,
  type Cursor,
  FountainStore,
  type Path,
  path,
  type Query,
  type Select,
  type Without,
} from '../index.mjs'

interface User {
  id: string
  email: string
  age: number
  vip?: boolean
  tags: string[]
  createdAt: Date
  address: { city: string; zip?: string; geo: { lat: number; lon: number } }
  orders: { sku: string; qty: number; meta?: { note: string; labels: { text: string }[] } }[]
  parent?: User
}

/** Documents of two kinds. */
type Figure =
  | { id: string; kind: 'circle'; radius: number; at: { x: number; y: number } }
  | { id: string; kind: 'square'; side: number; marks: { note: string; by: string }[] }

/** Documents with parts of several kinds below. */
interface Drawing {
  id: string
  figure: Figure
  more?: ({ kind: 'line'; from: number; to: number } | { kind: 'text'; text: string } | string)[]
  frame: { width: number; style: { color: string; dash: number } } | string | null
  notes: Record<string, { by: string; at: number }>
}

/** Equality of types, as the compiler sees it. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const assert = <_ extends true>() => {}

export async function compiles(): Promise<void> {
  await using store = await FountainStore.open('./data')
  const users = store.collection<User>('users')

  const rows = await users
    .find({
      where: {
        age: { $gte: 18, $lt: 65 },
        'address.city': 'Oslo',
        'tags[]': { $in: ['a', 'b'] },
        'orders[].meta.note': 'n',
        orders: { $elem: { sku: 'x', qty: { $gt: 1 } } },
        tags: { $all: ['a'], $size: 2 },
        createdAt: { $gt: new Date(0) },
        $or: [{ email: { $prefix: 'a' } }, { vip: true }],
        $not: { age: 40 },
        $id: 'x',
        $seq: { $gt: 10 },
        $createdSeq: 3,
        $deleted: false,
      },
      select: ['id', 'address.city', 'orders[].sku', 'orders[].meta.note'],
      orderBy: [{ path: 'createdAt', dir: 'desc' }],
      limit: 10,
      requireIndex: true,
    })
    .toArray()
  const row = rows[0] as (typeof rows)[number]
  assert<Same<typeof row.id, string>>()
  assert<Same<typeof row.address.city, string>>()
  assert<Same<(typeof row.orders)[number]['sku'], string>>()

  await users.find({ asOf: 5, orderBy: [{ path: '$seq' }, { path: '$createdSeq', dir: 'desc' }] }).count()
  await users.get('a', { asOf: new Date() })
  // @ts-expect-error a sequence is a number
  await users.find({ where: { $seq: { $gt: '5' } } }).count()
  // @ts-expect-error a state is a sequence or a time
  users.find({ asOf: 'yesterday' })

  const query = users.find().where({ age: 3 }).orderBy('age', 'desc').orderBy('$id').limit(3)
  assert<Same<typeof query, Query<User, User, AnyIndexes, string>>>()
  const page = await query.select('id', 'age').page(50)
  assert<Same<typeof page.next, Cursor | undefined>>()
  if (page.next) await query.after(page.next).toArray()
  for await (const user of query) assert<Same<typeof user, User>>()
  for await (const some of query.pages({ size: 3 })) assert<Same<typeof some, User[]>>()
  const first = await users.find().first()
  assert<Same<typeof first, User | undefined>>()
  const less = await users.find({ select: { omit: ['email', 'address.city', 'orders[].sku', 'tags[]'] } }).toArray()
  const left = less[0] as (typeof less)[number]
  assert<Same<typeof left.id, string>>()
  assert<Same<keyof typeof left.address, Exclude<keyof User['address'], 'city'>>>()
  assert<Same<keyof (typeof left.orders)[number], Exclude<keyof User['orders'][number], 'sku'>>>()
  assert<Same<typeof left.tags, User['tags']>>()
  assert<Same<typeof left.createdAt, Date>>()
  assert<Same<Without<User, 'email'>['tags'], string[]>>()
  const without = await users.find().omit('email').first()
  void without?.address.city
  // @ts-expect-error omitted
  void without?.email
  // @ts-expect-error omitted below
  void left.address.city
  // Each kind keeps what it has.
  const figures = store.collection<Figure>('figures')
  const figure = await figures.find().omit('id', 'at.y', 'marks[].by').first()
  if (figure?.kind === 'circle') {
    assert<Same<typeof figure.radius, number>>()
    figure.at.x.toFixed()
    // @ts-expect-error omitted below
    figure.at.y
    // @ts-expect-error of the other kind
    figure.side
  } else if (figure) {
    figure.marks[0]?.note.trim()
    // @ts-expect-error omitted below, of the other kind
    figure.marks[0]?.by
    // @ts-expect-error omitted
    figure.id
  }
  assert<Same<Without<Figure, 'id'>['kind'], 'circle' | 'square'>>()
  const some = await figures.find().select('kind', 'radius', 'at.x', 'marks[].by').first()
  if (some?.kind === 'circle') {
    assert<Same<typeof some.radius, number>>()
    some.at.x.toFixed()
    // @ts-expect-error of the other kind
    some.marks
  } else if (some) {
    some.marks[0]?.by.trim()
    // @ts-expect-error of the other kind
    some.at
  }
  // Below, too: what belongs together stays together.
  const drawings = store.collection<Drawing>('drawings')
  const drawing = await drawings
    .find({
      select: ['figure.kind', 'figure.radius', 'figure.at.x', 'more[].kind', 'more[].text', 'frame.style.color'],
    })
    .first()
  if (drawing?.figure.kind === 'circle') {
    assert<Same<typeof drawing.figure.radius, number>>()
    drawing.figure.at.x.toFixed()
    // @ts-expect-error not selected
    drawing.figure.at.y
  } else if (drawing) {
    // @ts-expect-error of the other kind
    drawing.figure.radius
  }
  for (const one of drawing?.more ?? []) {
    // An element that is text has none of it, and is left out.
    if (one.kind === 'text') assert<Same<typeof one.text, string>>()
    // @ts-expect-error not selected
    else one.from
  }
  if (drawing?.frame) assert<Same<typeof drawing.frame.style.color, string>>()
  // @ts-expect-error not there where the frame is text or null
  drawing?.frame.style
  const whole = await drawings.find().select('figure', 'figure.kind', 'more[]', 'more[].kind').first()
  assert<Same<NonNullable<typeof whole>['figure'], Figure>>()
  assert<Same<NonNullable<typeof whole>['more'], Drawing['more']>>()
  assert<Same<Select<Drawing, 'notes.x.by'>['notes']['x'], { by: string }>>()

  // What is known of a document beside it.
  const events = store.collection<{ id: number; text: string }>('events')
  const known = await events.find({ select: ['text', '$id', '$seq'], orderBy: [{ path: '$seq', dir: 'desc' }] }).first()
  assert<Same<NonNullable<typeof known>['$id'], number>>()
  assert<Same<NonNullable<typeof known>['$seq'], number | undefined>>()
  known?.text.trim()
  // @ts-expect-error not selected
  known?.$createdSeq
  // @ts-expect-error not selected
  known?.id
  const created = await events
    .find()
    .where({ $seq: { $gt: 3 } })
    .select('$createdSeq')
    .orderBy('$createdSeq')
    .first()
  created?.$createdSeq?.toFixed()
  // Deeper than the types go: what is known is known, and anything else may be there.
  const deepest = await users.find({ select: ['age', path('parent.parent.parent.parent.age')] }).first()
  assert<Same<NonNullable<typeof deepest>['age'], number>>()
  assert<Same<NonNullable<typeof deepest>['parent'], unknown>>()
  const onlyDeep = await users.find().select(path('parent.parent.parent.parent.age'), '$id').first()
  assert<Same<NonNullable<typeof onlyDeep>['parent'], unknown>>()
  assert<Same<NonNullable<typeof onlyDeep>['$id'], string>>()
  // @ts-expect-error not selected
  ;(await users.find({ select: ['age'] }).first())?.parent
  // @ts-expect-error a query finds no deleted document
  events.find().select('$deleted')
  // @ts-expect-error only members can be omitted
  events.find().omit('$id')
  // @ts-expect-error unknown path to omit
  users.find({ select: { omit: ['nope'] } })
  const counted = await users.find({ count: 'exact' }).page()
  assert<Same<typeof counted.count, number | undefined>>()
  const cities = await users.find().distinct('address.city')
  assert<Same<typeof cities, string[]>>()
  const plan = await query.explain('analyze')
  void plan.analyze?.docsRead
  await users.updateWhere({ age: { $lt: 3 } }, { vip: true }, { dryRun: true })
  await users.deleteWhere({ 'address.zip': { $exists: false } })
  await store
    .snapshot()
    .collection<User>('users')
    .find({ where: { vip: true } })
    .count()

  assert<Same<At<User, 'orders[].qty'>, number>>()
  assert<Same<At<User, 'parent.parent.age'>, number>>()
  assert<Same<Select<User, 'age'>['age'], number>>()
  const deep: Path<User> = 'parent.parent.parent.age'
  users.find().orderBy(path('parent.parent.parent.parent.age'))
  users.find({ where: { age: { $gt: 3 }, [path('parent.parent.parent.parent.age')]: 4 } })
  void deep

  // Without a type everything can be asked for.
  const loose = store.collection('loose')
  const found = await loose.find({ where: { 'a.b[]': { $gt: 1 }, c: null } }).first()
  void found?.id

  // @ts-expect-error not selected
  row.email
  // @ts-expect-error a projected optional parent stays optional
  row.orders[0]?.meta.note
  // @ts-expect-error deeper than paths go
  users.find().orderBy('parent.parent.parent.parent.age')
  // @ts-expect-error unknown path
  users.find({ where: { 'address.nope': 1 } })
  // @ts-expect-error unknown path to select
  users.find({ select: ['nope'] })
  // @ts-expect-error unknown path to order by
  users.find().orderBy('nope')
  // @ts-expect-error wrong type of value
  users.find({ where: { age: 'x' } })
  // @ts-expect-error an operator of text on a number
  users.find({ where: { age: { $prefix: 'x' } } })
  // @ts-expect-error an operator of arrays on text
  users.find({ where: { email: { $size: 1 } } })
  // @ts-expect-error unknown operator
  users.find({ where: { age: { $near: 1 } } })
  // @ts-expect-error wrong type within $elem
  users.find({ where: { orders: { $elem: { qty: 'x' } } } })
  // @ts-expect-error unknown member of a query
  users.find({ were: {} })
  // @ts-expect-error a cursor comes from a page
  users.find().after('abc')
  // @ts-expect-error an update of a wrong type
  await users.updateWhere({}, { age: 'x' })
  // @ts-expect-error a snapshot cannot be changed
  await store.snapshot().collection<User>('users').deleteWhere({})
}
