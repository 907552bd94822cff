//! From encoded bytes back to a key.

use super::reader::{RawBigInt, Reader};
use super::{BigInt, Key, tag};
use crate::error::Result;

/// The key that `bytes` encode.
///
/// # Errors
/// The same as [`super::validate`]: what it accepts can be decoded, and nothing else.
pub fn decode(bytes: &[u8]) -> Result<Key> {
    let mut reader = Reader::new(bytes)?;
    let key = read_key(&mut reader, 0)?;
    reader.finish()?;
    Ok(key)
}

/// One key inside `depth` arrays. The reader refuses a depth over the limit, which bounds the recursion.
fn read_key(reader: &mut Reader<'_>, depth: usize) -> Result<Key> {
    match reader.tag()? {
        tag::NUMBER => reader.number().map(Key::Number),
        tag::BIGINT => reader.bigint().map(|raw| Key::BigInt(read_bigint(&raw))),
        tag::STRING => read_string(reader).map(Key::String),
        tag::BYTES => read_bytes(reader).map(Key::Bytes),
        tag::ARRAY => {
            reader.check_depth(depth + 1)?;
            let mut elements = Vec::new();
            while !reader.array_ends()? {
                elements.push(read_key(reader, depth + 1)?);
            }
            Ok(Key::Array(elements))
        }
        _ => Err(reader.unknown_tag()),
    }
}

pub(crate) fn read_bigint(raw: &RawBigInt<'_>) -> BigInt {
    let mask = if raw.negative { 0xFF } else { 0x00 };
    let magnitude: Vec<u8> = raw.bytes.iter().map(|byte| byte ^ mask).collect();
    BigInt::new(raw.negative, &magnitude)
}

pub(crate) fn read_string(reader: &mut Reader<'_>) -> Result<String> {
    let mut text = String::new();
    loop {
        let (piece, more) = reader.text_piece()?;
        text.push_str(piece);
        if !more {
            return Ok(text);
        }
        text.push('\0');
    }
}

pub(crate) fn read_bytes(reader: &mut Reader<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let (piece, more) = reader.piece()?;
        bytes.extend_from_slice(piece);
        if !more {
            return Ok(bytes);
        }
        bytes.push(0);
    }
}
