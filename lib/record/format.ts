/** The bytes of a record, `docs/format.md` §6.4; `crates/engine/src/record` is the other implementation. */

/** The codec byte of a record. */
export const CODEC_RECORD = 2

/** The text has characters beyond ASCII, and every string tells its bytes after its characters. */
export const FLAG_WIDE = 1
/** The length of the structure takes four bytes instead of two. */
export const FLAG_LONG = 2

/** `0x00` to here: the integers themselves. */
export const INT_LAST = 0x3f
/** `0x40` and more: strings of 0 to 63 characters. */
export const STRING = 0x40
export const STRING_LAST = 0x7f
/** `0x80` and more: arrays of 0 to 31 elements. */
export const ARRAY = 0x80
export const ARRAY_LAST = 0x9f
/** `0xa0` and more: objects of the shapes 0 to 63. */
export const OBJECT = 0xa0
export const OBJECT_LAST = 0xdf
export const NULL = 0xe0
export const FALSE = 0xe1
export const TRUE = 0xe2
/** One byte: an integer less 64. */
export const INT_8 = 0xe3
export const INT_16 = 0xe4
export const INT_32 = 0xe5
export const FLOAT = 0xe6
export const LONG_STRING = 0xe7
export const LONG_ARRAY = 0xe8
export const LONG_OBJECT = 0xe9
/** An object that carries the names of its members. */
export const NAMED_OBJECT = 0xea
export const DATE = 0xeb
export const BIGINT = 0xec
export const BYTES = 0xed
export const FLOATS = 0xee
