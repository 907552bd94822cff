'use strict'
/** The bytes of a record, `docs/format.md` §6.4; `crates/engine/src/record` is the other implementation. */
Object.defineProperty(exports, '__esModule', { value: true })
exports.FLOATS =
  exports.BYTES =
  exports.BIGINT =
  exports.DATE =
  exports.NAMED_OBJECT =
  exports.LONG_OBJECT =
  exports.LONG_ARRAY =
  exports.LONG_STRING =
  exports.FLOAT =
  exports.INT_32 =
  exports.INT_16 =
  exports.INT_8 =
  exports.TRUE =
  exports.FALSE =
  exports.NULL =
  exports.OBJECT_LAST =
  exports.OBJECT =
  exports.ARRAY_LAST =
  exports.ARRAY =
  exports.STRING_LAST =
  exports.STRING =
  exports.INT_LAST =
  exports.FLAG_LONG =
  exports.FLAG_WIDE =
  exports.CODEC_RECORD =
    void 0
/** The codec byte of a record. */
exports.CODEC_RECORD = 2
/** The text has characters beyond ASCII, and every string tells its bytes after its characters. */
exports.FLAG_WIDE = 1
/** The length of the structure takes four bytes instead of two. */
exports.FLAG_LONG = 2
/** `0x00` to here: the integers themselves. */
exports.INT_LAST = 0x3f
/** `0x40` and more: strings of 0 to 63 characters. */
exports.STRING = 0x40
exports.STRING_LAST = 0x7f
/** `0x80` and more: arrays of 0 to 31 elements. */
exports.ARRAY = 0x80
exports.ARRAY_LAST = 0x9f
/** `0xa0` and more: objects of the shapes 0 to 63. */
exports.OBJECT = 0xa0
exports.OBJECT_LAST = 0xdf
exports.NULL = 0xe0
exports.FALSE = 0xe1
exports.TRUE = 0xe2
/** One byte: an integer less 64. */
exports.INT_8 = 0xe3
exports.INT_16 = 0xe4
exports.INT_32 = 0xe5
exports.FLOAT = 0xe6
exports.LONG_STRING = 0xe7
exports.LONG_ARRAY = 0xe8
exports.LONG_OBJECT = 0xe9
/** An object that carries the names of its members. */
exports.NAMED_OBJECT = 0xea
exports.DATE = 0xeb
exports.BIGINT = 0xec
exports.BYTES = 0xed
exports.FLOATS = 0xee
