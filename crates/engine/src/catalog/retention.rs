//! Which old versions of a collection are kept, and what storage is told about it.
//!
//! Storage keeps versions by ranges of keys and remembers no rules, so the catalog says them: all of them when the store
//! is opened, and what a commit changes when it is made. The entries of a collection's indexes are kept as its records are,
//! so that an index answers for every state that its collection does. Of a keyspace that was dropped, the rule stays.
//!
//! While a commit that changes a rule is on its way, everything is kept: if it is never committed nothing is missing by the
//! old rule, and from its sequence on nothing is missing by the new one.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use fountain_lsm::{KeyRange, Retention, Seq};
use serde_json::{Value, json};

use super::{Catalog, Claims};
use crate::error::{Error, ErrorCode, Result};
use crate::index::IndexTable;
use crate::keyspace::CollectionId;
use crate::limits::KEYSPACE_BYTES;
use crate::sync::lock;

/// Which old versions of a collection's records are kept. Whatever it is, snapshots keep what they see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionRetention {
    /// All.
    Unbounded,
    /// None.
    LatestOnly,
    /// The newest ones of each record, this many, deletions included. States of the past cannot be read once something was
    /// dropped; the versions that are left of a record can.
    Count(NonZeroU32),
    /// What is needed to read the state at this sequence and every later one.
    Since(Seq),
    /// What is needed to read every state that was the newest within this span before now; whole milliseconds count.
    MaxAge(Duration),
}

impl CollectionRetention {
    /// As it is written in the catalog: `"unbounded"`, `"latestOnly"`, `{"count":n}`, `{"since":sequence}` or
    /// `{"maxAge":milliseconds}`.
    pub fn to_json(self) -> Value {
        match self {
            Self::Unbounded => json!("unbounded"),
            Self::LatestOnly => json!("latestOnly"),
            Self::Count(count) => json!({ "count": count }),
            Self::Since(seq) => json!({ "since": seq.get() }),
            Self::MaxAge(age) => json!({ "maxAge": u64::try_from(age.as_millis()).unwrap_or(u64::MAX) }),
        }
    }

    /// Reads what [`CollectionRetention::to_json`] writes.
    ///
    /// # Errors
    /// `ERR_VALIDATION`.
    pub fn from_json(json: &Value) -> Result<Self> {
        let number = |name: &str| match json {
            Value::Object(members) if members.len() == 1 => members.get(name).and_then(Value::as_u64),
            _ => None,
        };
        let count = number("count").and_then(|count| u32::try_from(count).ok()).and_then(NonZeroU32::new);
        let found = match json.as_str() {
            Some("unbounded") => Some(Self::Unbounded),
            Some("latestOnly") => Some(Self::LatestOnly),
            Some(_) => None,
            None => count
                .map(Self::Count)
                .or_else(|| number("since").and_then(Seq::new).map(Self::Since))
                .or_else(|| number("maxAge").map(Duration::from_millis).map(Self::MaxAge)),
        };
        found.ok_or_else(|| {
            let expected =
                "\"unbounded\", \"latestOnly\", {\"count\":n}, {\"since\":sequence} or {\"maxAge\":milliseconds}";
            Error::new(ErrorCode::Validation, format!("a retention is {expected}, not {json}"))
        })
    }

    /// The rule for records.
    pub fn of_records(self) -> Retention {
        match self {
            Self::Unbounded => Retention::Unbounded,
            Self::LatestOnly => Retention::LatestOnly,
            Self::Count(count) => Retention::Versions(count),
            Self::Since(seq) => Retention::Since(seq),
            Self::MaxAge(age) => Retention::MaxAge(age),
        }
    }

    /// The retention of index entries, of which nobody reads versions.
    pub(super) fn of_entries(self) -> Self {
        match self {
            Self::Count(_) => Self::LatestOnly,
            other => other,
        }
    }
}

/// What storage is to keep, range by range.
pub(crate) type Rules = Vec<(KeyRange, Retention)>;

/// What storage is told about a group of commits that changes rules.
#[derive(Debug, Default)]
pub(crate) struct RuleChange {
    /// Before it is committed.
    pub meanwhile: Rules,
    /// If it is not committed.
    pub before: Rules,
    /// When it is.
    pub after: Rules,
}

impl Catalog {
    /// All rules, where `others` is that of everything that has none of its own.
    pub fn rules(&self, others: Retention) -> Rules {
        let table = self.indexes();
        let state = lock(&self.state);
        let mut rules: Rules = Vec::new();
        for (id, entry) in &state.entries {
            if let Some(retention) = entry.options.retention {
                rules.push((keyspace(id.prefix()), retention.of_records()));
                let entries = retention.of_entries().of_records();
                rules.extend(table.all_of(*id).iter().map(|index| (keyspace(index.id.prefix()), entries)));
            }
        }
        let dropped = state.dropped.iter();
        rules.extend(dropped.map(|(id, kept)| (keyspace(id.to_be_bytes()), kept.of_records())));
        drop(state);
        rules.sort_by(|(one, _), (other, _)| one.start.cmp(&other.start));
        rules.insert(0, (KeyRange::default(), others));
        rules
    }

    /// How a group changes the rules.
    pub fn rule_change(&self, claims: &Claims, others: Retention) -> RuleChange {
        let mut change = RuleChange::default();
        let (before, after) = (self.indexes(), self.indexes_after(claims));
        let state = lock(&self.state);
        let old = |id: CollectionId| state.entries.get(&id).and_then(|entry| entry.options.retention);
        for (&id, options) in &claims.options {
            let (old, new) = (old(id), options.retention);
            if old == new || claims.dropped.contains(&id) {
                continue;
            }
            let records =
                |kept: Option<CollectionRetention>| kept.map_or(others, CollectionRetention::of_records);
            let entries =
                |kept: Option<CollectionRetention>| records(kept.map(CollectionRetention::of_entries));
            change.add(keyspace(id.prefix()), records(old), records(new));
            let indexes: BTreeSet<_> =
                before.all_of(id).iter().chain(after.all_of(id)).map(|index| index.id).collect();
            for index in indexes {
                change.add(keyspace(index.prefix()), entries(old), entries(new));
            }
        }
        for index in new_indexes(&before, &after) {
            let options = claims.options.get(&index.collection);
            let kept = options.map_or_else(|| old(index.collection), |options| options.retention);
            if let Some(kept) = kept {
                change.after.push((keyspace(index.id.prefix()), kept.of_entries().of_records()));
            }
        }
        change
    }
}

impl RuleChange {
    fn add(&mut self, range: KeyRange, before: Retention, after: Retention) {
        self.meanwhile.push((range.clone(), Retention::Unbounded));
        self.before.push((range.clone(), before));
        self.after.push((range, after));
    }
}

fn new_indexes<'a>(
    before: &'a IndexTable,
    after: &'a IndexTable,
) -> impl Iterator<Item = &'a std::sync::Arc<crate::index::Index>> {
    after.iter().filter(|index| before.get(index.id).is_none())
}

fn keyspace(prefix: [u8; KEYSPACE_BYTES]) -> KeyRange {
    KeyRange::prefix(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_written_and_read() {
        let count = NonZeroU32::new(3).unwrap();
        for retention in [
            CollectionRetention::Unbounded,
            CollectionRetention::LatestOnly,
            CollectionRetention::Count(count),
            CollectionRetention::Since(Seq::new(7).unwrap()),
            CollectionRetention::MaxAge(Duration::from_secs(60)),
        ] {
            assert_eq!(CollectionRetention::from_json(&retention.to_json()).unwrap(), retention);
        }
        for wrong in [
            json!("all"),
            json!(null),
            json!({}),
            json!({ "count": 0 }),
            json!({ "count": 1, "since": 1 }),
            json!({ "count": 5_000_000_000_u64 }),
            json!({ "since": -1 }),
            json!({ "since": u64::MAX }),
            json!({ "maxAge": 0.5 }),
        ] {
            let error = CollectionRetention::from_json(&wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::Validation, "{wrong}");
        }
    }
}
