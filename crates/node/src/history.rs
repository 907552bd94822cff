//! History: versions of records, changes of commits, differences of moments, as pages of versions.

use fountain_engine::{ChangesRequest, CollectionId, Result, ScanEnd, Seq, Store, VersionPage};
use napi::Env;
use napi_derive::napi;

use crate::arguments::{collection, number, sequence, slice};
use crate::errors::{answer, thrown};
use crate::mailbox::{Outcome, Ticket};
use crate::thread::{ticket_for, with_store};

/// Which versions of a record.
#[napi(object)]
pub struct HistoryArguments {
    /// The collection.
    pub collection: u32,
    /// Bytes of the encoded key.
    pub key: u32,
    /// Up to this sequence; negative for the newest.
    pub upto: f64,
    /// Bytes after which the page is full.
    pub max_bytes: u32,
}

/// Which changes.
#[napi(object)]
pub struct ChangesArguments {
    /// The collection; 0 for all.
    pub collection: u32,
    /// After this sequence.
    pub after: f64,
    /// Up to this sequence.
    pub upto: f64,
    /// Bytes after which the page is full.
    pub max_bytes: u32,
}

/// Reads versions of the record whose encoded key lies at the start of `io`, from the newest to the oldest. Answers with 1 if more may follow, and the length of the page to collect.
#[napi(catch_unwind)]
pub fn history(
    env: Env,
    ticket: u32,
    store: u32,
    io: &[u8],
    request: HistoryArguments,
) -> answer::Result<()> {
    let start = || {
        let HistoryArguments { collection: id, key, upto, max_bytes } = request;
        let (id, key) = (collection(id)?, slice(io, 0, key)?.to_vec());
        let upto = if upto < 0.0 { None } else { Some(sequence(upto)?) };
        read(env, ticket, store, move |engine, page| {
            let end = engine.history(id, &key, upto, max_bytes as usize, page)?;
            Ok(f64::from(u8::from(end == ScanEnd::More)))
        })
    };
    start().map_err(|error| thrown(&error))
}

/// Reads what commits changed, in their order. Answers with the sequence up to which it goes, and the length of the page.
#[napi(catch_unwind)]
pub fn changes(env: Env, ticket: u32, store: u32, request: ChangesArguments) -> answer::Result<()> {
    let start = || {
        let request = request.checked()?;
        read(env, ticket, store, move |engine, page| engine.changes(&request, page).map(number))
    };
    start().map_err(|error| thrown(&error))
}

/// Reads how two moments differ, by collection and key, from where the first `start` bytes of `io` say: collection, as a
/// big-endian `u32`, and encoded key; from the first record on if there are none. Answers as `history`.
#[napi(catch_unwind)]
pub fn diff(
    env: Env,
    ticket: u32,
    store: u32,
    io: &[u8],
    start: u32,
    request: ChangesArguments,
) -> answer::Result<()> {
    let begin = || {
        let request = request.checked()?;
        let behind = (start > 0).then(|| slice(io, 0, start).map(<[u8]>::to_vec)).transpose()?;
        read(env, ticket, store, move |engine, page| {
            let end = engine.diff(&request, behind.as_deref(), page)?;
            Ok(f64::from(u8::from(end == ScanEnd::More)))
        })
    };
    begin().map_err(|error| thrown(&error))
}

/// The sequence that was the newest at a time, in milliseconds since 1970.
#[napi(catch_unwind)]
pub fn sequence_at(store: u32, millis: f64) -> answer::Result<f64> {
    with_store(store, |engine| engine.sequence_at(whole(millis)).map(number)).map_err(|error| thrown(&error))
}

/// Milliseconds since 1970; times before are 1970.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded below, and casts saturate"
)]
fn whole(millis: f64) -> u64 {
    millis.max(0.0) as u64
}

/// Fills a page on a read thread and answers with it and the number that `work` returns.
fn read(
    env: Env,
    ticket: u32,
    store: u32,
    work: impl FnOnce(&Store, &mut VersionPage) -> Result<f64> + Send + 'static,
) -> Result<()> {
    let (engine, ticket): (Store, Ticket) = ticket_for(env, ticket, store)?;
    ticket.answer_later(&engine, move |engine| {
        let mut page = VersionPage::new();
        let first = work(engine, &mut page)?;
        Ok(Outcome::bytes(first, page.into_bytes()))
    });
    Ok(())
}

impl ChangesArguments {
    fn checked(&self) -> Result<ChangesRequest> {
        let collection: Option<CollectionId> =
            if self.collection == 0 { None } else { Some(collection(self.collection)?) };
        let (after, upto): (Seq, Seq) = (sequence(self.after)?, sequence(self.upto)?);
        Ok(ChangesRequest { collection, after, upto, max_bytes: self.max_bytes as usize })
    }
}
