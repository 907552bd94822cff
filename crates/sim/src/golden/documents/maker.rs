//! Makes a document store in memory and writes down what it must say.

use std::path::Path;
use std::sync::Arc;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::from_json;
use fountain_engine::{
    CollectionId, CollectionOptions, Durability, IndexDefinition, ManualClock, Store, StoreOptions,
    Timestamp, WriteSet, expiring, with_values,
};
use serde_json::json;

use super::compare::compare;
use super::expected::{Collection, Expected};
use crate::Outcome;
use crate::disk::SimFs;
use crate::golden::maker::image;
use crate::golden::{Image, STORE, disk_with};

/// When all stores are made.
const BIRTH: u64 = 1_800_000_000_000;

/// Options to open a golden document store with, at a time.
pub fn options(fs: &SimFs, now: u64) -> StoreOptions {
    StoreOptions {
        fs: Arc::new(fs.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::from_millis(now))),
        sweep_every: None,
        read_threads: 1,
        cache_bytes: 0,
        ..StoreOptions::default()
    }
}

/// What is put beside a document.
#[derive(Clone, Copy)]
pub(super) enum Beside<'a> {
    Nothing,
    /// The time at which the record expires, in milliseconds after the store was made.
    Expires(u64),
    /// What the program computed for indexes, as JSON.
    Values(&'a str),
}

/// A store under construction.
pub(super) struct Maker {
    fs: SimFs,
    store: Option<Store>,
    expected: Expected,
}

impl Maker {
    /// A new store.
    pub(super) fn new(about: &str) -> Outcome<Self> {
        let fs = SimFs::default();
        let expected = Expected { about: about.to_owned(), now: BIRTH, ..Expected::default() };
        let mut maker = Self { fs, store: None, expected };
        maker.open()?;
        Ok(maker)
    }

    fn open(&mut self) -> Outcome<()> {
        self.store = Some(Store::open(Path::new(STORE), options(&self.fs, self.expected.now))?);
        Ok(())
    }

    pub(super) fn store(&self) -> Outcome<&Store> {
        self.store.as_ref().ok_or_else(|| "the store is closed".into())
    }

    /// Makes a collection, with options as JSON.
    pub(super) fn create(&mut self, name: &str, with: &str) -> Outcome<()> {
        let mut options = CollectionOptions::default();
        options.update(&serde_json::from_str(with)?)?;
        let expires = options.ttl.is_some();
        let latest_only = options.retention.is_some();
        let id = self.store()?.create_collection(name, options, Durability::Disk)?;
        let since = self.store()?.sequence().get();
        let collection =
            Collection { name: name.to_owned(), since, expires, latest_only, ..Collection::default() };
        self.expected.collections.insert(id.get(), collection);
        Ok(())
    }

    /// One commit: documents as JSON, or nothing for a deletion.
    pub(super) fn commit(&mut self, name: &str, writes: &[(&str, Option<&str>)]) -> Outcome<()> {
        let writes: Vec<_> =
            writes.iter().map(|(key, document)| (*key, *document, Beside::Nothing)).collect();
        self.commit_with(name, &writes)
    }

    /// As [`Maker::commit`], with something beside the documents.
    pub(super) fn commit_with(
        &mut self,
        name: &str,
        writes: &[(&str, Option<&str>, Beside<'_>)],
    ) -> Outcome<()> {
        let store = self.store()?;
        let id = store.collection(name)?;
        let mut set = WriteSet::new();
        for (key, document, beside) in writes {
            let key = encode(&Key::String((*key).to_owned()))?;
            let Some(document) = document else {
                set.delete(id, &key)?;
                continue;
            };
            let record = store.encode(&from_json(document)?)?;
            let record = match beside {
                Beside::Nothing => record,
                Beside::Expires(after) => expiring(&record, Timestamp::from_millis(BIRTH + after)),
                Beside::Values(values) => with_values(&record, &store.encode(&from_json(values)?)?),
            };
            set.put(id, &key, &record)?;
        }
        let seq = store.commit(set, Durability::Disk)?.get();
        let collection = self.collection(id, name, seq);
        for (key, document, beside) in writes {
            collection.expires |= matches!(beside, Beside::Expires(_));
            let versions = collection.records.entry((*key).to_owned()).or_default();
            versions.push((seq, document.map(str::to_owned)));
        }
        Ok(())
    }

    fn collection(&mut self, id: CollectionId, name: &str, since: u64) -> &mut Collection {
        let new = || Collection { name: name.to_owned(), since, ..Collection::default() };
        self.expected.collections.entry(id.get()).or_insert_with(new)
    }

    /// Defines an index and waits until it is built; its entries lead to these records, in this order, from now on.
    pub(super) fn index(&mut self, of: &str, definition: IndexDefinition) -> Outcome<()> {
        let store = self.store()?;
        let id = store.create_index(store.collection(of)?, definition, Durability::Disk)?;
        store.wait_for_index(id)?;
        Ok(())
    }

    /// Drops an index.
    pub(super) fn drop_index(&mut self, of: &str, name: &str) -> Outcome<()> {
        let store = self.store()?;
        store.drop_index(store.collection(of)?, name, Durability::Disk)?;
        Ok(())
    }

    /// Drops a collection.
    pub(super) fn drop(&mut self, name: &str) -> Outcome<()> {
        let id = self.store()?.collection(name)?;
        let seq = self.store()?.drop_collection(name, Durability::Disk)?.get();
        self.collection(id, name, seq).dropped = Some(seq);
        Ok(())
    }

    /// What the entries of an index lead to when the store is finished.
    pub(super) fn expect(&mut self, of: &str, index: &str, keys: &[&str]) -> Outcome<()> {
        let id = self.store()?.collection(of)?;
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self.collection(id, of, 0).indexes.insert(index.to_owned(), keys);
        Ok(())
    }

    /// What has expired when the store is finished, so many milliseconds after it was made.
    pub(super) fn expire(&mut self, of: &str, after: u64, keys: &[&str]) -> Outcome<()> {
        let id = self.store()?.collection(of)?;
        self.expected.now = BIRTH + after;
        self.collection(id, of, 0).expired = keys.iter().map(|key| (*key).to_owned()).collect();
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Outcome<()> {
        Ok(self.store()?.flush()?)
    }

    pub(super) fn compact(&mut self) -> Outcome<()> {
        Ok(self.store()?.compact()?)
    }

    /// The store when it was closed, or as a process leaves it that is killed, and what it must say. That it does say so
    /// is seen to.
    pub(super) fn finish(mut self, clean: bool) -> Outcome<(Image, Expected)> {
        self.expected.clean = clean;
        self.expected.sequence = self.store()?.sequence().get();
        if clean {
            self.store()?.close()?;
        }
        // Before the store ends, which would close it.
        let files = image(&self.fs.disk(), Path::new(STORE));
        self.store = None;
        self.fs = SimFs::new(disk_with(&files));
        self.open()?;
        let noticed = compare(self.store()?, &self.expected, 0..=self.expected.sequence)?;
        if noticed.is_empty() { Ok((files, self.expected)) } else { Err(json!(noticed).to_string().into()) }
    }
}
