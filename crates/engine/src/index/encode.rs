//! From values to bytes whose order is the order of values, and back.
//!
//! The order: missing, null, false, true, numbers, bigints, dates, strings by code point, bytes, arrays element by element,
//! and last what is no key: objects and lists of 32-bit numbers, which an index cannot tell apart.

use crate::error::{Error, Result};
use crate::keys::{self, tag as key_tag};
use crate::limits::{MAX_INDEX_KEY_BYTES, MAX_KEY_DEPTH};
use crate::record::{Node, Reader, Value};

/// Tags that record keys have not.
pub(crate) mod tag {
    pub const MISSING: u8 = 0x04;
    pub const NULL: u8 = 0x08;
    pub const FALSE: u8 = 0x10;
    pub const TRUE: u8 = 0x11;
    pub const DATE: u8 = 0x2C;
    pub const OTHER: u8 = 0x60;
}

/// Appends the encoding of the next value of a record; `false` if the value is no key and `OTHER` was appended. Values
/// that are larger than a key may be are not copied in full; the caller looks at the length.
pub(super) fn push_node(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<bool> {
    let start = out.len();
    let is_key = push_at(reader, 0, start, out)?;
    if !is_key {
        out.truncate(start);
        out.push(tag::OTHER);
    }
    Ok(is_key)
}

/// `start` is where the value begins in `out`.
fn push_at(reader: &mut Reader<'_>, depth: usize, start: usize, out: &mut Vec<u8>) -> Result<bool> {
    match reader.next()? {
        Node::Null => out.push(tag::NULL),
        Node::Bool(value) => out.push(if value { tag::TRUE } else { tag::FALSE }),
        Node::Number(number) => keys::push_number(key_tag::NUMBER, number, out),
        Node::BigInt(negative, magnitude) => keys::push_bigint(negative, magnitude, out),
        Node::Date(millis) => keys::push_number(tag::DATE, millis, out),
        Node::String(text) => push_bytes(key_tag::STRING, text.as_bytes(), out),
        Node::Bytes(bytes) => push_bytes(key_tag::BYTES, bytes, out),
        Node::Array(count) => {
            if depth == MAX_KEY_DEPTH {
                return Ok(false);
            }
            out.push(key_tag::ARRAY);
            for _ in 0..count {
                // What is too large already need not be written, but is no key if what follows is none.
                let is_full = out.len() - start > MAX_INDEX_KEY_BYTES;
                let is_key = if is_full {
                    is_key(reader, depth + 1)?
                } else {
                    push_at(reader, depth + 1, start, out)?
                };
                if !is_key {
                    return Ok(false);
                }
            }
            out.push(key_tag::END);
        }
        Node::Floats(_) | Node::Object(_) | Node::Named(_) => return Ok(false),
    }
    Ok(true)
}

/// Whether the next value of a record is a key, whatever its size.
fn is_key(reader: &mut Reader<'_>, depth: usize) -> Result<bool> {
    match reader.next()? {
        Node::Array(_) if depth == MAX_KEY_DEPTH => Ok(false),
        Node::Array(count) => {
            for _ in 0..count {
                if !is_key(reader, depth + 1)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Node::Floats(_) | Node::Object(_) | Node::Named(_) => Ok(false),
        _ => Ok(true),
    }
}

fn push_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    // One byte more than fits is enough for the caller to see.
    keys::push_open_bytes(tag, &bytes[..bytes.len().min(MAX_INDEX_KEY_BYTES + 1)], out);
    out.push(key_tag::END);
}

/// Appends the encoding of a value that is asked for.
///
/// # Errors
/// `ERR_INVALID_ARGUMENT` for what is no key.
pub(super) fn push_value(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    push_value_at(value, 0, out)
}

fn push_value_at(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => out.push(tag::NULL),
        Value::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
        Value::Number(number) | Value::Date(number) if number.is_nan() => {
            return Err(Error::argument("NaN cannot be an index key, because it equals nothing"));
        }
        Value::Number(number) => keys::push_number(key_tag::NUMBER, *number, out),
        Value::Date(millis) => keys::push_number(tag::DATE, *millis, out),
        Value::BigInt(number) => {
            crate::keys::encode_into(&keys::Key::BigInt(number.clone()), out)?;
        }
        Value::String(text) => push_bytes(key_tag::STRING, text.as_bytes(), out),
        Value::Bytes(bytes) => push_bytes(key_tag::BYTES, bytes, out),
        Value::Array(_) if depth == MAX_KEY_DEPTH => {
            return Err(Error::argument(format!("arrays in an index key nest at most {MAX_KEY_DEPTH} deep")));
        }
        Value::Array(elements) => {
            out.push(key_tag::ARRAY);
            elements.iter().try_for_each(|element| push_value_at(element, depth + 1, out))?;
            out.push(key_tag::END);
        }
        Value::Floats(_) | Value::Object(_) => {
            return Err(Error::argument("objects and lists of 32-bit numbers are no index keys"));
        }
    }
    Ok(())
}

/// The index key of a tuple of values.
///
/// # Errors
/// `ERR_INVALID_ARGUMENT` for values that are no keys (objects, 32-bit numbers, NaN, arrays nested too deep);
/// `ERR_TOO_LARGE` over [`MAX_INDEX_KEY_BYTES`].
pub fn encode_tuple(values: &[Value]) -> Result<Vec<u8>> {
    // Enough for most keys, so that they need not grow.
    let mut out = Vec::with_capacity(48);
    values.iter().try_for_each(|value| push_value(value, &mut out))?;
    check_size(out.len())?;
    Ok(out)
}

/// The values of an index key of `count` values; `None` for one that is missing or no key.
///
/// # Errors
/// `ERR_INVALID_KEY` for bytes that are not such a key.
pub fn decode_tuple(key: &[u8], count: usize) -> Result<Vec<Option<Value>>> {
    let mut reader = keys::reader::Reader::new(key)?;
    let values = (0..count).map(|_| read_value(&mut reader, 0)).collect::<Result<_>>()?;
    reader.finish()?;
    Ok(values)
}

/// Where the tuple of `count` values ends with which `key` begins, and whether one of them is missing or no key.
pub(super) fn split(key: &[u8], count: usize) -> Result<(usize, bool)> {
    let mut rest = Skipper { key, at: 0 };
    let mut partial = false;
    for _ in 0..count {
        partial |= rest.skip()?;
    }
    Ok((rest.at, partial))
}

/// Refuses a tuple over the limit.
pub(super) fn check_size(size: usize) -> Result<()> {
    if size <= MAX_INDEX_KEY_BYTES {
        return Ok(());
    }
    Err(Error::too_large("index key", size, MAX_INDEX_KEY_BYTES))
}

/// Passes over values of stored tuples.
struct Skipper<'a> {
    key: &'a [u8],
    at: usize,
}

impl Skipper<'_> {
    fn skip(&mut self) -> Result<bool> {
        let mut depth = 0usize;
        loop {
            let tag = self.byte()?;
            match tag {
                key_tag::END if depth > 0 => depth -= 1,
                tag::MISSING | tag::OTHER => return Ok(true),
                tag::NULL | tag::FALSE | tag::TRUE => {}
                key_tag::NUMBER | tag::DATE => self.at += 8,
                key_tag::BIGINT => {
                    let length = self.byte()?;
                    self.at += usize::from(if length < 0x80 { 0x7F - length } else { length - 0x80 });
                }
                key_tag::STRING | key_tag::BYTES => self.skip_bytes()?,
                key_tag::ARRAY => depth += 1,
                _ => return Err(damaged()),
            }
            if depth == 0 {
                return if self.at <= self.key.len() { Ok(false) } else { Err(damaged()) };
            }
        }
    }

    fn skip_bytes(&mut self) -> Result<()> {
        loop {
            let rest = self.key.get(self.at..).unwrap_or_default();
            let zero = rest.iter().position(|&byte| byte == key_tag::END).ok_or_else(damaged)?;
            self.at += zero + 1;
            if self.key.get(self.at) != Some(&key_tag::ESCAPE) {
                return Ok(());
            }
            self.at += 1;
        }
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.key.get(self.at).ok_or_else(damaged)?;
        self.at += 1;
        Ok(byte)
    }
}

fn damaged() -> Error {
    Error::new(crate::error::ErrorCode::Corrupt, "a damaged index entry")
}

fn read_value(reader: &mut keys::reader::Reader<'_>, depth: usize) -> Result<Option<Value>> {
    Ok(Some(match reader.tag()? {
        tag::MISSING | tag::OTHER => return Ok(None),
        tag::NULL => Value::Null,
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        key_tag::NUMBER => Value::Number(reader.number()?),
        tag::DATE => Value::Date(reader.number()?),
        key_tag::BIGINT => Value::BigInt(keys::read_bigint(&reader.bigint()?)),
        key_tag::STRING => Value::String(keys::read_string(reader)?),
        key_tag::BYTES => Value::Bytes(keys::read_bytes(reader)?),
        key_tag::ARRAY => {
            reader.check_depth(depth + 1)?;
            let mut elements = Vec::new();
            while !reader.array_ends()? {
                elements.extend(read_value(reader, depth + 1)?);
            }
            Value::Array(elements)
        }
        _ => return Err(reader.unknown_tag()),
    }))
}
