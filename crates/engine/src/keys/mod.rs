//! Record keys: one order-preserving encoding for every type a key may have (`docs/format.md` §6.3).
//!
//! What always holds: comparing two encoded keys byte by byte gives the order of the keys, and every key has exactly
//! one encoding. [`validate`] enforces the second; without it two spellings of one key could both be stored.
//!
//! The order: numbers, bigints, strings (by code point), bytes, arrays (element by element, a shorter array before
//! a longer one that begins with it).

mod bigint;
mod decode;
mod encode;
mod prefix;
pub(crate) mod reader;
mod validate;

pub use bigint::BigInt;
pub use decode::decode;
pub(crate) use decode::{read_bigint, read_bytes, read_string};
pub use encode::{encode, encode_into};
pub(crate) use encode::{push_bigint, push_number, push_open_bytes};
pub use prefix::{after, array_prefix, bytes_prefix, string_prefix};
pub use validate::validate;

/// Tags of the encoding. `END` closes strings, bytes and arrays and sorts before every other byte that can stand
/// in its place.
pub(crate) mod tag {
    pub const END: u8 = 0x00;
    /// After a zero byte inside a string or bytes: the zero is data, not the end.
    pub const ESCAPE: u8 = 0xFF;
    pub const NUMBER: u8 = 0x20;
    pub const BIGINT: u8 = 0x28;
    pub const STRING: u8 = 0x30;
    pub const BYTES: u8 = 0x38;
    pub const ARRAY: u8 = 0x40;
}

/// Length byte of a bigint that is not negative and has no bytes, that is, of zero.
const BIGINT_ZERO: u8 = 0x80;
/// Length byte that a negative bigint without bytes would have; there is none.
const BIGINT_NEGATIVE: u8 = 0x7F;

/// A record key.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// Any number but NaN. −0 is the same key as 0.
    Number(f64),
    /// An integer of any size up to [`crate::limits::MAX_BIGINT_BYTES`]; never the same key as a number.
    BigInt(BigInt),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Keys in a row, themselves of any type.
    Array(Vec<Key>),
}

#[cfg(test)]
mod tests;
