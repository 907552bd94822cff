/** From the bounds of a scan to a range of encoded keys: lower bound included, upper bound excluded, empty for none. */
import { StoreError } from './errors.js'
import { type Key, type KeyContext, keyBytes, plainKey, prefixBytes } from './keys.js'

/** A range of encoded keys. */
export interface EncodedRange {
  /** The smallest key; empty for the first of the collection. */
  readonly lower: Buffer
  /** The first key after the range; empty for none. */
  readonly upper: Buffer
}

/** The bounds that a scan may be given. */
export interface Bounds {
  readonly prefix?: unknown
  readonly gt?: unknown
  readonly gte?: unknown
  readonly lt?: unknown
  readonly lte?: unknown
}

const NO_BOUND = Buffer.alloc(0)

/**
 * The range for the bounds of a scan of `collection`.
 *
 * @throws StoreError `ERR_INVALID_ARGUMENT` for bounds that exclude each other, `ERR_INVALID_KEY` for bad keys
 */
export function encodeRange(bounds: Bounds, collection: string): EncodedRange {
  const { prefix, gt, gte, lt, lte } = bounds
  const context = (name: string): KeyContext => ({ collection, place: `options.${name}` })
  if (prefix !== undefined) {
    const other = (['gt', 'gte', 'lt', 'lte'] as const).find((name) => bounds[name] !== undefined)
    if (other) throw conflict('prefix', other)
    const lower = prefixBytes(prefix, context('prefix'))
    return { lower, upper: Array.isArray(prefix) ? afterElements(lower) : afterPrefix(lower) }
  }
  if (gt !== undefined && gte !== undefined) throw conflict('gt', 'gte')
  if (lt !== undefined && lte !== undefined) throw conflict('lt', 'lte')
  const encode = (key: unknown, name: string) => keyBytes(plainKey(key, context(name)) as Key, context(name))
  return {
    lower: gte !== undefined ? encode(gte, 'gte') : gt !== undefined ? after(encode(gt, 'gt')) : NO_BOUND,
    upper: lt !== undefined ? encode(lt, 'lt') : lte !== undefined ? after(encode(lte, 'lte')) : NO_BOUND,
  }
}

/** The smallest byte string greater than `key`. */
export function after(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.from([0])])
}

/**
 * The end of the arrays that begin with some elements. The encoding of a last element `a` also begins that of `a\0`, which
 * goes on with this byte; no element and no end begins with it.
 */
function afterElements(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.from([0xff])])
}

/** The smallest byte string greater than all that begin with `prefix`, whose first byte is a tag and never 0xFF. */
function afterPrefix(prefix: Buffer): Buffer {
  let last = prefix.length - 1
  while (prefix[last] === 0xff) last--
  const end = Buffer.from(prefix.subarray(0, last + 1))
  end[last] = (end[last] as number) + 1
  return end
}

function conflict(one: string, other: string): StoreError {
  const message = `options.${one} and options.${other} of scan exclude each other`
  return new StoreError('ERR_INVALID_ARGUMENT', message, { place: `options.${other}` })
}
