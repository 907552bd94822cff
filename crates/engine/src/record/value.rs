//! A document unpacked, for whatever has to build or rearrange one: JSON, sorting, tests.

use std::cmp::Ordering;

use super::reader::malformed;
use super::{Node, Reader};
use crate::error::{Error, Result};
use crate::keys::{BigInt, Key};
use crate::limits::{MAX_DOCUMENT_DEPTH, MAX_UNPACKED_NAME_BYTES};

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// An integer of any size.
    BigInt(BigInt),
    /// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
    Date(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// 32-bit floating-point numbers.
    Floats(Vec<f32>),
    /// Values in a row.
    Array(Vec<Value>),
    /// Named values in the order in which they were written; no name comes twice.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Unpacks the next value of a record with everything in it.
    ///
    /// # Errors
    /// `ERR_CORRUPT`; `ERR_TOO_LARGE` when the names of all members take more than [`MAX_UNPACKED_NAME_BYTES`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Unpacker { name_bytes: 0 }.value(reader, 0)
    }

    /// The member of an object.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The value as a record key, if it can be one.
    pub fn as_key(&self) -> Option<Key> {
        match self {
            Self::Number(number) => Some(Key::Number(*number)),
            Self::BigInt(number) => Some(Key::BigInt(number.clone())),
            Self::String(text) => Some(Key::String(text.clone())),
            Self::Bytes(bytes) => Some(Key::Bytes(bytes.clone())),
            Self::Array(elements) => elements.iter().map(Self::as_key).collect::<Option<_>>().map(Key::Array),
            _ => None,
        }
    }

    /// The order of values of all types: null, booleans, numbers, bigints, dates, strings by code point, bytes, 32-bit
    /// numbers, arrays element by element, objects member by member in their order.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) | (Self::Date(a), Self::Date(b)) => a.total_cmp(b),
            (Self::BigInt(a), Self::BigInt(b)) => a.order(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Floats(a), Self::Floats(b)) => in_row(a.iter(), b.iter(), f32::total_cmp),
            (Self::Array(a), Self::Array(b)) => in_row(a.iter(), b.iter(), Self::order),
            (Self::Object(a), Self::Object(b)) => {
                in_row(a.iter(), b.iter(), |a, b| a.0.cmp(&b.0).then_with(|| a.1.order(&b.1)))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::BigInt(_) => 3,
            Self::Date(_) => 4,
            Self::String(_) => 5,
            Self::Bytes(_) => 6,
            Self::Floats(_) => 7,
            Self::Array(_) => 8,
            Self::Object(_) => 9,
        }
    }
}

/// The numbers in the bytes of [`Node::Floats`].
pub(super) fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk))
}

/// Unpacks one value.
struct Unpacker {
    /// Bytes of the names so far.
    name_bytes: usize,
}

impl Unpacker {
    fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Value> {
        if depth > MAX_DOCUMENT_DEPTH {
            return Err(malformed("nested too deep"));
        }
        Ok(match reader.next()? {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Number(number) => Value::Number(number),
            Node::BigInt(negative, magnitude) => Value::BigInt(BigInt::new(negative, magnitude)),
            Node::Date(millis) => Value::Date(millis),
            Node::String(text) => Value::String(text.to_owned()),
            Node::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Node::Floats(bytes) => Value::Floats(floats(bytes).collect()),
            Node::Array(count) => {
                Value::Array((0..count).map(|_| self.value(reader, depth + 1)).collect::<Result<_>>()?)
            }
            Node::Object(shape) => {
                let mut member = |name: &str| Ok((self.name(name)?, self.value(reader, depth + 1)?));
                Value::Object(shape.names().iter().map(|name| member(name)).collect::<Result<_>>()?)
            }
            Node::Named(count) => {
                Value::Object((0..count).map(|_| self.named_member(reader, depth)).collect::<Result<_>>()?)
            }
        })
    }

    fn named_member(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(String, Value)> {
        let Node::String(name) = reader.next()? else { return Err(malformed("a name is not text")) };
        Ok((self.name(name)?, self.value(reader, depth + 1)?))
    }

    fn name(&mut self, name: &str) -> Result<String> {
        self.name_bytes += name.len();
        if self.name_bytes > MAX_UNPACKED_NAME_BYTES {
            let what = "the names of members of an unpacked document";
            return Err(Error::too_large(what, self.name_bytes, MAX_UNPACKED_NAME_BYTES));
        }
        Ok(name.to_owned())
    }
}

fn in_row<T>(
    mut a: impl Iterator<Item = T>,
    mut b: impl Iterator<Item = T>,
    order: impl Fn(T, T) -> Ordering,
) -> Ordering {
    loop {
        let ordering = match (a.next(), b.next()) {
            (Some(a), Some(b)) => order(a, b),
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}
