//! Point reads: from memory at once, from the disk here or on a read thread.
//!
//! The block carries the encoded key in, at its start, and the document out, codec byte first.

use fountain_engine::{CollectionId, ErrorCode, ReadTier, Result, Store, View, record};
use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::arguments::{collection, slice, tier};
use crate::errors::{answer, bad_argument, thrown};
use crate::mailbox::Outcome;
use crate::thread::{ticket_for, view, with_store};

/// There is no such document.
pub const NOT_FOUND: i32 = -1;
/// The block is too small; its first four bytes say how many bytes are needed.
pub const TOO_SMALL: i32 = -2;
/// The answer would have to wait for the disk.
pub const WOULD_BLOCK: i32 = -3;
/// The document was left out of an answer that had become large.
pub const NOT_READ: i32 = -4;

/// Reads the document whose encoded key is the first `key` bytes of `io` into the start of `io`. Returns its length,
/// [`NOT_FOUND`], [`TOO_SMALL`] or, if `at_once`, [`WOULD_BLOCK`]. What `at` means, [`view`] says.
#[napi(catch_unwind)]
pub fn get_sync(
    store: u32,
    collection_id: u32,
    mut io: BufferSlice<'_>,
    key: u32,
    at: f64,
    at_once: bool,
) -> answer::Result<i32> {
    let found = view(at).and_then(|view| {
        with_store(store, |engine| {
            let encoded = slice(&io, 0, key)?;
            engine.get(collection(collection_id)?, encoded, view, tier(engine, at_once))
        })
    });
    match found {
        Ok(Some(document)) => Ok(fill(&mut io, &[&document])),
        Ok(None) => Ok(NOT_FOUND),
        Err(error) if at_once && error.code == ErrorCode::WouldBlock => Ok(WOULD_BLOCK),
        Err(error) => Err(thrown(&error)),
    }
}

/// What a read through the lent block found.
pub enum Lent {
    /// [`NOT_FOUND`], [`TOO_SMALL`] or [`WOULD_BLOCK`], or the length of the record that lies at the start of the block.
    Number(i32),
    /// The record lies at the start of the block, and its text, in ASCII, between these two places.
    Text(usize, usize),
}

/// As `get_sync`, through the block that was lent to the environment; of records that are read most it says where the text lies,
/// so that it can be handed over together with the answer.
pub fn get_lent(engine: &Store, block: &mut [u8], read: LentRead) -> Result<Lent> {
    let mut short = [0; SHORT_KEY_BYTES];
    let encoded = slice(block, 0, read.key)?;
    let long;
    // The record takes its place.
    let key: &[u8] = if let Some(short) = short.get_mut(..encoded.len()) {
        short.copy_from_slice(encoded);
        short
    } else {
        long = encoded.to_vec();
        &long
    };
    let tier = tier(engine, read.at_once);
    let copy = |record: &[u8]| match (fill(block, &[record]), record::ascii_text(record)) {
        (0.., Some(start)) if record.len() - start <= MAX_TEXT_BYTES => Lent::Text(start, record.len()),
        (length, _) => Lent::Number(length),
    };
    let found = engine.get_with(collection(read.collection)?, key, read.view, tier, copy);
    match found {
        Ok(found) => Ok(found.unwrap_or(Lent::Number(NOT_FOUND))),
        Err(error) if read.at_once && error.code == ErrorCode::WouldBlock => Ok(Lent::Number(WOULD_BLOCK)),
        Err(error) => Err(error),
    }
}

/// The arguments of [`get_lent`], as those of [`get_sync`].
pub struct LentRead {
    /// Of the collection.
    pub collection: u32,
    /// Bytes of the key.
    pub key: u32,
    /// What to read.
    pub view: View,
    /// Whether it must not wait for the disk.
    pub at_once: bool,
}

/// Keys up to this length are copied to the stack.
const SHORT_KEY_BYTES: usize = 64;
/// Strings of longer texts are made one by one, as a part of a text keeps the whole text in memory. The facade's reader has the
/// same limit.
const MAX_TEXT_BYTES: usize = 2048;

/// As `get_sync`, on a read thread. Answers with 1 and the length of the document to collect, or with 0.
#[napi(catch_unwind)]
pub fn get(
    env: Env,
    ticket: u32,
    store: u32,
    collection_id: u32,
    io: &[u8],
    key: u32,
    at: f64,
) -> answer::Result<()> {
    let start = || {
        let encoded = slice(io, 0, key)?.to_vec();
        let (id, view) = (collection(collection_id)?, view(at)?);
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        ticket.answer_later(&engine, move |engine| {
            Ok(match engine.get(id, &encoded, view, ReadTier::Disk)? {
                Some(document) => Outcome::bytes(1.0, document.to_vec()),
                None => Outcome::default(),
            })
        });
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

/// Reads documents, whose encoded keys lie at the start of `io`, `u32 length ‖ key` each and `keys` bytes together. The
/// start of `io` then has for each `i32 length ‖ document`, with the length [`NOT_FOUND`] for none and [`NOT_READ`] for those
/// that were left out because the answer had become large; never the first. Returns the length of all, or what [`get_sync`]
/// returns.
#[napi(catch_unwind)]
pub fn get_many_sync(
    store: u32,
    collection_id: u32,
    mut io: BufferSlice<'_>,
    keys: u32,
    at: f64,
    at_once: bool,
) -> answer::Result<i32> {
    let found = view(at).and_then(|view| {
        with_store(store, |engine| {
            let keys = packed(slice(&io, 0, keys)?)?;
            read_many(engine, collection(collection_id)?, &keys, &view, tier(engine, at_once))
        })
    });
    match found {
        Ok(documents) => Ok(fill(&mut io, &[&documents])),
        Err(error) if at_once && error.code == ErrorCode::WouldBlock => Ok(WOULD_BLOCK),
        Err(error) => Err(thrown(&error)),
    }
}

/// As `get_many_sync`, on a read thread. Answers with the length of what is to be collected.
#[napi(catch_unwind)]
pub fn get_many(
    env: Env,
    ticket: u32,
    store: u32,
    collection_id: u32,
    io: &[u8],
    keys: u32,
    at: f64,
) -> answer::Result<()> {
    let start = || {
        let encoded = slice(io, 0, keys)?.to_vec();
        let (id, view) = (collection(collection_id)?, view(at)?);
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        ticket.answer_later(&engine, move |engine| {
            let documents = read_many(engine, id, &packed(&encoded)?, &view, ReadTier::Disk)?;
            Ok(Outcome::bytes(0.0, documents))
        });
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

/// Bytes of documents after which the rest is left for another call.
const ENOUGH_BYTES: usize = 16 << 20;

/// The documents under several keys, laid out as [`get_many_sync`] says.
fn read_many(
    engine: &Store,
    collection: CollectionId,
    keys: &[&[u8]],
    view: &View,
    tier: ReadTier,
) -> Result<Vec<u8>> {
    let documents = engine.get_many_within(collection, keys, view.clone(), tier, ENOUGH_BYTES)?;
    let mut out = Vec::new();
    for document in &documents {
        let length = document.as_ref().map_or(NOT_FOUND, |bytes| (bytes.len() as u32).cast_signed());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(document.as_deref().unwrap_or_default());
    }
    out.extend(keys.iter().skip(documents.len()).flat_map(|_| NOT_READ.to_le_bytes()));
    Ok(out)
}

/// Keys that lie one after another, `u32 length ‖ key` each.
fn packed(mut bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let key = rest.split_at_checked(u32::from_le_bytes(*length) as usize);
        let (key, rest) = key.ok_or_else(|| bad_argument("a key is cut short"))?;
        keys.push(key);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(keys) } else { Err(bad_argument("the length of a key is cut short")) }
}

/// A record as JSON text.
#[napi(catch_unwind)]
pub fn record_to_json(store: u32, record: &[u8]) -> answer::Result<String> {
    with_store(store, |engine| engine.to_json(record)).map_err(|error| thrown(&error))
}

/// Turns a document in JSON text, with its key in the member `key_name`, into a record at the start of `io`:
/// `u32 key length ‖ key ‖ record`. Returns the length of all, or [`TOO_SMALL`].
#[napi(catch_unwind)]
pub fn json_to_record(
    store: u32,
    json: String,
    key_name: String,
    mut io: BufferSlice<'_>,
) -> answer::Result<i32> {
    let (key, record) =
        with_store(store, |engine| engine.encode_json(&json, &key_name)).map_err(|error| thrown(&error))?;
    Ok(fill(&mut io, &[&(key.len() as u32).to_le_bytes(), &key, &record]))
}

/// Copies `parts`, one after another, to the start of `io` and returns their length, or says how much room they need.
pub fn fill(io: &mut [u8], parts: &[&[u8]]) -> i32 {
    let needed: usize = parts.iter().map(|part| part.len()).sum();
    let Ok(length) = i32::try_from(needed) else { return TOO_SMALL };
    if needed > io.len() {
        if let Some(start) = io.first_chunk_mut() {
            *start = length.cast_unsigned().to_le_bytes();
        }
        return TOO_SMALL;
    }
    let mut at = 0;
    for part in parts {
        io[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_laid_one_after_another() {
        let mut io = [9; 6];
        assert_eq!(fill(&mut io, &[b"ab", b"", b"cde"]), 5);
        assert_eq!(&io, b"abcde\x09");
    }

    #[test]
    fn packed_keys_are_taken_apart_or_refused() {
        assert_eq!(packed(b"").unwrap(), Vec::<&[u8]>::new());
        assert_eq!(packed(b"\x01\0\0\0a\0\0\0\0\x02\0\0\0bc").unwrap(), [&b"a"[..], b"", b"bc"]);
        for cut in [&b"\x01\0\0\0"[..], b"\xff\xff\xff\xffa", b"\x01\0"] {
            assert_eq!(packed(cut).unwrap_err().code, ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn a_block_that_is_too_small_says_what_is_needed() {
        let mut io = [0; 6];
        assert_eq!(fill(&mut io, &[&[1; 4], &[2; 300]]), TOO_SMALL);
        assert_eq!(io, [0x30, 1, 0, 0, 0, 0]);
    }
}
