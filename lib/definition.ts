/**
 * What a program says of a collection in one place: key, schema, indexes. From it the types know what may be written, what
 * is read, the names of the indexes, and what may be looked for in each.
 */
import type { ComputedIndex } from './computed.js'
import type { IndexKey, IndexKind, IndexValue } from './indexes.js'
import type { Key } from './keys.js'
import type { AnyPath, At, Path } from './query-types.js'
import type { Schema, SchemaInput, SchemaOutput } from './schema.js'
import type { KeyProperty } from './types.js'

/** Indexes of which nothing is known: any name may be one, and any key may be in it. */
export interface AnyIndexes {
  readonly [name: string]: IndexKey
}

/** An index on what paths lead to. */
export interface PathIndex<P extends string = string> {
  /** Whether several documents may have the same key. */
  readonly kind: IndexKind
  /** The paths whose values are the key; see `IndexDefinition`. */
  readonly on: P | readonly P[]
  /** Only documents in which every path leads to a value have entries. Default: false. */
  readonly sparse?: boolean | undefined
}

/** The indexes of a collection of documents `T`, by name. */
export interface IndexDeclarations<T> {
  readonly [name: string]: PathIndex<Path<T> | AnyPath> | ComputedIndex<T>
}

/** A collection with a schema. */
export interface CollectionDefinition<S extends Schema, P extends string, I> {
  /** What documents must be: a validator, or `type<User>()`. */
  readonly schema: S
  /** The property that holds the key. Default: `'id'`. */
  readonly key?: P | undefined
  /**
   * The version of the schema that the documents follow, as the program counts. If the store has another one,
   * `store.collection` throws `ERR_DEFINITION`; `ready()` stores it where there is none, and after a migration
   * `store.alterCollection(name, { schemaVersion })` changes it. Default: any.
   */
  readonly schemaVersion?: number | undefined
  /** The indexes that the program reads through, by name; `ready()` defines those that are missing. Default: none. */
  readonly indexes?: (I & IndexDeclarations<DocumentOf<S>>) | undefined
}

/** Demands a key where documents have none in `id`. */
export type NeedsKey<T, P> = 'id' extends KeyProperty<T> ? unknown : { readonly key: P }

/** The documents of a collection with this schema. */
export type DocumentOf<S extends Schema> = Extract<SchemaOutput<S>, object>

/** What may be written into a collection with this schema. */
export type WritableOf<S extends Schema> = Extract<SchemaInput<S>, object>

/** The keys of documents `T` that carry them in `P`. */
export type KeyIn<T, P> = P extends keyof T ? Extract<T[P], Key> : never

/** What may be looked for in each index. */
export type IndexKeys<T, I> = { readonly [N in keyof I & string]: KeyOf<T, I[N]> }

type KeyOf<T, D> = D extends { readonly on: infer On }
  ? On extends readonly string[]
    ? Listed<T, On>
    : On extends string
      ? Single<Value<T, On>>
      : never
  : D extends { readonly values: (document: never) => readonly (infer V)[] }
    ? Single<V>
    : never

/** The values that an index on one path can hold. */
type Value<T, P extends string> = At<T, P> extends infer V ? (unknown extends V ? IndexValue : V | null) : never

/** A value, or a list with just the value; a value that is a list itself is only written so. */
type Single<V> = readonly [V] | (V extends readonly unknown[] ? never : V)

/** The first value, or a list of the first values. */
type Listed<T, On extends readonly string[]> = On extends readonly [infer P extends string, ...infer Rest]
  ? Single<Value<T, P>> | Longer<T, Rest, readonly [Value<T, P>]>
  : IndexKey

type Longer<T, On extends readonly unknown[], Before extends readonly unknown[]> = On extends readonly [
  infer P extends string,
  ...infer Rest,
]
  ? readonly [...Before, Value<T, P>] | Longer<T, Rest, readonly [...Before, Value<T, P>]>
  : never
