//! Ranges of encoded keys that begin alike.

use fountain_lsm::KeyRange;

use super::encode::{open_array, open_bytes};
use super::{Key, tag};
use crate::error::Result;

/// All string keys that begin with `prefix`.
///
/// # Errors
/// `ERR_TOO_LARGE` when no key can begin so.
pub fn string_prefix(prefix: &str) -> Result<KeyRange> {
    Ok(KeyRange::prefix(&open_bytes(tag::STRING, prefix.as_bytes())?))
}

/// All bytes keys that begin with `prefix`.
///
/// # Errors
/// `ERR_TOO_LARGE` when no key can begin so.
pub fn bytes_prefix(prefix: &[u8]) -> Result<KeyRange> {
    Ok(KeyRange::prefix(&open_bytes(tag::BYTES, prefix)?))
}

/// All array keys whose first elements are `elements`, the array of just these included.
///
/// # Errors
/// As [`super::encode`] for the array.
pub fn array_prefix(elements: &[Key]) -> Result<KeyRange> {
    let start = open_array(elements)?;
    // The encoding of a last element "a" also begins that of "a\0", which goes on with this byte and no other does.
    let end = [&start[..], &[tag::ESCAPE]].concat();
    Ok(KeyRange { start, end: Some(end) })
}

/// The first bound after `key`: everything greater than `key` lies at or after it.
pub fn after(key: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(key.len() + 1);
    bound.extend_from_slice(key);
    bound.push(0);
    bound
}
