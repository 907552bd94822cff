//! Sort keys: bytes whose order is the order that a query asks for.
//!
//! A value is encoded as in an index (`docs/format.md` §6.5), so an index can stand in for sorting. Where a term is
//! descending its bytes are inverted. The key of the record follows, in the direction of the last term, so no two records
//! are equal.

use super::about::About;
use super::filter::Place;
use super::request::Order;
use crate::error::Result;
use crate::index::encode::tag;
use crate::keys::{self, BigInt, Key, tag as key_tag};
use crate::limits::MAX_KEY_DEPTH;
use crate::record::{Node, Reader, Value};

/// The sort key of a record, without its key.
pub(super) fn sort_key(order: &[Order], about: &About<'_>, record: &Reader<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(16 * order.len());
    for term in order {
        let start = out.len();
        match &term.place {
            Place::Path(path) => match path.first(record)? {
                Some(mut found) => push_value(&mut found, &mut out)?,
                None => out.push(tag::MISSING),
            },
            Place::This | Place::Id => out.extend_from_slice(about.key()),
            beside => match about.value(beside)? {
                Some(Value::Number(number)) => keys::encode_into(&Key::Number(number), &mut out)?,
                _ => out.push(tag::MISSING),
            },
        }
        if term.descending {
            invert(&mut out[start..]);
        }
    }
    Ok(out)
}

/// The sort key with the key of the record.
pub(super) fn full_key(order: &[Order], sort_key: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sort_key.len() + key.len());
    out.extend_from_slice(sort_key);
    out.extend_from_slice(key);
    if order.last().is_some_and(|term| term.descending) {
        invert(&mut out[sort_key.len()..]);
    }
    out
}

/// Turns bytes into bytes of the opposite order.
pub(super) fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

/// Appends a value. What an index cannot tell apart, objects and 32-bit numbers, is all the same here, too.
fn push_value(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    if !push_at(reader, 0, out)? {
        out.truncate(start);
        out.push(tag::OTHER);
    }
    Ok(())
}

fn push_at(reader: &mut Reader<'_>, depth: usize, out: &mut Vec<u8>) -> Result<bool> {
    match reader.next()? {
        Node::Null => out.push(tag::NULL),
        Node::Bool(value) => out.push(if value { tag::TRUE } else { tag::FALSE }),
        Node::Number(number) => keys::encode_into(&Key::Number(number), out)?,
        Node::BigInt(negative, magnitude) => {
            keys::encode_into(&Key::BigInt(BigInt::new(negative, magnitude)), out)?;
        }
        Node::Date(millis) => {
            let start = out.len();
            keys::encode_into(&Key::Number(millis), out)?;
            out[start] = tag::DATE;
        }
        Node::String(text) => push_bytes(key_tag::STRING, text.as_bytes(), out),
        Node::Bytes(bytes) => push_bytes(key_tag::BYTES, bytes, out),
        Node::Array(_) if depth == MAX_KEY_DEPTH => return Ok(false),
        Node::Array(count) => {
            out.push(key_tag::ARRAY);
            for _ in 0..count {
                if !push_at(reader, depth + 1, out)? {
                    return Ok(false);
                }
            }
            out.push(key_tag::END);
        }
        Node::Floats(_) | Node::Object(_) | Node::Named(_) => return Ok(false),
    }
    Ok(true)
}

fn push_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    for (index, piece) in bytes.split(|&byte| byte == 0).enumerate() {
        if index > 0 {
            out.extend_from_slice(&[0, key_tag::ESCAPE]);
        }
        out.extend_from_slice(piece);
    }
    out.push(key_tag::END);
}
