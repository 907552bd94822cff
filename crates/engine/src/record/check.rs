//! Whether bytes that are to be stored are a record: everything that readers later rely on.

use std::collections::HashSet;
use std::sync::Arc;

use super::reader::malformed;
use super::{Node, Reader, Shape};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{MAX_BIGINT_BYTES, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH};

/// The farthest moment from 1970 that a date may be, in milliseconds: the range of JavaScript's `Date`.
pub const MAX_DATE_MILLIS: f64 = 8.64e15;

/// Checks a record, codec byte first: that both streams are used up exactly, that the root is an object, that every
/// shape is known, that numbers are finite and not −0, and that nothing nests deeper than [`MAX_DOCUMENT_DEPTH`].
///
/// # Errors
/// `ERR_TOO_LARGE`, `ERR_NEWER_FORMAT`, `ERR_INVALID_ARGUMENT` for everything that is malformed.
pub fn check(record: &[u8], shapes: &[Arc<Shape>]) -> Result<()> {
    if record.len() > MAX_DOCUMENT_BYTES + 1 {
        return Err(Error::too_large("document", record.len() - 1, MAX_DOCUMENT_BYTES));
    }
    walk(record, shapes).map_err(|error| match error.code {
        // It is the caller's mistake, nothing on disk is damaged.
        ErrorCode::Corrupt => Error::argument(error.message),
        _ => error,
    })
}

fn walk(record: &[u8], shapes: &[Arc<Shape>]) -> Result<()> {
    let mut reader = Reader::new(record, shapes)?;
    if reader.is_wide() == reader.is_ascii() {
        return Err(malformed("the flag for wide text is wrong"));
    }
    let root = reader.next()?;
    if !matches!(root, Node::Object(_) | Node::Named(_)) {
        return Err(malformed("the document is not an object"));
    }
    members(&mut reader, root, 1)?;
    if reader.is_at_end() { Ok(()) } else { Err(malformed("bytes after the document")) }
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<()> {
    let units = reader.peek_units();
    let node = reader.next()?;
    match node {
        Node::Array(_) | Node::Object(_) | Node::Named(_) if depth == MAX_DOCUMENT_DEPTH => {
            Err(malformed("nested too deep"))
        }
        Node::Array(_) | Node::Object(_) | Node::Named(_) => members(reader, node, depth + 1),
        Node::Number(number) if !number.is_finite() || is_negative_zero(number) => {
            Err(malformed("a number that is not finite, or −0"))
        }
        Node::Date(millis) if !is_date(millis) => Err(malformed("a date out of range")),
        Node::BigInt(negative, magnitude) if !is_bigint(negative, magnitude) => {
            Err(malformed("a bigint that is too long or not in its shortest form"))
        }
        Node::String(text) if reader.is_wide() && units != Some(text.encode_utf16().count()) => {
            Err(malformed("the length of a string is wrong"))
        }
        _ => Ok(()),
    }
}

fn members(reader: &mut Reader<'_>, container: Node<'_>, depth: usize) -> Result<()> {
    let Node::Named(count) = container else {
        return (0..container.children()).try_for_each(|_| value(reader, depth));
    };
    let mut names = HashSet::new();
    for _ in 0..count {
        let Node::String(name) = reader.clone().next()? else { return Err(malformed("a name is not text")) };
        value(reader, depth)?;
        if !names.insert(name) {
            return Err(malformed("a name comes twice in an object"));
        }
        value(reader, depth)?;
    }
    Ok(())
}

fn is_negative_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

fn is_date(millis: f64) -> bool {
    millis.abs() <= MAX_DATE_MILLIS && millis.fract() == 0.0 && !is_negative_zero(millis)
}

fn is_bigint(negative: bool, magnitude: &[u8]) -> bool {
    magnitude.len() <= MAX_BIGINT_BYTES
        && magnitude.first() != Some(&0)
        && !(negative && magnitude.is_empty())
}
