//! From a key to bytes whose order is the order of keys.

use super::{BIGINT_NEGATIVE, BIGINT_ZERO, BigInt, Key, tag};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::{MAX_BIGINT_BYTES, MAX_ENCODED_KEY_BYTES, MAX_KEY_DEPTH};

/// The encoding of `key`.
///
/// # Errors
/// `ERR_INVALID_KEY` for NaN, a bigint over [`MAX_BIGINT_BYTES`] or arrays nested deeper than [`MAX_KEY_DEPTH`];
/// `ERR_TOO_LARGE` for an encoding over [`MAX_ENCODED_KEY_BYTES`].
pub fn encode(key: &Key) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encode_into(key, &mut out)?;
    Ok(out)
}

/// Appends the encoding of `key` to `out`.
///
/// # Errors
/// As [`encode`]; `out` is then as it was before.
pub fn encode_into(key: &Key, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let mut writer = Writer { out, start };
    let written = writer.key(key, 0);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// The beginning that the encodings of all arrays beginning with `elements` share.
pub(super) fn open_array(elements: &[Key]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Writer { out: &mut out, start: 0 }.open_array(elements, 0)?;
    Ok(out)
}

/// The beginning that the encodings of all strings (or bytes) beginning with `bytes` share.
pub(super) fn open_bytes(tag: u8, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Writer { out: &mut out, start: 0 }.open_bytes(tag, bytes)?;
    Ok(out)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl Writer<'_> {
    /// Writes `key`, which lies inside `depth` arrays.
    fn key(&mut self, key: &Key, depth: usize) -> Result<()> {
        match key {
            Key::Number(number) => self.number(*number)?,
            Key::BigInt(number) => self.bigint(number)?,
            Key::String(text) => self.bytes(tag::STRING, text.as_bytes())?,
            Key::Bytes(bytes) => self.bytes(tag::BYTES, bytes)?,
            Key::Array(elements) => {
                self.open_array(elements, depth)?;
                self.out.push(tag::END);
            }
        }
        self.check_size(0)
    }

    fn number(&mut self, number: f64) -> Result<()> {
        if number.is_nan() {
            return Err(refused("NaN cannot be a key, because it equals nothing", "not a number"));
        }
        push_number(tag::NUMBER, number, self.out);
        Ok(())
    }

    fn bigint(&mut self, number: &BigInt) -> Result<()> {
        let bytes = number.magnitude();
        if bytes.len() > MAX_BIGINT_BYTES {
            let message = format!("bigint key of {} bytes, at most {MAX_BIGINT_BYTES}", bytes.len());
            return Err(refused(message, "bigint too long").with(|details| {
                details.size = Some(bytes.len() as u64);
                details.limit = Some(MAX_BIGINT_BYTES as u64);
            }));
        }
        push_bigint(number.is_negative(), bytes, self.out);
        Ok(())
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) -> Result<()> {
        self.open_bytes(tag, bytes)?;
        self.out.push(tag::END);
        Ok(())
    }

    fn open_bytes(&mut self, tag: u8, bytes: &[u8]) -> Result<()> {
        self.check_size(bytes.len())?;
        push_open_bytes(tag, bytes, self.out);
        self.check_size(0)
    }

    fn open_array(&mut self, elements: &[Key], depth: usize) -> Result<()> {
        if depth == MAX_KEY_DEPTH {
            let message = format!("arrays in a key nest at most {MAX_KEY_DEPTH} deep");
            return Err(refused(message, "nested too deep").with(|details| {
                details.size = Some(depth as u64 + 1);
                details.limit = Some(MAX_KEY_DEPTH as u64);
            }));
        }
        self.out.push(tag::ARRAY);
        elements.iter().try_for_each(|element| self.key(element, depth + 1))
    }

    /// Refuses a key over the limit, `more` being what is about to be written. Checked before and after every
    /// part, so that a huge key is refused without being built.
    fn check_size(&self, more: usize) -> Result<()> {
        let size = self.out.len() - self.start + more;
        if size <= MAX_ENCODED_KEY_BYTES {
            return Ok(());
        }
        Err(Error::too_large("key", size, MAX_ENCODED_KEY_BYTES))
    }
}

/// Appends a number that is not NaN.
pub(crate) fn push_number(tag: u8, number: f64, out: &mut Vec<u8>) {
    const SIGN: u64 = 1 << 63;
    // Adding 0 turns −0 into 0 and changes nothing else.
    let bits = (number + 0.0).to_bits();
    let stored = if bits & SIGN == 0 { bits ^ SIGN } else { !bits };
    out.push(tag);
    out.extend_from_slice(&stored.to_be_bytes());
}

/// Appends an integer of at most [`MAX_BIGINT_BYTES`], given without leading zero bytes.
pub(crate) fn push_bigint(negative: bool, magnitude: &[u8], out: &mut Vec<u8>) {
    let count = magnitude.len() as u8;
    out.push(tag::BIGINT);
    if negative {
        out.push(BIGINT_NEGATIVE - count);
        out.extend(magnitude.iter().map(|byte| !byte));
    } else {
        out.push(BIGINT_ZERO + count);
        out.extend_from_slice(magnitude);
    }
}

/// Appends the tag and the bytes of a string or of bytes, but not their end.
pub(crate) fn push_open_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        out.extend_from_slice(&rest[..=zero]);
        out.push(tag::ESCAPE);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
}

fn refused(message: impl Into<String>, what: &'static str) -> Error {
    Error::new(ErrorCode::InvalidKey, message).with(|details| details.what = Some(what))
}
