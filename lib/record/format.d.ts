/** The bytes of a record, `docs/format.md` §6.4; `crates/engine/src/record` is the other implementation. */
/** The codec byte of a record. */
export declare const CODEC_RECORD = 2;
/** The text has characters beyond ASCII, and every string tells its bytes after its characters. */
export declare const FLAG_WIDE = 1;
/** The length of the structure takes four bytes instead of two. */
export declare const FLAG_LONG = 2;
/** `0x00` to here: the integers themselves. */
export declare const INT_LAST = 63;
/** `0x40` and more: strings of 0 to 63 characters. */
export declare const STRING = 64;
export declare const STRING_LAST = 127;
/** `0x80` and more: arrays of 0 to 31 elements. */
export declare const ARRAY = 128;
export declare const ARRAY_LAST = 159;
/** `0xa0` and more: objects of the shapes 0 to 63. */
export declare const OBJECT = 160;
export declare const OBJECT_LAST = 223;
export declare const NULL = 224;
export declare const FALSE = 225;
export declare const TRUE = 226;
/** One byte: an integer less 64. */
export declare const INT_8 = 227;
export declare const INT_16 = 228;
export declare const INT_32 = 229;
export declare const FLOAT = 230;
export declare const LONG_STRING = 231;
export declare const LONG_ARRAY = 232;
export declare const LONG_OBJECT = 233;
/** An object that carries the names of its members. */
export declare const NAMED_OBJECT = 234;
export declare const DATE = 235;
export declare const BIGINT = 236;
export declare const BYTES = 237;
export declare const FLOATS = 238;
