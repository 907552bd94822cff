//! Records: how a document lies in bytes (`docs/format.md` §6.4), so that it can be searched without being unpacked.
//!
//! A record is two streams. The *structure* holds types, numbers and lengths in the order of the document; the *text*
//! holds all its strings one after another. JavaScript then decodes all strings of a document in one call and cuts
//! them apart, which is where most of the time of any decoder goes. Objects do not repeat the names of their members:
//! they name a *shape*, a list of names that the store keeps once ([`Shapes`]).
//!
//! What always holds:
//! - A stored record is well formed ([`check`]), so nothing below has to fear it, though a reader of bytes that are
//!   not still ends in an error, never in a panic or a loop.
//! - The shape that a stored record names was stored by the same commit or an earlier one.
//! - Numbers are finite and −0 is stored as 0, so that every record can be written as JSON and be compared.
//!
//! The two streams follow the idea of msgpackr's bundled strings and its record structures; the format is our own.

mod check;
mod json;
mod path;
mod reader;
mod shapes;
mod skip;
mod splice;
mod value;
mod writer;

pub(crate) use check::MAX_DATE_MILLIS;
pub use check::check;
pub use json::{from_json, to_json};
pub use path::{Path, Step};
pub(crate) use reader::malformed;
pub use reader::{Kind, Node, Reader};
pub(crate) use shapes::LOST_SHAPE;
pub use shapes::{Shape, ShapeId, ShapeList, Shapes, shape_of_record};
pub use splice::Splice;
pub use value::Value;
pub use writer::{write, write_named};

/// The codec byte of a record.
pub const CODEC_RECORD: u8 = 2;

/// Where the text of a record begins, if it is all ASCII and the record is not long.
#[must_use]
pub fn ascii_text(record: &[u8]) -> Option<usize> {
    match record {
        [CODEC_RECORD, 0, low, high, rest @ ..] => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            (length <= rest.len()).then_some(4 + length)
        }
        _ => None,
    }
}

/// Bits of the byte after the codec.
pub(crate) mod flag {
    /// The text has characters beyond ASCII; every string in the structure tells its bytes after its characters.
    pub const WIDE: u8 = 1;
    /// The length of the structure is a `u32` instead of a `u16`.
    pub const LONG: u8 = 2;
}

/// First bytes of values in the structure.
pub(crate) mod tag {
    /// `0x00..=0x3F`: the integers 0 to 63.
    pub const INT_LAST: u8 = 0x3F;
    /// `0x40..=0x7F`: strings of 0 to 63 UTF-16 units.
    pub const STRING: u8 = 0x40;
    pub const STRING_LAST: u8 = 0x7F;
    /// `0x80..=0x9F`: arrays of 0 to 31 elements.
    pub const ARRAY: u8 = 0x80;
    pub const ARRAY_LAST: u8 = 0x9F;
    /// `0xA0..=0xDF`: objects of the shapes 0 to 63.
    pub const OBJECT: u8 = 0xA0;
    pub const OBJECT_LAST: u8 = 0xDF;
    pub const NULL: u8 = 0xE0;
    pub const FALSE: u8 = 0xE1;
    pub const TRUE: u8 = 0xE2;
    /// One byte: an integer less 64.
    pub const INT_8: u8 = 0xE3;
    /// Two bytes: an `i16`.
    pub const INT_16: u8 = 0xE4;
    /// Four bytes: an `i32`.
    pub const INT_32: u8 = 0xE5;
    /// Eight bytes: an `f64`.
    pub const FLOAT: u8 = 0xE6;
    pub const LONG_STRING: u8 = 0xE7;
    pub const LONG_ARRAY: u8 = 0xE8;
    pub const LONG_OBJECT: u8 = 0xE9;
    /// An object that carries the names of its members.
    pub const NAMED_OBJECT: u8 = 0xEA;
    pub const DATE: u8 = 0xEB;
    pub const BIGINT: u8 = 0xEC;
    pub const BYTES: u8 = 0xED;
    pub const FLOATS: u8 = 0xEE;
}

#[cfg(test)]
mod tests;
