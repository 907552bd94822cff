//! Collections and indexes of an open store: what there is, what comes and goes, and reads through indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use fountain_lsm::{Direction, Durability, KeyRange, ReadTier, Seq};

use crate::catalog::{Catalog, CollectionOptions, CollectionSetting, no_index};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{lives, moment};
use crate::index::{
    self, Bounds, BuildStatus, Index, IndexDefinition, IndexId, IndexScan, IndexScanEnd, Place,
};
use crate::keyspace::CollectionId;
use crate::page::Page;
use crate::record::Value;
use crate::store::Store;
use crate::view::View;
use crate::write_set::WriteSet;

/// A collection as the catalog has it.
#[derive(Clone, Debug)]
pub struct CollectionInfo {
    /// Its id.
    pub id: CollectionId,
    /// What is set about it.
    pub options: CollectionOptions,
    /// Its indexes, by name.
    pub indexes: Vec<Arc<Index>>,
}

impl Store {
    /// What the catalog says about a collection; `None` if nothing was ever written to it, or it was dropped.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn collection_info(&self, name: &str) -> Result<Option<CollectionInfo>> {
        let _pass = self.inner.enter("describing a collection")?;
        let Some((id, options)) = self.inner.catalog.stored(name) else { return Ok(None) };
        let indexes = self.inner.catalog.indexes().of(id).to_vec();
        Ok(Some(CollectionInfo { id, options, indexes }))
    }

    /// The id of a collection that was written to or whose id was asked for; `None` uses up no id.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`, `ERR_CLOSED`.
    pub fn known_collection(&self, name: &str) -> Result<Option<CollectionId>> {
        let _pass = self.inner.enter("looking for a collection")?;
        self.inner.catalog.known(name)
    }

    /// The id of the collection that had a name at a sequence, dropped since then or not; its records can be read at that
    /// sequence. Where the history of the catalog does not go back so far, the one that has the name now.
    ///
    /// # Errors
    /// `ERR_INVALID_NAME`, `ERR_SEQUENCE`, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`.
    pub fn collection_at(&self, name: &str, at: Seq) -> Result<Option<CollectionId>> {
        let _pass = self.inner.enter("looking for a collection")?;
        match Catalog::id_at(self.inner.kv.as_ref(), name, at) {
            Err(error) if error.code == ErrorCode::HistoryTruncated => self.inner.catalog.known(name),
            found => found,
        }
    }

    /// The collections that there were at a sequence.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED`, `ERR_SEQUENCE`, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`.
    pub fn collections_at(&self, at: Seq) -> Result<BTreeMap<CollectionId, String>> {
        let _pass = self.inner.enter("listing collections")?;
        Catalog::names_at(self.inner.kv.as_ref(), at)
    }

    /// Stores a collection before anything is written to it, with options.
    ///
    /// # Errors
    /// `ERR_EXISTS` for one that is there with other options; as [`Store::collection`] and [`Store::commit`].
    pub fn create_collection(
        &self,
        name: &str,
        options: CollectionOptions,
        durability: Durability,
    ) -> Result<CollectionId> {
        let id = self.collection(name)?;
        let mut writes = WriteSet::new();
        writes.create_collection(id, options);
        self.commit(writes, durability)?;
        Ok(id)
    }

    /// Changes some options of a collection, as [`WriteSet::alter_collection`] does: of two changes at once neither is lost.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` if the catalog has none of this name; `ERR_DEFINITION` for a declared schema version where another one
    /// is set; as [`Store::commit`].
    pub fn alter_collection(
        &self,
        name: &str,
        settings: Vec<CollectionSetting>,
        durability: Durability,
    ) -> Result<Seq> {
        let info = self.collection_info(name)?.ok_or_else(|| no_collection(name))?;
        let mut writes = WriteSet::new();
        writes.alter_collection(info.id, settings);
        self.commit(writes, durability)
    }

    /// Drops a collection, as [`WriteSet::drop_collection`] does.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` if the catalog has none of this name; as [`Store::commit`].
    pub fn drop_collection(&self, name: &str, durability: Durability) -> Result<Seq> {
        let info = self.collection_info(name)?.ok_or_else(|| no_collection(name))?;
        let mut writes = WriteSet::new();
        writes.drop_collection(info.id);
        self.commit(writes, durability)
    }

    /// Defines an index, as [`WriteSet::create_index`] does, and returns its id; see [`Store::build_status`] for when it
    /// is ready.
    ///
    /// # Errors
    /// `ERR_EXISTS` for another index of the same name, `ERR_LIMIT`; as [`Store::commit`].
    pub fn create_index(
        &self,
        collection: CollectionId,
        definition: IndexDefinition,
        durability: Durability,
    ) -> Result<IndexId> {
        let name = definition.name().to_owned();
        let known = self.inner.catalog.indexes().find(collection, &name).cloned();
        if known.is_none_or(|index| index.definition != definition) {
            let mut writes = WriteSet::new();
            writes.create_index(collection, definition);
            self.commit(writes, durability)?;
        }
        match self.index(collection, &name) {
            // It may have been built, and failed, and been dropped already.
            Err(error) => self.inner.builder.find_failed(collection, &name).ok_or(error),
            Ok(index) => Ok(index.id),
        }
    }

    /// Drops an index, as [`WriteSet::drop_index`] does.
    ///
    /// # Errors
    /// `ERR_NO_INDEX`; as [`Store::commit`].
    pub fn drop_index(&self, collection: CollectionId, name: &str, durability: Durability) -> Result<Seq> {
        let mut writes = WriteSet::new();
        writes.drop_index(collection, name);
        self.commit(writes, durability)
    }

    /// The index with this name.
    ///
    /// # Errors
    /// `ERR_NO_INDEX`, `ERR_CLOSED`.
    pub fn index(&self, collection: CollectionId, name: &str) -> Result<Arc<Index>> {
        let _pass = self.inner.enter("describing an index")?;
        let index = self.inner.catalog.indexes().find(collection, name).cloned();
        index.ok_or_else(|| self.in_collection(no_index(name), collection))
    }

    /// How an index is doing; `None` if it was dropped. Why one could not be built is known until the store is closed.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn build_status(&self, id: IndexId) -> Result<Option<BuildStatus>> {
        let _pass = self.inner.enter("describing an index")?;
        Ok(self.inner.builder.status(id))
    }

    /// Goes on with the build of an index whose keys the program computes, after it has put them where they were missing.
    ///
    /// # Errors
    /// `ERR_CLOSED`.
    pub fn resume_index(&self, id: IndexId) -> Result<()> {
        let _pass = self.inner.enter("building an index")?;
        self.inner.builder.resume(id);
        Ok(())
    }

    /// Waits until an index is ready, could not be built or was dropped, or the store closes. Blocking.
    ///
    /// # Errors
    /// Why it could not be built; `ERR_DEFINITION` when records lack what the program computes; `ERR_NO_INDEX` when it was dropped, `ERR_CLOSED`.
    pub fn wait_for_index(&self, id: IndexId) -> Result<()> {
        self.check_not_commit_thread("wait_for_index")?;
        // Closing stops the builder, and with it this wait, before it waits for the calls in flight.
        let _pass = self.inner.enter("waiting for an index")?;
        match self.inner.builder.wait(id) {
            Some(BuildStatus::Ready) => Ok(()),
            Some(BuildStatus::Failed(error)) => Err(error),
            Some(BuildStatus::Building { trouble: Some(error), .. })
                if error.code == ErrorCode::Definition =>
            {
                Err(error)
            }
            Some(BuildStatus::Building { .. }) => Err(Error::closed()),
            None => Err(no_index(&id.to_string())),
        }
    }

    /// Fills `page`, which is cleared first, with the first records that `request` asks for, and says whether more may
    /// follow. With `tier` memory the page holds what memory has of them.
    ///
    /// A state in which the index was not complete yet is answered from the records themselves: right, but as slow as
    /// reading the whole collection.
    ///
    /// # Errors
    /// `ERR_NO_INDEX`, `ERR_INDEX_BUILDING`, `ERR_INVALID_ARGUMENT` for bounds of more values than the index has paths; as
    /// [`Store::scan`].
    pub fn scan_index(&self, request: &IndexScan, tier: ReadTier, page: &mut Page) -> Result<IndexScanEnd> {
        page.clear();
        let _pass = self.inner.enter("reading an index")?;
        let end = self.try_scan_index(request, tier, page);
        let end = end.map_err(|error| self.in_collection(error, request.collection))?;
        self.inner.counters.index_reads.add(1);
        Ok(end)
    }

    fn try_scan_index(&self, request: &IndexScan, tier: ReadTier, page: &mut Page) -> Result<IndexScanEnd> {
        self.check_own(&request.at)?;
        if self.try_fill_single(request, tier, page)? {
            return Ok(IndexScanEnd::Done);
        }
        let kv = self.inner.kv.as_ref();
        // Before the pin: what expires meanwhile may be seen, what is renewed meanwhile may not be missed.
        let now = moment(self.inner.clock.now());
        // Entries and records must be those of one state, which has to be chosen before the index is looked up: an index
        // that is dropped is out of the catalog before it is empty.
        let pin = matches!(request.at, View::Newest).then(|| kv.pin(None)).transpose()?;
        let live = match &pin {
            Some(pin) => self.inner.live_at(request.collection, now, Some(pin.seq()), tier)?,
            None => self.inner.live(request.collection, &request.at, tier)?,
        };
        let view = match (&request.at, &pin) {
            (_, Some(pin)) => View::At(pin.seq()),
            (View::Transaction(transaction), None) => View::Transaction(transaction.frozen()),
            (view, None) => view.clone(),
        };
        let table = self.inner.catalog.indexes();
        let index = table.find(request.collection, &request.index).ok_or_else(|| no_index(&request.index))?;
        request.bounds.check_values(&index.definition)?;
        let live = live.as_ref();
        let place = Place { kv, shapes: &self.inner.shapes, view: &view, tier, live };
        index::fill_page(place, index, request, page)
    }

    /// Answers a scan that is the read of one record at once; `false` if it is none, or if it has to be read the long way.
    fn try_fill_single(&self, request: &IndexScan, tier: ReadTier, page: &mut Page) -> Result<bool> {
        let table = self.inner.catalog.current_indexes();
        let index = table.find(request.collection, &request.index);
        let Some(index) = index.filter(|index| index::is_single(index, request)) else { return Ok(false) };
        // In the same order as in `get`.
        let live = self.inner.live(request.collection, &View::Newest, tier)?;
        let filled = index::fill_single(self.inner.kv.as_ref(), index, request, live.as_ref(), tier, page);
        let is_there_still = self.inner.catalog.current_indexes().get(index.id).is_some();
        if is_there_still {
            return filled.map(|()| true);
        }
        page.clear();
        Ok(false)
    }

    /// The records whose key in an index is `key`, one value for each of its first paths, in the order of record keys. For
    /// many of them use [`Store::scan_index`], which this fills one page of.
    ///
    /// # Errors
    /// As [`Store::scan_index`]; `ERR_INVALID_ARGUMENT` for what is no key.
    pub fn find(
        &self,
        collection: CollectionId,
        index: &str,
        key: &[Value],
        at: impl Into<View>,
        max_records: usize,
    ) -> Result<Page> {
        let request = IndexScan {
            collection,
            index: index.to_owned(),
            bounds: Bounds::equal(key)?,
            direction: Direction::Forward,
            at: at.into(),
            after: None,
            max_records,
            max_bytes: usize::MAX,
        };
        let mut page = Page::new();
        self.scan_index(&request, ReadTier::Disk, &mut page)?;
        Ok(page)
    }

    /// How many records a collection has, by counting them: as slow as reading all their keys.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn count_records(&self, collection: CollectionId, at: impl Into<View>) -> Result<u64> {
        let view = at.into();
        let _pass = self.inner.enter("counting")?;
        self.check_own(&view)?;
        let live = self.inner.live(collection, &view, ReadTier::Disk)?;
        let range = collection.storage_range(&KeyRange::default());
        let counted = view.cursor(self.inner.kv.as_ref(), range, Direction::Forward, ReadTier::Disk);
        let counted = counted.and_then(|mut cursor| {
            let mut count = 0;
            while cursor.next()? {
                count += u64::from(lives(live.as_ref(), cursor.value())?);
            }
            Ok(count)
        });
        counted.map_err(|error| self.in_collection(error, collection))
    }
}

fn no_collection(name: &str) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is no collection {name}"))
        .with(|details| details.collection = Some(name.to_owned()))
}
