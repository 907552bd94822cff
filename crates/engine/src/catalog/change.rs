//! Changes of the catalog that a commit makes: collections and indexes come and go with everything else in the commit.

use std::sync::Arc;

use fountain_lsm::{KeyRange, Seq};

use super::{
    CATALOG, Catalog, Claims, CollectionOptions, CollectionRetention, CollectionSetting, NEXT_ID_KEY, entry,
};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::Expiry;
use crate::index::{Index, IndexDefinition, IndexId, IndexTable};
use crate::keyspace::CollectionId;
use crate::kv::{Batch, OrderedKv};
use crate::limits::MAX_INDEXES;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::sync::lock;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum SchemaOp {
    /// Stores the entry of a collection that is new.
    CreateCollection(CollectionId, CollectionOptions),
    /// Stores a collection's entry, with these options.
    SetCollection(CollectionId, CollectionOptions),
    /// Stores a collection's entry, with these of its options changed.
    AlterCollection(CollectionId, Vec<CollectionSetting>),
    /// Removes a collection with its indexes and records.
    DropCollection(CollectionId),
    /// Defines an index.
    CreateIndex(CollectionId, IndexDefinition),
    /// Gives a collection an expiry index, if it has none; nothing in it expires yet.
    EnsureExpiry(CollectionId),
    /// Removes an index.
    DropIndex(CollectionId, String),
    /// Removes an index that could not be built, if it is still there; another may have its name by now.
    DropUnbuilt(IndexId),
    /// Notes how far a build has come.
    NoteProgress { index: IndexId, records: u64, last: Vec<u8> },
    /// An index is complete.
    FinishIndex(IndexId),
}

impl Catalog {
    /// The indexes after what the group has changed so far.
    pub fn indexes_after(&self, claims: &Claims) -> Arc<IndexTable> {
        claims.indexes.clone().unwrap_or_else(|| self.indexes())
    }

    /// Adds to `batch`, whose commit gets the sequence `seq`, what a change stores, and to `claims` what it changes.
    ///
    /// # Errors
    /// `ERR_EXISTS` for another collection or index of the same name, `ERR_DEFINITION` for another declared schema version,
    /// `ERR_NOT_FOUND` for a collection that the group has dropped, `ERR_NO_INDEX`, `ERR_LIMIT`. Batch and claims are then to be
    /// thrown away.
    pub fn change(&self, op: &SchemaOp, seq: Seq, batch: &mut Batch, claims: &mut Claims) -> Result<()> {
        if let SchemaOp::CreateCollection(id, _)
        | SchemaOp::SetCollection(id, _)
        | SchemaOp::AlterCollection(id, _)
        | SchemaOp::CreateIndex(id, _)
        | SchemaOp::DropCollection(id)
        | SchemaOp::DropIndex(id, _) = op
        {
            self.check_kept(claims, &[*id], false)?;
        }
        match op {
            SchemaOp::CreateCollection(id, options) => {
                let may_set = self.is_fresh(*id, seq, claims) && !claims.options.contains_key(id);
                if !may_set && self.options_after(*id, claims) != *options {
                    let message = "there is a collection of this name already, with other options";
                    return Err(Error::new(ErrorCode::Exists, message)
                        .with(|details| details.collection = self.name(*id)));
                }
                self.set_collection(*id, options, seq, batch, claims)?;
            }
            SchemaOp::SetCollection(id, options) => {
                self.set_collection(*id, options, seq, batch, claims)?;
            }
            SchemaOp::AlterCollection(id, settings) => {
                let mut options = self.options_after(*id, claims);
                for setting in settings {
                    options
                        .set(setting.clone())
                        .map_err(|error| error.with(|details| details.collection = self.name(*id)))?;
                }
                self.set_collection(*id, &options, seq, batch, claims)?;
            }
            SchemaOp::EnsureExpiry(id) => {
                if self.indexes_after(claims).expiry_of(*id).is_none() {
                    self.store(*id, seq, batch, claims);
                    self.create_expiry(*id, Expiry::default(), Some(seq), batch, claims)?;
                }
            }
            SchemaOp::DropCollection(id) => self.drop_collection(*id, seq, batch, claims),
            SchemaOp::CreateIndex(id, definition) => {
                return self.create_index(*id, definition, seq, batch, claims);
            }
            SchemaOp::DropIndex(id, name) => {
                let table = self.indexes_after(claims);
                let index = table
                    .find(*id, name)
                    .ok_or_else(|| no_index(name).with(|details| details.collection = self.name(*id)))?;
                let mut table = IndexTable::clone(&table);
                self.remove_index(index, &mut table, batch, claims);
                claims.indexes = Some(Arc::new(table));
            }
            SchemaOp::DropUnbuilt(id) => {
                let mut table = IndexTable::clone(&self.indexes_after(claims));
                let index = Arc::clone(table.get(*id).ok_or_else(|| no_index(&id.to_string()))?);
                self.remove_index(&index, &mut table, batch, claims);
                claims.indexes = Some(Arc::new(table));
            }
            SchemaOp::NoteProgress { index, records, last } => {
                let value = entry::progress_value(*records, last);
                batch.push(&CATALOG, &entry::progress_key(*index), Some(&value));
            }
            SchemaOp::FinishIndex(id) => {
                let mut table = IndexTable::clone(&self.indexes_after(claims));
                let index = table.get(*id).ok_or_else(|| no_index(&id.to_string()))?;
                let index = Index { since: Some(seq), ..Index::clone(index) };
                batch.push(&CATALOG, &entry::progress_key(*id), None);
                batch.push(&CATALOG, &entry::index_key(&index), Some(&entry::index_entry(&index)));
                table.insert(Arc::new(index));
                claims.indexes = Some(Arc::new(table));
            }
        }
        Ok(())
    }

    /// How far the build of an index had come, as stored: how many records were passed, and the last of them.
    pub fn progress(kv: &dyn OrderedKv, id: IndexId) -> Result<Option<(u64, Vec<u8>)>> {
        let value = kv.get(&Self::progress_storage_key(id), None, fountain_lsm::ReadTier::Disk)?;
        value.map(|value| Self::read_progress(&value)).transpose()
    }

    /// Where the progress of a build is stored.
    pub fn progress_storage_key(id: IndexId) -> Vec<u8> {
        [&CATALOG[..], &entry::progress_key(id)].concat()
    }

    /// The progress of a build as it is stored.
    ///
    /// # Errors
    /// `ERR_CORRUPT`.
    pub fn read_progress(stored: &[u8]) -> Result<(u64, Vec<u8>)> {
        entry::parse_progress(stored)
    }

    fn set_collection(
        &self,
        id: CollectionId,
        options: &CollectionOptions,
        seq: Seq,
        batch: &mut Batch,
        claims: &mut Claims,
    ) -> Result<()> {
        claims.options.insert(id, options.clone());
        if self.is_new(id, claims) {
            self.store(id, seq, batch, claims);
        } else if let Some(name) = self.name(id) {
            batch.push(&CATALOG, &entry::collection_key(&name), Some(&options.to_entry(id)));
        }
        // What decides is the index that there is, not the ttl of before: salvage may have lost one of them.
        let expiry = options.ttl.clone().map(Expiry::from).unwrap_or_default();
        let table = self.indexes_after(claims);
        match table.expiry_of(id) {
            Some(index) if index.expiry.as_ref() == Some(&expiry) => return Ok(()),
            // Without a field, too: records may carry moments of their own.
            Some(index) => {
                let mut left = IndexTable::clone(&table);
                self.remove_index(index, &mut left, batch, claims);
                claims.indexes = Some(Arc::new(left));
            }
            None if expiry.field.is_none() => return Ok(()),
            None => {}
        }
        let since = self.is_fresh(id, seq, claims).then_some(seq);
        self.create_expiry(id, expiry, since, batch, claims)?;
        // Whoever reads a state before this commit goes by the expiry index of that state.
        let mut table = IndexTable::clone(&self.indexes_after(claims));
        table.note_ttl_change(id, seq);
        claims.indexes = Some(Arc::new(table));
        Ok(())
    }

    fn create_expiry(
        &self,
        collection: CollectionId,
        expiry: Expiry,
        since: Option<Seq>,
        batch: &mut Batch,
        claims: &mut Claims,
    ) -> Result<()> {
        let id = IndexId::new(self.take_id(batch, claims)?.get());
        let (definition, expiry) = (IndexDefinition::of_expiry(), Some(expiry));
        let index = Index { id, collection, definition, since, expiry };
        batch.push(&CATALOG, &entry::index_key(&index), Some(&entry::index_entry(&index)));
        let mut table = IndexTable::clone(&self.indexes_after(claims));
        table.insert(Arc::new(index));
        claims.indexes = Some(Arc::new(table));
        Ok(())
    }

    fn drop_collection(&self, id: CollectionId, seq: Seq, batch: &mut Batch, claims: &mut Claims) {
        let table = self.indexes_after(claims);
        let mut left = IndexTable::clone(&table);
        for index in table.all_of(id) {
            self.remove_index(index, &mut left, batch, claims);
        }
        if table.expiry_of(id).is_some() {
            left.note_ttl_change(id, seq);
        }
        claims.indexes = Some(Arc::new(left));
        if let Some(kept) = self.retention_after(id, claims) {
            retire(id.get(), kept, batch, claims);
        }
        if let Some(name) = self.name(id).filter(|_| !planted::active(Bug::DroppedNameStays)) {
            batch.push(&CATALOG, &entry::collection_key(&name), None);
        }
        if !planted::active(Bug::DroppedRecordsStay) {
            batch.delete_range(KeyRange::prefix(&id.prefix()));
        }
        // Nobody watches one that was never stored.
        if !self.is_new(id, claims) {
            batch.note_drop(id);
        }
        claims.dropped.insert(id);
    }

    fn create_index(
        &self,
        collection: CollectionId,
        definition: &IndexDefinition,
        seq: Seq,
        batch: &mut Batch,
        claims: &mut Claims,
    ) -> Result<()> {
        let table = self.indexes_after(claims);
        if let Some(index) = table.find(collection, definition.name()) {
            return if index.definition == *definition { Ok(()) } else { Err(exists(&index.definition)) };
        }
        let count = table.of(collection).len() + 1;
        if count > MAX_INDEXES {
            return Err(Error::too_many("indexes of a collection", count, MAX_INDEXES));
        }
        // A collection that nothing was ever written to has nothing to be indexed.
        let since = self.is_fresh(collection, seq, claims).then_some(seq);
        self.store(collection, seq, batch, claims);
        let id = IndexId::new(self.take_id(batch, claims)?.get());
        let index = Index { id, collection, definition: definition.clone(), since, expiry: None };
        batch.push(&CATALOG, &entry::index_key(&index), Some(&entry::index_entry(&index)));
        let mut table = IndexTable::clone(&table);
        table.insert(Arc::new(index));
        claims.indexes = Some(Arc::new(table));
        Ok(())
    }

    fn remove_index(&self, index: &Index, table: &mut IndexTable, batch: &mut Batch, claims: &mut Claims) {
        batch.push(&CATALOG, &entry::index_key(index), None);
        batch.push(&CATALOG, &entry::progress_key(index.id), None);
        if !planted::active(Bug::DroppedEntriesStay) {
            batch.delete_range(KeyRange::prefix(&index.id.prefix()));
        }
        table.remove(index.id);
        if let Some(kept) = self.retention_after(index.collection, claims) {
            retire(index.id.get(), kept.of_entries(), batch, claims);
        }
    }

    fn retention_after(&self, id: CollectionId, claims: &Claims) -> Option<CollectionRetention> {
        self.options_after(id, claims).retention
    }

    /// The options of a collection after what the group has changed so far.
    fn options_after(&self, id: CollectionId, claims: &Claims) -> CollectionOptions {
        let options = claims.options.get(&id).cloned();
        let stored = || lock(&self.state).entries.get(&id).map(|entry| entry.options.clone());
        options.or_else(stored).unwrap_or_default()
    }

    /// Whether neither storage nor the group has the collection.
    fn is_new(&self, id: CollectionId, claims: &Claims) -> bool {
        let stored = lock(&self.state).entries.get(&id).is_some_and(|entry| entry.stored);
        !stored && !claims.ids.contains(&id)
    }

    /// Whether nothing was in the collection before the commit with this sequence.
    fn is_fresh(&self, id: CollectionId, seq: Seq, claims: &Claims) -> bool {
        self.is_new(id, claims) || claims.created.get(&id) == Some(&seq)
    }

    /// Stores the entry of a collection if it is new.
    fn store(&self, id: CollectionId, seq: Seq, batch: &mut Batch, claims: &mut Claims) {
        if self.is_new(id, claims) {
            claims.created.insert(id, seq);
        }
        self.claim(&[id], batch, claims);
    }

    /// An id that nothing has yet, and that nothing else will get.
    fn take_id(&self, batch: &mut Batch, claims: &mut Claims) -> Result<CollectionId> {
        let mut state = lock(&self.state);
        let id = state.take_id()?;
        let next = id.get().saturating_add(1).max(claims.next.unwrap_or(state.stored_next));
        if !planted::active(Bug::NumberGivenTwice) {
            batch.push(&CATALOG, &NEXT_ID_KEY, Some(&next.to_le_bytes()));
        }
        claims.next = Some(next);
        Ok(id)
    }
}

/// Lets a keyspace that is dropped keep its rule: its old versions outlive it.
fn retire(keyspace: u32, kept: CollectionRetention, batch: &mut Batch, claims: &mut Claims) {
    hit(Mark::RuleOutlivedKeyspace);
    let value = kept.to_json().to_string();
    batch.push(&CATALOG, &entry::dropped_key(keyspace), Some(value.as_bytes()));
    claims.retired.push((keyspace, kept));
}

/// There is no index of this name.
pub(crate) fn no_index(name: &str) -> Error {
    Error::new(ErrorCode::NoIndex, format!("there is no index {name}"))
        .with(|details| details.index = Some(name.to_owned()))
}

fn exists(definition: &IndexDefinition) -> Error {
    let name = definition.name();
    let other = serde_json::Value::Object(definition.to_json());
    Error::new(ErrorCode::Exists, format!("there is another index {name} already, defined as {other}"))
        .with(|details| details.index = Some(name.to_owned()))
}
