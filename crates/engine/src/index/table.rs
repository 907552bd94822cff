//! All indexes of a store at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fountain_lsm::Seq;

use super::{Index, IndexId};
use crate::keyspace::CollectionId;
use crate::limits::MAX_TTL_CHANGES;

/// Indexes by collection and by id. Changing a copy leaves the original as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexTable {
    by_collection: HashMap<CollectionId, Own>,
    by_id: BTreeMap<IndexId, Arc<Index>>,
    /// Number of expiry indexes.
    expiries: usize,
    /// The commit that last changed or removed the expiry index of a collection, if that was after `known_from`.
    ttl_changes: HashMap<CollectionId, Seq>,
    /// The newest sequence when the store was opened, or a later one: what was changed up to it is not known here.
    known_from: Seq,
}

/// The indexes of one collection.
#[derive(Clone, Debug, Default)]
struct Own {
    /// Those that were defined, by name, and behind them the expiry index.
    all: Vec<Arc<Index>>,
    /// Number of those that were defined.
    defined: usize,
}

impl IndexTable {
    /// That of a store which is opened at a sequence, still without indexes.
    pub fn opened(at: Seq) -> Self {
        Self { known_from: at, ..Self::default() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Index>> {
        self.by_id.values()
    }

    /// Those of a collection that were defined, by name.
    pub fn of(&self, collection: CollectionId) -> &[Arc<Index>] {
        self.by_collection.get(&collection).map_or(&[], |own| &own.all[..own.defined])
    }

    /// Those of a collection that were defined, and its expiry index.
    pub fn all_of(&self, collection: CollectionId) -> &[Arc<Index>] {
        self.by_collection.get(&collection).map_or(&[], |own| &own.all)
    }

    /// Whether there are expiry indexes.
    pub fn has_expiries(&self) -> bool {
        self.expiries > 0
    }

    /// All expiry indexes.
    pub fn expiries(&self) -> impl Iterator<Item = &Arc<Index>> {
        self.by_id.values().filter(|index| index.expiry.is_some())
    }

    /// The expiry index of a collection.
    pub fn expiry_of(&self, collection: CollectionId) -> Option<&Arc<Index>> {
        if self.expiries == 0 {
            return None;
        }
        self.all_of(collection).last().filter(|index| index.expiry.is_some())
    }

    /// Whether anything in a collection may expire at a sequence, or in the newest state, now or by what it was lately.
    pub fn may_expire(&self, collection: CollectionId, at: Option<Seq>) -> bool {
        self.expiry_of(collection).is_some()
            || self.ttl_changes.contains_key(&collection)
            || at.is_some_and(|at| at < self.known_from)
    }

    /// Whether what expires in a collection is perhaps not decided by the same rule at a sequence as now. Of what is not
    /// known here, only an expiry index that was complete by then is known to have been the same.
    pub fn ttl_may_differ_at(&self, collection: CollectionId, at: Seq) -> bool {
        let is_the_same = || self.expiry_of(collection).is_some_and(|index| index.is_ready(Some(at)));
        self.ttl_changes.get(&collection).is_some_and(|&changed| changed > at)
            || at < self.known_from && !is_the_same()
    }

    /// Notes the commit that changes or removes the expiry index of a collection.
    pub fn note_ttl_change(&mut self, collection: CollectionId, seq: Seq) {
        self.ttl_changes.insert(collection, seq);
    }

    /// Forgets the older half of the changes of expiry indexes if they are too many; reads of states before these look them
    /// up. Not while a commit that made some of them is under way.
    pub fn limit_ttl_changes(&mut self) {
        if self.ttl_changes.len() <= MAX_TTL_CHANGES {
            return;
        }
        let mut seqs: Vec<Seq> = self.ttl_changes.values().copied().collect();
        let (_, middle, _) = seqs.select_nth_unstable(MAX_TTL_CHANGES / 2);
        self.known_from = self.known_from.max(*middle);
        self.ttl_changes.retain(|_, seq| *seq > *middle);
    }

    /// The collections whose expiry indexes differ from those of an earlier table.
    pub fn ttl_changes_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = CollectionId> + 'a {
        let new = |(id, seq): &(&CollectionId, &Seq)| before.ttl_changes.get(id) != Some(seq);
        self.ttl_changes.iter().filter(new).map(|(id, _)| *id)
    }

    /// The one with this id.
    pub fn get(&self, id: IndexId) -> Option<&Arc<Index>> {
        self.by_id.get(&id)
    }

    /// The one with this name in a collection.
    pub fn find(&self, collection: CollectionId, name: &str) -> Option<&Arc<Index>> {
        self.of(collection).iter().find(|index| index.definition.name() == name)
    }

    /// Adds an index, in the place of one with the same id.
    pub fn insert(&mut self, index: Arc<Index>) {
        self.remove(index.id);
        let own = self.by_collection.entry(index.collection).or_default();
        let at = if index.expiry.is_some() {
            self.expiries += 1;
            own.all.len()
        } else {
            own.defined += 1;
            let defined = &own.all[..own.defined - 1];
            defined.partition_point(|other| other.definition.name() < index.definition.name())
        };
        own.all.insert(at, Arc::clone(&index));
        self.by_id.insert(index.id, index);
    }

    /// Removes an index.
    pub fn remove(&mut self, id: IndexId) {
        let Some(index) = self.by_id.remove(&id) else { return };
        if index.expiry.is_some() {
            self.expiries -= 1;
        }
        if let Some(own) = self.by_collection.get_mut(&index.collection) {
            own.all.retain(|other| other.id != id);
            own.defined -= usize::from(index.expiry.is_none());
            if own.all.is_empty() {
                self.by_collection.remove(&index.collection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    #[test]
    fn of_very_many_changes_the_latest_are_remembered_and_about_earlier_states_nothing_is_claimed() {
        let (mut table, last) = (IndexTable::opened(seq(5)), 10 * MAX_TTL_CHANGES as u64);
        let collection = |number: u64| CollectionId::new(number as u32 + 16).unwrap();
        for number in 10..=last {
            table.note_ttl_change(collection(number), seq(number));
            table.limit_ttl_changes();
            assert!(table.ttl_changes.len() <= MAX_TTL_CHANGES);
            for earlier in [10, number / 2, number - 1].map(|earlier| earlier.max(10)) {
                assert!(table.ttl_may_differ_at(collection(earlier), seq(earlier - 1)));
                assert!(table.may_expire(collection(earlier), Some(seq(earlier - 1))));
            }
        }
        assert!(table.ttl_changes.len() >= MAX_TTL_CHANGES / 3);
        assert!(!table.ttl_may_differ_at(collection(last), seq(last)));
        assert!(!table.may_expire(collection(last + 1), Some(seq(last))));
    }
}
