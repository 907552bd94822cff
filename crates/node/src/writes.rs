//! Writes: transactions of one tick, copied out of JavaScript's buffer at the time of the call.
//!
//! The buffer holds transactions one after another, all numbers little-endian: `u32 operations ‖ u32 bytes`, then per
//! operation `u8 kind ‖ u8 condition ‖ u8 expires ‖ a zero byte ‖ u32 collection ‖ u32 key length ‖ u32 value length ‖ key ‖ value`,
//! where a value is a record, and a delete has none. Where the condition is that the record has a
//! certain sequence, that `u64` comes before the key, and behind it, if the record expires, when, as a `u64` of milliseconds
//! since 1970. In a transaction it may expire as the record that it replaces does, which needs no moment. An operation of kind 3 has neither collection, key nor condition: its
//! value is the `u64` that the store's sequence must have reached. One of kind 4 changes what collections and indexes there are; it
//! has neither key nor condition, and its value is JSON text: `{ op, options?, index?, definition? }`, of which `op` is
//! `createCollection`, `dropCollection`, `createIndex` or `dropIndex`.

use std::borrow::Cow;

use fountain_engine::{
    CollectionId, CollectionOptions, Committed, Condition, IndexDefinition, Result, Seq, Timestamp,
    Transaction, WriteSet, expiring,
};
use napi::Env;
use napi_derive::napi;
use serde_json::Value as Json;

use crate::arguments::{collection, durability, number, slice};
use crate::errors::{answer, bad_argument, thrown};
use crate::mailbox::Outcome;
use crate::thread::ticket_for;

const KIND_PUT: u32 = 1;
const KIND_DELETE: u32 = 2;
const KIND_REQUIRE: u32 = 3;
const KIND_DEFINE: u32 = 4;
const CONDITION_ABSENT: u32 = 1;
const CONDITION_SEQUENCE: u32 = 2;
const EXPIRES: u32 = 1;
const KEEPS_EXPIRY: u32 = 2;

/// Commits the transactions in the first `length` bytes of `bytes`, each atomically and under its own sequence, in
/// their order. Answers with the first sequence; the others follow it. Those that were refused, each for itself, take no
/// sequence: they are collected as a JSON array of their places and errors, `[[1, "{…}"]]`; nothing if there are none.
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
        let done =
            move |result: Result<Committed>| ticket.answer(result.map(|committed| outcome(&committed)));
        engine.submit(commits, durability, Box::new(done));
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

fn outcome(committed: &Committed) -> Outcome {
    let first = number(committed.first);
    if committed.refused.is_empty() {
        return Outcome::number(first);
    }
    let refused = committed.refused.iter().map(|refused| (refused.place, refused.error.to_json()));
    Outcome::bytes(first, serde_json::json!(refused.collect::<Vec<_>>()).to_string().into_bytes())
}

/// Checks a definition for [`submit`], as JSON text: what is wrong with it must not be found among the transactions of others.
#[napi(catch_unwind)]
pub fn check_definition(id: u32, change: &[u8]) -> answer::Result<()> {
    let check = || {
        let change = serde_json::from_slice(change).map_err(|_| malformed())?;
        define(&mut WriteSet::new(), collection(id)?, &change)
    };
    check().map_err(|error| thrown(&error))
}

/// Applies the operations in the first `length` bytes of `bytes`, which are not preceded by a header, to a transaction.
pub fn apply(transaction: &Transaction, bytes: &[u8], length: u32) -> Result<()> {
    let mut bytes = slice(bytes, 0, length)?;
    while !bytes.is_empty() {
        parse_operation(&mut bytes)?.write_in(transaction)?;
    }
    Ok(())
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
        parse_operation(&mut body)?.add_to(&mut writes)?;
    }
    if body.is_empty() { Ok(writes) } else { Err(malformed()) }
}

/// What an operation does.
enum Action<'a> {
    Put(Cow<'a, [u8]>),
    /// A put of what expires as the record does that is there.
    Update(&'a [u8]),
    Delete,
    Require(Seq),
    /// What collections and indexes there are.
    Define(Json),
}

/// An operation, not yet checked by the engine.
struct Operation<'a> {
    action: Action<'a>,
    collection: u32,
    key: &'a [u8],
    condition: Option<Condition>,
}

fn parse_operation<'a>(bytes: &mut &'a [u8]) -> Result<Operation<'a>> {
    let what = take_u32(bytes)?;
    let (kind, condition, expires) = (what & 0xFF, what >> 8 & 0xFF, what >> 16);
    let collection = take_u32(bytes)?;
    let key_length = take_u32(bytes)?;
    let value_length = take_u32(bytes)?;
    let condition = match condition {
        0 => None,
        CONDITION_ABSENT => Some(Condition::Absent),
        CONDITION_SEQUENCE => Some(Condition::Sequence(take_sequence(bytes)?)),
        _ => return Err(malformed()),
    };
    let expires_at = match expires {
        0 | KEEPS_EXPIRY => None,
        EXPIRES => Some(Timestamp::from_millis(take_u64(bytes)?)),
        _ => return Err(malformed()),
    };
    let key = take(bytes, key_length)?;
    let mut value = take(bytes, value_length)?;
    let action = match kind {
        KIND_PUT if expires == KEEPS_EXPIRY => Action::Update(value),
        KIND_PUT => Action::Put(expires_at.map_or(value.into(), |at| expiring(value, at).into())),
        _ if expires != 0 => return Err(malformed()),
        KIND_DELETE if value.is_empty() => Action::Delete,
        KIND_REQUIRE if condition.is_none() => Action::Require(take_sequence(&mut value)?),
        KIND_DEFINE if condition.is_none() && key.is_empty() => {
            Action::Define(serde_json::from_slice(value).map_err(|_| malformed())?)
        }
        _ => return Err(malformed()),
    };
    Ok(Operation { action, collection, key, condition })
}

impl Operation<'_> {
    fn add_to(&self, writes: &mut WriteSet) -> Result<()> {
        match (&self.action, self.condition) {
            (Action::Put(value), None) => writes.put(self.id()?, self.key, value),
            (Action::Put(value), Some(condition)) => writes.put_if(self.id()?, self.key, value, condition),
            // What is there is known to a transaction only.
            (Action::Update(_), _) => Err(malformed()),
            (Action::Delete, None) => writes.delete(self.id()?, self.key),
            (Action::Delete, Some(condition)) => writes.delete_if(self.id()?, self.key, condition),
            (Action::Require(least), _) => {
                writes.require_sequence(*least);
                Ok(())
            }
            (Action::Define(change), _) => define(writes, self.id()?, change),
        }
    }

    fn write_in(&self, transaction: &Transaction) -> Result<()> {
        match (&self.action, self.condition) {
            (Action::Put(value), None) => transaction.put(self.id()?, self.key, value),
            (Action::Put(value), Some(condition)) => {
                transaction.put_if(self.id()?, self.key, value, condition)
            }
            (Action::Update(value), None) => transaction.put_keeping_expiry(self.id()?, self.key, value),
            (Action::Delete, None) => transaction.delete(self.id()?, self.key),
            (Action::Delete, Some(condition)) => transaction.delete_if(self.id()?, self.key, condition),
            (Action::Require(_) | Action::Update(_) | Action::Define(_), _) => Err(malformed()),
        }
    }

    fn id(&self) -> Result<CollectionId> {
        collection(self.collection)
    }
}

/// Adds a change of what collections and indexes there are. A collection that is created without options may be there already,
/// whatever its options.
fn define(writes: &mut WriteSet, collection: CollectionId, change: &Json) -> Result<()> {
    let text = |name: &str| change.get(name).and_then(Json::as_str).ok_or_else(malformed);
    match text("op")? {
        "createCollection" => match change.get("options") {
            Some(options) => {
                let mut wanted = CollectionOptions::default();
                wanted.update(options)?;
                writes.create_collection(collection, wanted);
            }
            None => writes.alter_collection(collection, Vec::new()),
        },
        "dropCollection" => writes.drop_collection(collection),
        "createIndex" => {
            let definition = change.get("definition").ok_or_else(malformed)?;
            writes.create_index(collection, IndexDefinition::from_json(text("index")?, definition)?);
        }
        "dropIndex" => writes.drop_index(collection, text("index")?),
        _ => return Err(malformed()),
    }
    Ok(())
}

fn take_sequence(bytes: &mut &[u8]) -> Result<Seq> {
    Seq::new(take_u64(bytes)?).ok_or_else(malformed)
}

fn take_u64(bytes: &mut &[u8]) -> Result<u64> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(malformed)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*number))
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
            transaction(&[operation(KIND_PUT, 16, KEY, b"\x02"), operation(KIND_DELETE, 17, KEY, b"")]);
        let second = transaction(&[operation(KIND_DELETE, 16, KEY, b"")]);
        let commits = parse(&[first, second].concat()).unwrap();
        assert_eq!(commits.iter().map(WriteSet::len).collect::<Vec<_>>(), [2, 1]);
    }

    fn with_sequence(kind: u32, sequence: u64) -> Vec<u8> {
        let mut bytes = operation(kind | CONDITION_SEQUENCE << 8, 16, KEY, b"");
        let condition = bytes.len() - KEY.len();
        bytes.splice(condition..condition, sequence.to_le_bytes());
        bytes
    }

    #[test]
    fn definitions_are_understood_and_are_no_operations_of_a_transaction() {
        let define = |change: &str| operation(KIND_DEFINE, 16, b"", change.as_bytes());
        for change in [
            r#"{"op":"createCollection"}"#,
            r#"{"op":"createCollection","options":{"ttl":"at"}}"#,
            r#"{"op":"dropCollection"}"#,
            r#"{"op":"createIndex","index":"n","definition":{"kind":"multi","on":"n"}}"#,
            r#"{"op":"dropIndex","index":"n"}"#,
        ] {
            let put = operation(KIND_PUT, 16, KEY, b"\x02");
            let commits = parse(&transaction(&[define(change), put])).unwrap();
            assert!(commits[0].len() == 1 && !commits[0].is_empty(), "{change}");
            assert!(!parse(&transaction(&[define(change)])).unwrap()[0].is_empty(), "{change}");
        }
        let code = |operation: Vec<u8>| parse(&transaction(&[operation])).unwrap_err().code;
        for change in
            ["", "{}", r#"{"op":"none"}"#, r#"{"op":"dropIndex"}"#, r#"{"op":"createIndex","index":"n"}"#]
        {
            assert_eq!(code(define(change)), ErrorCode::InvalidArgument, "{change}");
        }
        let no_index = r#"{"op":"createIndex","index":"n","definition":{"kind":"other","on":"n"}}"#;
        assert_eq!(code(define(no_index)), ErrorCode::Validation);
        let with_key = operation(KIND_DEFINE, 16, KEY, br#"{"op":"dropCollection"}"#);
        assert_eq!(code(with_key), ErrorCode::InvalidArgument);
    }

    #[test]
    fn conditions_and_required_sequences_are_understood() {
        let absent = operation(KIND_PUT | CONDITION_ABSENT << 8, 16, KEY, b"\x02");
        let require = operation(KIND_REQUIRE, 0, b"", &7u64.to_le_bytes());
        let parsed = parse(&transaction(&[absent, with_sequence(KIND_DELETE, 5), require])).unwrap();
        assert_eq!(parsed[0].len(), 2);
        let mut bytes = &with_sequence(KIND_DELETE, 5)[..];
        let condition = parse_operation(&mut bytes).unwrap().condition;
        assert_eq!(condition, Some(Condition::Sequence(Seq::new(5).unwrap())));
        let code = |operation: Vec<u8>| parse(&transaction(&[operation])).unwrap_err().code;
        assert_eq!(code(with_sequence(KIND_DELETE, u64::MAX)), ErrorCode::InvalidArgument);
        assert_eq!(code(operation(KIND_PUT | 3 << 8, 16, KEY, b"\x02")), ErrorCode::InvalidArgument);
        assert_eq!(code(operation(KIND_REQUIRE, 0, b"", b"short")), ErrorCode::InvalidArgument);
        assert_eq!(code(operation(KIND_REQUIRE | 1 << 8, 0, b"", &[0; 8])), ErrorCode::InvalidArgument);
    }

    fn expiring_put(at: u64) -> Vec<u8> {
        let mut bytes = operation(KIND_PUT | EXPIRES << 16, 16, KEY, b"\x02");
        let start = bytes.len() - KEY.len() - 1;
        bytes.splice(start..start, at.to_le_bytes());
        bytes
    }

    #[test]
    fn a_put_may_say_when_it_expires() {
        let mut bytes = &expiring_put(1000)[..];
        let Action::Put(document) = parse_operation(&mut bytes).unwrap().action else { panic!("no put") };
        assert_eq!(*document, *expiring(b"\x02", Timestamp::from_millis(1000)));
        assert_eq!(parse(&transaction(&[expiring_put(1000)])).unwrap()[0].len(), 1);
        let code = |operation: Vec<u8>| parse(&transaction(&[operation])).unwrap_err().code;
        assert_eq!(code(operation(KIND_DELETE | EXPIRES << 16, 16, KEY, b"")), ErrorCode::InvalidArgument);
        assert_eq!(code(operation(KIND_PUT | 3 << 16, 16, KEY, b"\x02")), ErrorCode::InvalidArgument);
        let keeping = |kind| operation(kind | KEEPS_EXPIRY << 16, 16, KEY, b"\x02");
        // Outside of a transaction nobody knows what is there.
        assert_eq!(code(keeping(KIND_PUT)), ErrorCode::InvalidArgument);
        assert_eq!(code(keeping(KIND_DELETE)), ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_buffer_cut_anywhere_is_refused() {
        let whole = transaction(&[
            operation(KIND_PUT, 16, KEY, b"\x02"),
            expiring_put(7),
            with_sequence(KIND_DELETE, 5),
        ]);
        for cut in 1..whole.len() {
            assert_eq!(parse(&whole[..cut]).unwrap_err().code, ErrorCode::InvalidArgument, "cut at {cut}");
        }
    }

    #[test]
    fn what_the_facade_would_never_send_is_refused() {
        let code = |operations: &[Vec<u8>]| parse(&transaction(operations)).unwrap_err().code;
        assert_eq!(code(&[operation(4, 16, KEY, b"")]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[operation(KIND_DELETE, 16, KEY, b"\x01")]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[operation(KIND_PUT, 15, KEY, b"\x02")]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[operation(KIND_PUT, 16, b"\x30a", b"\x02")]), ErrorCode::InvalidKey);
        assert_eq!(code(&[operation(KIND_PUT, 16, KEY, b"\x07{}")]), ErrorCode::InvalidArgument);
        let mut long = transaction(&[]);
        long[4] = 1;
        long.push(0);
        assert_eq!(parse(&long).unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
