//! Walks the structure of a record, value by value, without building anything.
//!
//! A container is announced with the number of values that follow it; the reader keeps no stack, so whoever walks into
//! a container reads or skips all of its values. Skipping is a loop over the structure, never a recursion.
//!
//! Text is checked where it is taken, not where it is passed over: most of what a walk over records does is to pass over
//! values, and what nobody is given need not be looked at.

use super::shapes::shape_of_record;
use super::skip;
use super::{CODEC_RECORD, Shape, flag, tag};
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::Moment;

/// The next value of a record, or the beginning of a container.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// Text.
    String(&'a str),
    /// A moment, in milliseconds since 1970-01-01T00:00:00Z.
    Date(f64),
    /// An integer: whether it is negative, and its big-endian magnitude.
    BigInt(bool, &'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// 32-bit floating-point numbers, four little-endian bytes each.
    Floats(&'a [u8]),
    /// An array; this many values follow.
    Array(usize),
    /// An object; one value for each name of the shape follows.
    Object(&'a Shape),
    /// An object; this many pairs of a string and a value follow.
    Named(usize),
}

impl Node<'_> {
    /// How many values follow that belong to this one.
    pub fn children(&self) -> usize {
        match self {
            Self::Array(count) => *count,
            Self::Object(shape) => shape.names().len(),
            Self::Named(count) => count.saturating_mul(2),
            _ => 0,
        }
    }
}

/// Whether a value has others in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None.
    Scalar,
    /// Elements.
    Array,
    /// Members, whether the object names its shape or carries their names.
    Object,
}

/// A position in a record.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    structure: &'a [u8],
    text: &'a [u8],
    wide: bool,
    shapes: &'a [std::sync::Arc<Shape>],
    expires_at: Option<Moment>,
    values: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    /// Begins to read a record, codec byte first, or what stands before that.
    ///
    /// # Errors
    /// `ERR_NEWER_FORMAT` for another codec, `ERR_CORRUPT`.
    #[inline]
    pub fn new(record: &'a [u8], shapes: &'a [std::sync::Arc<Shape>]) -> Result<Self> {
        // Most records are no envelopes and have short structures.
        if let [CODEC_RECORD, flags @ (0 | flag::WIDE), low, high, rest @ ..] = record
            && let Some((structure, text)) = rest.split_at_checked(u16::from_le_bytes([*low, *high]).into())
        {
            let wide = *flags == flag::WIDE;
            return Ok(Self { structure, text, wide, shapes, expires_at: None, values: None });
        }
        Self::of_any(record, shapes)
    }

    fn of_any(record: &'a [u8], shapes: &'a [std::sync::Arc<Shape>]) -> Result<Self> {
        let envelope::Parts { expires_at, values, document } = envelope::open(record);
        let (flags, rest) = match document {
            [CODEC_RECORD, flags, rest @ ..] => (*flags, rest),
            [codec, _, ..] if *codec != CODEC_RECORD => return Err(unknown_codec(*codec)),
            _ => return Err(malformed("too short")),
        };
        if flags & !(flag::WIDE | flag::LONG) != 0 {
            return Err(Error::new(
                ErrorCode::NewerFormat,
                format!("a record with flags {flags:#04x}, which this version does not know"),
            ));
        }
        let (length, rest) = if flags & flag::LONG == 0 {
            let (length, rest) = rest.split_first_chunk().ok_or_else(|| malformed("too short"))?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        } else {
            let (length, rest) = rest.split_first_chunk().ok_or_else(|| malformed("too short"))?;
            (u32::from_le_bytes(*length) as usize, rest)
        };
        let (structure, text) =
            rest.split_at_checked(length).ok_or_else(|| malformed("structure cut short"))?;
        Ok(Self { structure, text, wide: flags & flag::WIDE != 0, shapes, expires_at, values })
    }

    /// The moment at which the record expires, if it carries one.
    pub(crate) fn expires_at(&self) -> Option<Moment> {
        self.expires_at
    }

    /// What the program has computed from the document for indexes, if it has.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub(crate) fn values(&self) -> Result<Option<Self>> {
        self.values.map(|values| Self::new(values, self.shapes)).transpose()
    }

    /// Whether both streams are read to their ends.
    pub fn is_at_end(&self) -> bool {
        self.structure.is_empty() && self.text.is_empty()
    }

    /// The next value, or the beginning of the next container.
    ///
    /// # Errors
    /// `ERR_CORRUPT`, at the end, too.
    #[expect(clippy::should_implement_trait, reason = "an iterator would have to end, and a reader must not")]
    #[inline]
    pub fn next(&mut self) -> Result<Node<'a>> {
        let first = self.byte()?;
        Ok(match first {
            0..=tag::INT_LAST => Node::Number(f64::from(first)),
            tag::STRING..=tag::STRING_LAST => Node::String(self.string(usize::from(first - tag::STRING))?),
            tag::ARRAY..=tag::ARRAY_LAST => Node::Array(self.count(usize::from(first - tag::ARRAY))?),
            tag::OBJECT..=tag::OBJECT_LAST => Node::Object(self.shape(usize::from(first - tag::OBJECT))?),
            tag::NULL => Node::Null,
            tag::FALSE => Node::Bool(false),
            tag::TRUE => Node::Bool(true),
            tag::INT_8 => Node::Number(f64::from(self.byte()?) + 64.0),
            tag::INT_16 => Node::Number(f64::from(i16::from_le_bytes(self.chunk()?))),
            tag::INT_32 => Node::Number(f64::from(i32::from_le_bytes(self.chunk()?))),
            tag::FLOAT => Node::Number(f64::from_le_bytes(self.chunk()?)),
            tag::LONG_STRING => {
                let units = self.varint()?;
                Node::String(self.string(units)?)
            }
            tag::LONG_ARRAY => {
                let count = self.varint()?;
                Node::Array(self.count(count)?)
            }
            tag::LONG_OBJECT => {
                let id = self.varint()?;
                Node::Object(self.shape(id)?)
            }
            tag::NAMED_OBJECT => {
                let count = self.varint()?;
                Node::Named(self.count(count)?)
            }
            tag::DATE => Node::Date(f64::from_le_bytes(self.chunk()?)),
            tag::BIGINT => {
                let coded = self.varint()?;
                Node::BigInt(coded & 1 == 1, self.take(coded >> 1)?)
            }
            tag::BYTES => {
                let length = self.varint()?;
                Node::Bytes(self.take(length)?)
            }
            tag::FLOATS => {
                let count = self.varint()?;
                Node::Floats(self.take(count.saturating_mul(4))?)
            }
            _ => return Err(malformed("unknown tag")),
        })
    }

    /// Passes over one value with everything in it.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn skip(&mut self) -> Result<()> {
        self.skip_many(1)
    }

    /// Passes over `count` values with everything in them.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    #[inline]
    pub fn skip_many(&mut self, count: usize) -> Result<()> {
        // Many that are passed over alone are no containers and say in one byte what they take.
        if count == 1
            && let Some(&first) = self.structure.first()
        {
            let takes = self.table()[usize::from(first)];
            if takes.structure > 0 && takes.children == 0 {
                return self.advance(takes.structure.into(), takes.text.into());
            }
        }
        self.skip_all(count)
    }

    fn table(&self) -> &'static skip::Table {
        if self.wide { &skip::WIDE } else { &skip::PLAIN }
    }

    fn skip_all(&mut self, count: usize) -> Result<()> {
        let table = self.table();
        let (mut at, mut text, mut left) = (0, 0, count);
        while left > 0 {
            left -= 1;
            let first = *self.structure.get(at).ok_or_else(cut_short)?;
            let takes = table[usize::from(first)];
            if takes.structure > 0 {
                at += usize::from(takes.structure);
                text += usize::from(takes.text);
                left += usize::from(takes.children);
                continue;
            }
            self.advance(at, text)?;
            (at, text) = (0, 0);
            left += self.pass()?;
        }
        self.advance(at, text)
    }

    /// Passes over one value, or the beginning of a container; gives how many values follow that belong to it.
    fn pass(&mut self) -> Result<usize> {
        let units = match *self.structure.first().ok_or_else(cut_short)? {
            first @ tag::STRING..=tag::STRING_LAST => {
                self.byte()?;
                usize::from(first - tag::STRING)
            }
            tag::LONG_STRING => {
                self.byte()?;
                self.varint()?
            }
            _ => return Ok(self.next()?.children()),
        };
        self.string_bytes(units)?;
        Ok(0)
    }

    /// Passes over so many bytes of both streams.
    #[inline]
    fn advance(&mut self, structure: usize, text: usize) -> Result<()> {
        self.structure = self.structure.get(structure..).ok_or_else(cut_short)?;
        self.text = self.text.get(text..).ok_or_else(|| malformed("text cut short"))?;
        Ok(())
    }

    /// As [`Reader::skip_many`]; gives what the values take of both streams, the text as bytes of UTF-8.
    #[inline]
    pub(super) fn take_many(&mut self, count: usize) -> Result<(&'a [u8], &'a [u8])> {
        let (structure, text) = (self.structure, self.text);
        self.skip_many(count)?;
        let structure = structure.get(..structure.len() - self.structure.len());
        let text = text.get(..text.len() - self.text.len()).unwrap_or_default();
        // Quicker to tell, and most text is.
        if !text.is_ascii() {
            checked(text)?;
        }
        Ok((structure.unwrap_or_default(), text))
    }

    /// The structure between here and where `behind`, a copy that went on, stands.
    pub(super) fn structure_before(&self, behind: &Self) -> &'a [u8] {
        self.structure.get(..self.structure.len() - behind.structure.len()).unwrap_or_default()
    }

    /// What kind of value is next.
    ///
    /// # Errors
    /// `ERR_CORRUPT` at the end.
    #[inline]
    pub fn kind(&self) -> Result<Kind> {
        Ok(match *self.structure.first().ok_or_else(cut_short)? {
            tag::ARRAY..=tag::ARRAY_LAST | tag::LONG_ARRAY => Kind::Array,
            tag::OBJECT..=tag::OBJECT_LAST | tag::LONG_OBJECT | tag::NAMED_OBJECT => Kind::Object,
            _ => Kind::Scalar,
        })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let (&first, rest) = self.structure.split_first().ok_or_else(cut_short)?;
        self.structure = rest;
        Ok(first)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (&chunk, rest) = self.structure.split_first_chunk().ok_or_else(cut_short)?;
        self.structure = rest;
        Ok(chunk)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.structure.split_at_checked(length).ok_or_else(cut_short)?;
        self.structure = rest;
        Ok(taken)
    }

    /// A LEB128 number of at most 32 bits.
    fn varint(&mut self) -> Result<usize> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                let value = u32::try_from(value).map_err(|_| malformed("number too large"))?;
                return Ok(value as usize);
            }
        }
        Err(malformed("number too long"))
    }

    /// A count of values that follow. Each takes at least one byte, so no count is larger than the rest: without this
    /// a few bytes could announce more than memory holds.
    fn count(&self, count: usize) -> Result<usize> {
        if count <= self.structure.len() { Ok(count) } else { Err(cut_short()) }
    }

    fn shape(&self, id: usize) -> Result<&'a Shape> {
        shape_of_record(self.shapes, id)
    }

    /// The next string of `units` UTF-16 units. In wide text its bytes are told apart from its units, which only
    /// JavaScript counts in.
    #[inline]
    fn string(&mut self, units: usize) -> Result<&'a str> {
        checked(self.string_bytes(units)?)
    }

    /// As [`Reader::string`], whatever the bytes are.
    #[inline]
    fn string_bytes(&mut self, units: usize) -> Result<&'a [u8]> {
        let bytes = if self.wide { self.varint()? } else { units };
        let (string, rest) = self.text.split_at_checked(bytes).ok_or_else(|| malformed("text cut short"))?;
        self.text = rest;
        Ok(string)
    }

    /// Whether the text that is not read yet is ASCII.
    pub(super) fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// Whether strings tell their bytes apart from their units.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// The units that the next value claims, if it is a string; for [`super::check`] only.
    pub(super) fn peek_units(&self) -> Option<usize> {
        let mut ahead = self.clone();
        match ahead.byte().ok()? {
            first @ tag::STRING..=tag::STRING_LAST => Some(usize::from(first - tag::STRING)),
            tag::LONG_STRING => ahead.varint().ok(),
            _ => None,
        }
    }
}

#[inline]
fn checked(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|_| malformed("text is not UTF-8"))
}

#[cold]
pub(crate) fn malformed(what: &str) -> Error {
    Error::new(ErrorCode::Corrupt, format!("malformed record: {what}"))
}

#[cold]
fn cut_short() -> Error {
    malformed("structure cut short")
}

fn unknown_codec(codec: u8) -> Error {
    Error::new(
        ErrorCode::NewerFormat,
        format!("a record is stored with codec {codec}, which this version does not know"),
    )
}
