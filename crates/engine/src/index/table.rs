//! All indexes of a store at one moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Index, IndexId};
use crate::keyspace::CollectionId;

/// Indexes by collection and by id. Changing a copy leaves the original as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexTable {
    by_collection: HashMap<CollectionId, Vec<Arc<Index>>>,
    by_id: BTreeMap<IndexId, Arc<Index>>,
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

    /// Those of a collection, by name.
    pub fn of(&self, collection: CollectionId) -> &[Arc<Index>] {
        self.by_collection.get(&collection).map_or(&[], Vec::as_slice)
    }

    /// All of a collection, whoever made them.
    pub fn all_of(&self, collection: CollectionId) -> impl Iterator<Item = &Arc<Index>> {
        self.of(collection).iter()
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
        let list = self.by_collection.entry(index.collection).or_default();
        let at = list.partition_point(|other| other.definition.name() < index.definition.name());
        list.insert(at, Arc::clone(&index));
        self.by_id.insert(index.id, index);
    }

    /// Removes an index.
    pub fn remove(&mut self, id: IndexId) {
        let Some(index) = self.by_id.remove(&id) else { return };
        if let Some(list) = self.by_collection.get_mut(&index.collection) {
            list.retain(|other| other.id != id);
            if list.is_empty() {
                self.by_collection.remove(&index.collection);
            }
        }
    }
}
