/**
 * The types of queries: which paths a document has, what may be asked of the value at each, and what a projection leaves.
 * Paths go four steps deep; `path('a.b.c.d.e')` is for deeper ones. The language itself is described in `docs/query.md`.
 */
import type { AnyIndexes } from './definition.js'
import type { Key } from './keys.js'
import type { ReadOptions, Sequence } from './types.js'

/** What has no members that a path could lead to. */
type Leaf = string | number | boolean | bigint | symbol | null | undefined | Date | Uint8Array | Float32Array
/*
 * Paths are put together level by level, each level a type of its own and without a counter: a program with many
 * collections is checked in two thirds of the time that way. `Keys1` are the last steps.
 */
type Keys1<T, K extends keyof T = keyof T> = K extends string ? (T[K] extends Leaf ? K : K | List<K, T[K]>) : never
type List<K extends string, V> = V extends readonly unknown[] ? `${K}[]` : never
type Keys2<T, K extends keyof T = keyof T> = K extends string ? (T[K] extends Leaf ? K : K | Below2<K, T[K]>) : never
type Below2<K extends string, V> = V extends Leaf
  ? never
  : V extends readonly (infer E)[]
    ? `${K}[]` | (E extends Leaf ? never : `${K}[].${Keys1<E>}`)
    : `${K}.${Keys1<V>}`
type Keys3<T, K extends keyof T = keyof T> = K extends string ? (T[K] extends Leaf ? K : K | Below3<K, T[K]>) : never
type Below3<K extends string, V> = V extends Leaf
  ? never
  : V extends readonly (infer E)[]
    ? `${K}[]` | (E extends Leaf ? never : `${K}[].${Keys2<E>}`)
    : `${K}.${Keys2<V>}`
type Keys4<T, K extends keyof T = keyof T> = K extends string ? (T[K] extends Leaf ? K : K | Below4<K, T[K]>) : never
type Below4<K extends string, V> = V extends Leaf
  ? never
  : V extends readonly (infer E)[]
    ? `${K}[]` | (E extends Leaf ? never : `${K}[].${Keys3<E>}`)
    : `${K}.${Keys3<V>}`

/** Whether any name may be a member, so that nothing is known of paths. */
type IsLoose<T> = string extends keyof T ? true : false

/** Paths of at most four steps, with `[]` for every element: `age`, `address.city`, `tags[]`, `orders[].sku`. */
export type Path<T> = T extends Leaf ? never : Keys4<T>

type Step<T, S extends string> = S extends keyof T
  ? NonNullable<T[S]>
  : S extends `${infer A}[]`
    ? A extends keyof T
      ? NonNullable<T[A]> extends readonly (infer E)[]
        ? NonNullable<E>
        : never
      : never
    : never

/** The type of the values at a path. */
export type At<T, P extends string> = P extends keyof T
  ? string extends keyof T
    ? unknown
    : NonNullable<T[P]>
  : P extends AnyPath
    ? unknown
    : Walk<T, P>

type Walk<T, P extends string> = P extends `${infer H}.${infer R}` ? At<Step<T, H>, R> : Step<T, P>

/** A path that the types do not check; made by `path`. */
export type AnyPath = string & {
  /** Never there; tells the types apart. */
  readonly __path: true
}

/** A path that is deeper than the types go, or that they do not know. */
export function path(text: string): AnyPath {
  return text as AnyPath
}

/** The names of types in queries. */
export type TypeName =
  | 'null'
  | 'bool'
  | 'number'
  | 'bigint'
  | 'date'
  | 'string'
  | 'bytes'
  | 'floats'
  | 'array'
  | 'object'

type Ordered = string | number | bigint | Date | Uint8Array

/** What may be asked of any value. */
export interface AnyOperators<V> {
  /** Equal to this; null is a value of its own, and does not find a missing one. */
  $eq?: V | null
  /** Not equal to this. */
  $ne?: V | null
  /** Equal to one of these. */
  $in?: readonly (V | null)[]
  /** Equal to none of these. */
  $nin?: readonly (V | null)[]
  /** Whether there is a value. */
  $exists?: boolean
  /** Of this type, or of one of these. */
  $type?: TypeName | readonly TypeName[]
}

/** What may be asked of values that have an order. */
export interface OrderOperators<V> {
  /** Greater than this. */
  $gt?: V
  /** This or greater. */
  $gte?: V
  /** Less than this. */
  $lt?: V
  /** This or less. */
  $lte?: V
  /** From the first to the second, both included. */
  $between?: readonly [V, V]
}

/** What may be asked of strings. */
export interface StringOperators {
  /** Begins with this. */
  $prefix?: string
  /** Has this in it. */
  $contains?: string
  /** Equal to this but for upper and lower case. */
  $ieq?: string
  /** Matches this regular expression, in the syntax of Rust's `regex`; only with `allowRegex`. */
  $regex?: string
}

/** What may be asked of arrays as a whole. */
export interface ArrayOperators<E> {
  /** Has all of these among its elements. */
  $all?: readonly E[]
  /** Has this many elements. */
  $size?: number
  /** Has one element for which all of this holds. */
  $elem?: E extends Leaf ? Operators<E> : Where<E>
}

/** What may be asked of a value of type `V`. */
export type Operators<V> = AnyOperators<V> &
  (V extends Ordered ? OrderOperators<V> : unknown) &
  (V extends string ? StringOperators : unknown) &
  (V extends readonly (infer E)[] ? ArrayOperators<E> : unknown)

/** Conditions on a document, all of which must hold. */
export type Where<T> = IsLoose<T> extends true ? { readonly [path: string]: unknown } : TypedWhere<T>

type TypedWhere<T> = { [P in Path<T>]?: At<T, P> | null | Operators<At<T, P>> } & {
  $and?: readonly Where<T>[]
  $or?: readonly Where<T>[]
  $not?: Where<T>
  $id?: unknown
  $seq?: Sequence | CommitOperators
  $createdSeq?: Sequence | CommitOperators
  $deleted?: boolean
}

/** What may be asked of the sequence of a commit. */
export type CommitOperators = AnyOperators<Sequence> & OrderOperators<Sequence>

/** What documents can be ordered by: what a path leads to, the key, or the commits that put and created the document. */
export type OrderPath<T> = Path<T> | AnyPath | '$id' | '$seq' | '$createdSeq'

/** One term of an order. */
export interface OrderTerm<T> {
  /** What the documents are compared by. */
  readonly path: OrderPath<T>
  /** Default: `'asc'`. */
  readonly dir?: 'asc' | 'desc' | undefined
}

/** Where a page ended; give it to `after` of the same query. */
export type Cursor = string & {
  /** Never there; tells the types apart. */
  readonly __cursor: true
}

/** What the caller knows or demands about how documents are found. */
export interface QueryHints<I = AnyIndexes> {
  /** The index to use. */
  index?: (keyof I & string) | undefined
  /** Reject with `ERR_NO_INDEX` instead of reading the whole collection. */
  requireIndex?: boolean | undefined
  /** Most documents and index entries to read; then it rejects with `ERR_LIMIT`. */
  maxScanned?: number | undefined
  /** Longest time for one page, in milliseconds; then it rejects with `ERR_TIMEOUT`. */
  timeoutMs?: number | undefined
}

/** A query in one object. */
export interface FindSpec<T, I = AnyIndexes> extends ReadOptions {
  /** Which documents. Default: all. */
  where?: Where<T> | undefined
  /** In which order. Default: by key. */
  orderBy?: readonly OrderTerm<T>[] | undefined
  /** Most documents. Default: no limit. */
  limit?: number | undefined
  /** Where a page of the same query ended. */
  cursor?: Cursor | undefined
  /**
   * Whether `page` and `json` say how many documents match altogether, whatever the limit: `'exact'` finds them all each time,
   * `'estimate'` is about right by what is known without reading them. Default: `'none'`.
   */
  count?: 'none' | 'estimate' | 'exact' | undefined
  /** The index to use. */
  hint?: { readonly index: keyof I & string } | undefined
  /** As in `QueryHints`. */
  requireIndex?: boolean | undefined
  /** As in `QueryHints`. */
  maxScanned?: number | undefined
  /** As in `QueryHints`. */
  timeoutMs?: number | undefined
  /** Whether `$regex` may be used. Default: false. */
  allowRegex?: boolean | undefined
}

/** The first step of each path, without `[]`. */
type First<P extends string> = P extends `${infer A}.${string}`
  ? A extends `${infer B}[]`
    ? B
    : A
  : P extends `${infer B}[]`
    ? B
    : P
// A member is looked at once for all paths that go through it, so that each part of a union keeps what belongs together.
type Chosen<T, K extends keyof T, P extends string> = { [N in K]: Part<T[N], N & string, P> }
type Part<V, K extends string, P extends string> = K extends P
  ? V
  : V extends Leaf
    ? undefined
    : V extends readonly (infer E)[]
      ? `${K}[]` extends P
        ? V
        : PartOf<E, After<P, `${K}[].`>>[]
      : PartOf<V, After<P, `${K}.`>>
type PartOf<V, P extends string> = V extends Leaf ? never : Chosen<V, First<P> & keyof V, P>

/** What is known of a document beside it, as members of what is selected. */
export interface BesideDocument<K> {
  /** The key. */
  $id: K
  /** The sequence of the commit that put it there; not there for what a transaction has written itself. */
  $seq?: Sequence
  /**
   * The sequence of the commit that put it there first since it was last deleted; not there where the history that would
   * tell is not kept, and for what a transaction has written itself.
   */
  $createdSeq?: Sequence
}

/** What can be selected: paths, and what is known of a document beside it. */
export type SelectPath<T> = Path<T> | AnyPath | keyof BesideDocument<unknown>

/**
 * What is left of a document: `Select<User, 'id' | 'address.city'>` is `{ id: string; address: { city: string } }`. Of a
 * union, each part keeps what it has, also below. `K` is the type of the key, for `$id`. Where a path made by `path` is among
 * them, any member may be there, of a type that is not known.
 */
export type Select<T, P extends string, K = Key> =
  IsLoose<T> extends true
    ? AnyMembers
    : [Extract<P, AnyPath>] extends [never]
      ? Selected<T, P, K>
      : Selected<T, Exclude<P, AnyPath>, K> & AnyMembers

type AnyMembers = { readonly [member: string]: unknown }
type Selected<T, P extends string, K> = [P & keyof BesideDocument<K>] extends [never]
  ? PartOf<T, P>
  : PartOf<T, Exclude<P, keyof BesideDocument<K>>> & Pick<BesideDocument<K>, P & keyof BesideDocument<K>>

type After<P extends string, H extends string> = P extends `${H}${infer R}` ? R : never
// No branch of these is `T` itself, from which the compiler would infer what `T` is.
type Keep<T, K extends keyof T, P extends string> = { [N in K]: Left<T[N], N & string, P> }
type Left<V, K extends string, P extends string> = V extends Leaf
  ? V
  : V extends readonly (infer E)[]
    ? [After<P, `${K}[].`>] extends [never]
      ? V
      : LeftOf<E, After<P, `${K}[].`>>[]
    : [After<P, `${K}.`>] extends [never]
      ? V
      : LeftOf<V, After<P, `${K}.`>>
type LeftOf<V, P extends string> = V extends Leaf ? V : Keep<V, Exclude<keyof V, P>, P>

/** A document without what paths lead to: `Without<User, 'email' | 'address.zip'>`. Of a union, each part keeps the rest. */
export type Without<T, P extends string> =
  IsLoose<T> extends true ? AnyMembers : T extends Leaf ? never : Keep<T, Exclude<keyof T, P>, P>

/** One page. */
export interface QueryPage<R> {
  /** Its documents. */
  readonly items: R[]
  /** Where it ended, if more may follow. */
  readonly next?: Cursor
  /** How many documents match altogether, if that was asked for. */
  readonly count?: number
}

/** A step of a plan. */
export interface PlanNode {
  /** What it does. */
  readonly op: string
  /** Where what it works on comes from. */
  readonly input?: PlanNode
  /** What else there is to say. */
  readonly [detail: string]: unknown
}

/** A way to find documents that was thought of and not taken. */
export interface Alternative {
  /** The index that it would have used. */
  readonly index?: string
  /** Whether it would have read the whole collection. */
  readonly scan?: 'full'
  /** What it would have read. */
  readonly access?: string
  /** What it was guessed to cost. */
  readonly cost: number
  /** Why it was not taken. */
  readonly why: string
}

/** What carrying out a query took. */
export interface Analysis {
  /** Index entries and keys read. */
  readonly keysRead: number
  /** Documents read. */
  readonly docsRead: number
  /** Documents found. */
  readonly returned: number
  /** Milliseconds. */
  readonly ms: number
}

/** How a query finds its documents. */
export interface Explanation {
  /** The plan. */
  readonly plan: PlanNode
  /** What it is guessed to cost. */
  readonly cost: number
  /** What else was thought of. */
  readonly considered: readonly Alternative[]
  /** What could be better. */
  readonly warnings: readonly string[]
  /** What carrying it out took. */
  readonly analyze?: Analysis
}
