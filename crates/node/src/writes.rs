//! Writes: the transactions of one tick, copied out of JavaScript's buffer at the time of the call.
//!
//! The buffer holds transactions one after another, all numbers little-endian: `u32 operations ‖ u32 bytes`, then per
//! operation `u8 kind ‖ 3 zero bytes ‖ u32 collection ‖ u32 key length ‖ u32 value length ‖ key ‖ value`, where a
//! value is a codec byte and the document, and a delete has none.

use fountain_engine::{Result, WriteSet};
use napi::Env;
use napi_derive::napi;

use crate::arguments::{collection, durability, number, slice};
use crate::errors::{answer, bad_argument, thrown};
use crate::mailbox::Outcome;
use crate::thread::ticket_for;

const KIND_PUT: u32 = 1;
const KIND_DELETE: u32 = 2;

/// Commits the transactions in the first `length` bytes of `bytes`, each atomically and under its own sequence, in
/// their order. Answers with the first sequence; the others follow it. If any of them is refused, none happens.
#[napi(catch_unwind)]
pub fn submit(
    env: Env,
    ticket: u32,
    store: u32,
    bytes: &[u8],
    length: u32,
    level: u32,
) -> answer::Result<()> {
    let start = || {
        let commits = parse(slice(bytes, 0, length)?)?;
        let durability = durability(level)?;
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        let done = move |result: Result<fountain_engine::SeqRange>| {
            ticket.answer(result.map(|range| Outcome::number(number(range.first))));
        };
        engine.submit(commits, durability, Box::new(done));
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

fn parse(mut bytes: &[u8]) -> Result<Vec<WriteSet>> {
    let mut commits = Vec::new();
    while !bytes.is_empty() {
        commits.push(parse_transaction(&mut bytes)?);
    }
    Ok(commits)
}

fn parse_transaction(bytes: &mut &[u8]) -> Result<WriteSet> {
    let operations = take_u32(bytes)?;
    let length = take_u32(bytes)?;
    let mut body = take(bytes, length)?;
    let mut writes = WriteSet::new();
    for _ in 0..operations {
        parse_operation(&mut body, &mut writes)?;
    }
    if body.is_empty() { Ok(writes) } else { Err(malformed()) }
}

fn parse_operation(bytes: &mut &[u8], writes: &mut WriteSet) -> Result<()> {
    let kind = take_u32(bytes)?;
    let id = collection(take_u32(bytes)?)?;
    let key_length = take_u32(bytes)?;
    let value_length = take_u32(bytes)?;
    let key = take(bytes, key_length)?;
    let value = take(bytes, value_length)?;
    match kind {
        KIND_PUT => writes.put(id, key, value),
        KIND_DELETE if value.is_empty() => writes.delete(id, key),
        _ => Err(malformed()),
    }
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(malformed)?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number))
}

fn take<'a>(bytes: &mut &'a [u8], length: u32) -> Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length as usize).ok_or_else(malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn malformed() -> fountain_engine::Error {
    bad_argument("the write buffer is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fountain_engine::ErrorCode;

    /// The encoded string key "a".
    const KEY: &[u8] = b"\x30a\0";

    fn operation(kind: u32, collection: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [kind, collection, key.len() as u32, value.len() as u32] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        [&bytes, key, value].concat()
    }

    fn transaction(operations: &[Vec<u8>]) -> Vec<u8> {
        let body = operations.concat();
        [&(operations.len() as u32).to_le_bytes()[..], &(body.len() as u32).to_le_bytes(), &body].concat()
    }

    #[test]
    fn transactions_keep_their_order_and_their_operations() {
        let first =
            transaction(&[operation(KIND_PUT, 16, KEY, b"\x01{}"), operation(KIND_DELETE, 17, KEY, b"")]);
        let second = transaction(&[operation(KIND_DELETE, 16, KEY, b"")]);
        let commits = parse(&[first, second].concat()).unwrap();
        assert_eq!(commits.iter().map(WriteSet::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_buffer_cut_anywhere_is_refused() {
        let whole = transaction(&[operation(KIND_PUT, 16, KEY, b"\x01{}")]);
        for cut in 1..whole.len() {
            assert_eq!(parse(&whole[..cut]).unwrap_err().code, ErrorCode::InvalidArgument, "cut at {cut}");
        }
    }

    #[test]
    fn what_the_facade_would_never_send_is_refused() {
        let code = |operations: &[Vec<u8>]| parse(&transaction(operations)).unwrap_err().code;
        assert_eq!(code(&[operation(3, 16, KEY, b"")]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[operation(KIND_DELETE, 16, KEY, b"\x01")]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[operation(KIND_PUT, 15, KEY, b"\x01{}")]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[operation(KIND_PUT, 16, b"\x30a", b"\x01{}")]), ErrorCode::InvalidKey);
        assert_eq!(code(&[operation(KIND_PUT, 16, KEY, b"\x07{}")]), ErrorCode::InvalidArgument);
        let mut long = transaction(&[]);
        long[4] = 1;
        long.push(0);
        assert_eq!(parse(&long).unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
