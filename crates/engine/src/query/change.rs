//! Changes all records that match a filter, in one transaction.
//!
//! The records are found at one moment. If somebody else changes one of them before the commit, nothing is changed, and
//! they are found again. What is over the limits of a transaction is refused; a limit in the query changes it in parts.

use fountain_lsm::{Durability, Seq};

use super::body::Change;
use super::meter::Meter;
use super::run::each_match;
use super::state::{Judged, State};
use super::walk::Flow;
use super::{Query, planner};
use crate::envelope::expiring;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::time;
use crate::keyspace::CollectionId;
use crate::limits::MAX_CHANGE_ATTEMPTS;
use crate::record::{self, Reader, Value};
use crate::store::Store;
use crate::transaction::{Isolation, Transaction};
use crate::view::View;

/// What a change did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Records that match and were, or would be, changed.
    pub records: u64,
    /// Sequence of the commit; none when nothing was changed.
    pub sequence: Option<Seq>,
}

/// Changes the records that match, at most as many as the limit of the query says; which of them is then not promised.
pub(super) fn change(
    store: &Store,
    collection: CollectionId,
    query: &Query,
    change: &Change,
    durability: Durability,
) -> Result<Changed> {
    for attempt in 1.. {
        let transaction = store.begin(Isolation::Snapshot)?;
        let records = stage(store, collection, query, change, &transaction)?;
        if change.dry_run || records == 0 {
            transaction.rollback();
            return Ok(Changed { records, sequence: None });
        }
        match transaction.commit(durability) {
            Ok(sequence) => return Ok(Changed { records, sequence: Some(sequence) }),
            Err(error) if error.code == ErrorCode::Conflict && attempt < MAX_CHANGE_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorCode::Internal, "a change without an attempt"))
}

/// Writes the changes into the transaction.
fn stage(
    store: &Store,
    collection: CollectionId,
    query: &Query,
    change: &Change,
    transaction: &Transaction,
) -> Result<u64> {
    let judged = Judged::ByTime(Some(transaction.moment()));
    let state = State::new(&store.inner, collection, View::At(transaction.sequence()), judged)?;
    let mut meter = Meter::new(&query.hints);
    let plan = planner::plan(&state, query, &meter)?;
    let limit = query.limit.map_or(u64::MAX, |limit| limit as u64);
    let mut records = 0;
    each_match(&state, query, &plan.access, &mut meter, &mut |key, record| {
        if records == limit {
            return Ok(Flow::Stop);
        }
        records += 1;
        if !change.dry_run {
            match &change.set {
                None => transaction.delete(collection, key)?,
                Some(set) => transaction.put(collection, key, &changed(store, set, record)?)?,
            }
        }
        Ok(Flow::More)
    })?;
    Ok(records)
}

/// The record with the new values in it.
fn changed(store: &Store, set: &[(String, Value)], record: &Reader<'_>) -> Result<Vec<u8>> {
    let mut document = Value::read(&mut record.clone())?;
    if let Value::Object(members) = &mut document {
        for (name, value) in set {
            match members.iter_mut().find(|(own, _)| own == name) {
                Some(member) => member.1 = value.clone(),
                None => members.push((name.clone(), value.clone())),
            }
        }
    }
    let document = record::write(&document, &store.inner.shapes)?;
    // It goes on to expire when it did before.
    Ok(match record.expires_at() {
        Some(at) => expiring(&document, time(at)),
        None => document,
    })
}
