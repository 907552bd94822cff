//! Point reads: from memory at once, from the disk here or on a read thread.
//!
//! The block carries the encoded key in, at its start, and the document out, codec byte first.

use fountain_engine::{ErrorCode, ReadTier};
use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::arguments::{collection, slice, tier};
use crate::errors::{answer, thrown};
use crate::mailbox::Outcome;
use crate::thread::{ticket_for, view, with_store};

/// There is no such document.
pub const NOT_FOUND: i32 = -1;
/// The block is too small; its first four bytes say how many bytes are needed.
pub const TOO_SMALL: i32 = -2;
/// The answer is not in memory.
pub const WOULD_BLOCK: i32 = -3;

/// Reads the document whose encoded key is the first `key` bytes of `io` into the start of `io`. Returns its length,
/// [`NOT_FOUND`], [`TOO_SMALL`] or, if `memory_only`, [`WOULD_BLOCK`]. What `at` means, [`view`] says.
#[napi(catch_unwind)]
pub fn get_sync(
    store: u32,
    collection_id: u32,
    mut io: BufferSlice<'_>,
    key: u32,
    at: f64,
    memory_only: bool,
) -> answer::Result<i32> {
    let found = view(at).and_then(|view| {
        with_store(store, |engine| {
            let encoded = slice(&io, 0, key)?;
            engine.get(collection(collection_id)?, encoded, view, tier(memory_only))
        })
    });
    match found {
        Ok(Some(document)) => Ok(fill(&mut io, &[&document])),
        Ok(None) => Ok(NOT_FOUND),
        Err(error) if memory_only && error.code == ErrorCode::WouldBlock => Ok(WOULD_BLOCK),
        Err(error) => Err(thrown(&error)),
    }
}

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
        // If the store is closing, the job is dropped and with it the ticket, which answers that.
        let _ = engine.spawn_read(Box::new(move |engine| {
            let found = engine.get(id, &encoded, view, ReadTier::Disk);
            ticket.answer(found.map(|document| match document {
                Some(document) => Outcome::bytes(1.0, document.to_vec()),
                None => Outcome::default(),
            }));
        }));
        Ok(())
    };
    start().map_err(|error| thrown(&error))
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
    fn a_block_that_is_too_small_says_what_is_needed() {
        let mut io = [0; 6];
        assert_eq!(fill(&mut io, &[&[1; 4], &[2; 300]]), TOO_SMALL);
        assert_eq!(io, [0x30, 1, 0, 0, 0, 0]);
    }
}
