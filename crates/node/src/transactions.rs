//! Transactions: handles that reads take as their view, with the writes made in them.

use fountain_engine::{CollectionId, Committed, Isolation, Result, Store};
use napi::Env;
use napi_derive::napi;

use crate::arguments::{durability, number};
use crate::errors::{answer, thrown};
use crate::mailbox::Outcome;
use crate::thread::{self, ticket_for_transaction};
use crate::writes;

/// Begins a transaction at the newest sequence. Returns its handle.
#[napi(catch_unwind)]
pub fn begin(store: u32, serializable: bool) -> answer::Result<u32> {
    let isolation = if serializable { Isolation::Serializable } else { Isolation::Snapshot };
    let begin = |engine: &Store| engine.begin(isolation);
    thread::keep_transaction(store, begin).map_err(|error| thrown(&error))
}

/// The sequence that a transaction reads at.
#[napi(catch_unwind)]
pub fn transaction_sequence(transaction: u32) -> answer::Result<f64> {
    let found = thread::transaction(transaction);
    found.map(|open| number(open.sequence())).map_err(|error| thrown(&error))
}

/// The id of the collection that has a name for a transaction; 0 if there is none.
#[napi(catch_unwind)]
pub fn transaction_collection(transaction: u32, name: String) -> answer::Result<u32> {
    let found = thread::transaction(transaction).and_then(|open| open.collection(&name));
    found.map(|id| id.map_or(0, CollectionId::get)).map_err(|error| thrown(&error))
}

/// Applies the operations in the first `length` bytes of `bytes` to a transaction, in order, until one is refused.
#[napi(catch_unwind)]
pub fn transaction_write(transaction: u32, bytes: &[u8], length: u32) -> answer::Result<()> {
    let written = thread::transaction(transaction).and_then(|open| writes::apply(&open, bytes, length));
    written.map_err(|error| thrown(&error))
}

/// Commits a transaction, which has ended from here on. Answers with the sequence of the commit, or with the one that it
/// read at if it wrote nothing.
#[napi(catch_unwind)]
pub fn commit_transaction(env: Env, ticket: u32, transaction: u32, level: u32) -> answer::Result<()> {
    let start = || {
        let durability = durability(level)?;
        let (open, ticket) = ticket_for_transaction(env, ticket, transaction)?;
        let done = move |result: Result<Committed>| {
            let sequence = result.and_then(|committed| committed.sequence(0));
            ticket.answer(sequence.map(|sequence| Outcome::number(number(sequence))));
        };
        open.submit(durability, Box::new(done));
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

/// Ends a transaction without effect; fine if it has ended.
#[napi(catch_unwind)]
pub fn rollback(transaction: u32) {
    thread::rollback(transaction);
}
