//! All indexes of a store at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Index, IndexId};
use crate::keyspace::CollectionId;

/// Indexes by collection and by id. Changing a copy leaves the original as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexTable {
    by_collection: HashMap<CollectionId, Own>,
    by_id: BTreeMap<IndexId, Arc<Index>>,
    /// Number of expiry indexes.
    expiries: usize,
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
