//! Transactions as they should be, in memory, and eight ways to get them wrong.
//!
//! It tests the checker: what is right must pass, and each flaw must be found.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::history::Key;
use crate::random::Random;

/// What can be wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Two transactions may change one list at the same time.
    NoWriteCheck,
    /// A snapshot may be older than what had ended before it.
    StaleSnapshot,
    /// Reads see what is not committed.
    DirtyRead,
    /// A list is read again at the commit, and changed there whatever was read before.
    RereadAtCommit,
    /// A commit forgets the last list it changed, now and then.
    LostAppend,
    /// Old versions go although a snapshot needs them.
    EarlyCollection,
    /// Lists of one commit become visible one after the other.
    TornPublish,
    /// What serializable transactions read is forgotten, now and then.
    ReadsForgotten,
}

/// All of them.
pub const FLAWS: [Flaw; 8] = [
    Flaw::NoWriteCheck,
    Flaw::StaleSnapshot,
    Flaw::DirtyRead,
    Flaw::RereadAtCommit,
    Flaw::LostAppend,
    Flaw::EarlyCollection,
    Flaw::TornPublish,
    Flaw::ReadsForgotten,
];

/// A transaction that has begun.
#[derive(Clone, Debug)]
pub struct Active {
    /// What it sees.
    pub snapshot: u64,
    id: u64,
    reads: BTreeSet<Key>,
    appends: BTreeMap<Key, Vec<u64>>,
}

/// Something that has transactions on lists.
pub trait Engine {
    /// A transaction that has begun.
    type Active;

    /// Begins a transaction.
    fn begin(&mut self) -> Self::Active;

    /// Reads a list.
    fn read(&mut self, txn: &mut Self::Active, key: Key) -> Vec<u64>;

    /// Reads all of these lists, by a predicate where there is such a thing.
    fn read_all(&mut self, txn: &mut Self::Active, keys: Range<Key>) -> Vec<(Key, Vec<u64>)> {
        keys.map(|key| (key, self.read(txn, key))).collect()
    }

    /// The sequence at which a transaction read and the one with which it committed, if the engine says them.
    fn sequences(&self, _txn: &Self::Active) -> Option<(u64, u64)> {
        None
    }

    /// Appends to a list.
    fn append(&mut self, txn: &mut Self::Active, key: Key, value: u64);

    /// Ends a transaction without effect.
    fn abort(&mut self, txn: &Self::Active);

    /// Commits; false if it was refused and aborted instead.
    fn commit(&mut self, txn: &Self::Active) -> bool;
}

/// The engine.
pub struct Reference {
    serializable: bool,
    flaw: Option<Flaw>,
    random: Random,
    newest: u64,
    next_id: u64,
    lists: BTreeMap<Key, Vec<(u64, Vec<u64>)>>,
    /// What is not committed, for engines that show it.
    dirty: BTreeMap<Key, Vec<(u64, u64)>>,
    /// What a torn commit has still to publish.
    late: Vec<(Key, Vec<u64>)>,
}

impl Reference {
    /// An engine; without `serializable` it gives snapshot isolation.
    pub fn new(serializable: bool, flaw: Option<Flaw>, seed: u64) -> Self {
        Self {
            serializable,
            flaw,
            random: Random::new(seed),
            newest: 0,
            next_id: 0,
            lists: BTreeMap::new(),
            dirty: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    fn publish_late(&mut self) {
        if !self.late.is_empty() && self.random.one_in(3) {
            self.newest += 1;
            for (key, list) in std::mem::take(&mut self.late) {
                self.put(key, list);
            }
        }
    }

    fn put(&mut self, key: Key, list: Vec<u64>) {
        let versions = self.lists.entry(key).or_default();
        versions.push((self.newest, list));
        if self.flaw == Some(Flaw::EarlyCollection) {
            versions.drain(..versions.len() - 1);
        }
    }

    fn seen(&self, key: Key, at: u64) -> Vec<u64> {
        let versions = self.lists.get(&key).map_or(&[][..], Vec::as_slice);
        let seen = versions.iter().rev().find(|(seq, _)| *seq <= at);
        // Without the old version the oldest one that is left has to serve.
        let seen = seen.or(if self.flaw == Some(Flaw::EarlyCollection) { versions.first() } else { None });
        seen.map(|(_, list)| list.clone()).unwrap_or_default()
    }

    fn changed(&self, key: Key) -> u64 {
        self.lists.get(&key).and_then(|versions| versions.last()).map_or(0, |(seq, _)| *seq)
    }
}

impl Engine for Reference {
    type Active = Active;

    fn begin(&mut self) -> Active {
        let stale = if self.flaw == Some(Flaw::StaleSnapshot) { self.random.below(4) as u64 } else { 0 };
        self.next_id += 1;
        let snapshot = self.newest.saturating_sub(stale);
        Active { snapshot, id: self.next_id, reads: BTreeSet::new(), appends: BTreeMap::new() }
    }

    fn read(&mut self, txn: &mut Active, key: Key) -> Vec<u64> {
        self.publish_late();
        if !txn.appends.contains_key(&key) {
            txn.reads.insert(key);
        }
        let mut list = self.seen(key, txn.snapshot);
        if self.flaw == Some(Flaw::DirtyRead) {
            let others = self.dirty.get(&key).into_iter().flatten().filter(|(id, _)| *id != txn.id);
            list.extend(others.map(|&(_, value)| value));
        }
        list.extend(txn.appends.get(&key).into_iter().flatten());
        list
    }

    fn append(&mut self, txn: &mut Active, key: Key, value: u64) {
        txn.appends.entry(key).or_default().push(value);
        self.dirty.entry(key).or_default().push((txn.id, value));
    }

    fn abort(&mut self, txn: &Active) {
        for values in self.dirty.values_mut() {
            values.retain(|(id, _)| *id != txn.id);
        }
    }

    fn commit(&mut self, txn: &Active) -> bool {
        self.publish_late();
        self.abort(txn);
        if txn.appends.is_empty() {
            return true;
        }
        let unchecked = matches!(self.flaw, Some(Flaw::NoWriteCheck | Flaw::RereadAtCommit));
        let changed = |key: &Key| self.changed(*key) > txn.snapshot;
        if !unchecked && txn.appends.keys().any(changed) {
            return false;
        }
        let forgets = self.flaw == Some(Flaw::ReadsForgotten) && self.newest % 16 < 8;
        if self.serializable && !forgets && txn.reads.iter().any(changed) {
            return false;
        }
        self.newest += 1;
        let last = txn.appends.len() - 1;
        for (index, (&key, values)) in txn.appends.iter().enumerate() {
            if self.flaw == Some(Flaw::LostAppend) && index == last && self.random.one_in(20) {
                continue;
            }
            let base = if self.flaw == Some(Flaw::RereadAtCommit) { self.newest } else { txn.snapshot };
            let mut list = self.seen(key, base);
            list.extend(values);
            if self.flaw == Some(Flaw::TornPublish) && index > 0 {
                self.late.push((key, list));
            } else {
                self.put(key, list);
            }
        }
        true
    }
}
