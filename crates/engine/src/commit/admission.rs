//! Which commits of a group can happen. Each is judged by itself, in order, by everything committed before and by what
//! the accepted ones before it in the group have written.

use std::collections::HashMap;

use fountain_lsm::Seq;

use super::pending::Pending;
use crate::error::{Error, ErrorCode, Result};
use crate::kv::OrderedKv;
use crate::transaction::{NameKey, Transactions};
use crate::write_set::WriteSet;

/// Tells whether a record under a storage key has not expired.
pub(super) type IsLive<'a> = dyn Fn(&[u8], &[u8]) -> Result<bool> + 'a;

/// Judges a commit: the sequence that it requires, its transaction, and the conditions of its operations.
pub(super) fn admit(
    commit: &WriteSet,
    pending: &Pending,
    kv: &dyn OrderedKv,
    transactions: &Transactions,
    is_live: &IsLive<'_>,
    name_key: &NameKey<'_>,
) -> Result<()> {
    if let Some(least) = commit.least() {
        require_sequence(least, pending.newest_sequence())?;
    }
    if let Some(claim) = commit.claim() {
        transactions.validate(claim, commit.batch(), pending, name_key)?;
    }
    if commit.conditions().is_empty() { Ok(()) } else { check_conditions(commit, pending, kv, is_live) }
}

fn require_sequence(least: Seq, newest: Seq) -> Result<()> {
    if newest >= least {
        return Ok(());
    }
    let message = format!("the store is at sequence {newest} and has not reached {least}");
    Err(Error::new(ErrorCode::Sequence, message).with(|details| {
        details.requested = Some(least.get());
        details.newest = Some(newest.get());
    }))
}

fn check_conditions(
    commit: &WriteSet,
    pending: &Pending,
    kv: &dyn OrderedKv,
    is_live: &IsLive<'_>,
) -> Result<()> {
    // Whether earlier operations of this commit put or deleted a key.
    let mut own: HashMap<&[u8], bool> = HashMap::new();
    let mut conditions = commit.conditions().iter().peekable();
    for (item, (key, value)) in commit.batch().ops().enumerate() {
        if let Some((_, condition)) = conditions.next_if(|(place, _)| *place == item) {
            let judged = match own.get(key) {
                Some(&put) => condition.judge_own(put),
                None => match pending.record_of(kv, key)? {
                    Some((seq, record)) if is_live(key, &record)? => condition.judge(Some(seq)),
                    _ => condition.judge(None),
                },
            };
            judged.map_err(|error| error.with(|details| details.item = Some(item as u64)))?;
        }
        own.insert(key, value.is_some());
    }
    Ok(())
}
