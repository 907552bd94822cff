//! Proves the documents of a store whose files are sound: that the catalog and the shapes can be read, that every record can,
//! and that indexes hold what the records say and nothing else.
//!
//! Each record is asked for the entries that it should have, and each of these is looked up. If that many are in the index it
//! holds no others, as no two records have the same entry; only if not, every entry is followed to its record. An index that
//! is being built need not have the entries of records behind the position of its build, but no others.

use std::sync::Arc;

use fountain_lsm::{KeyRange, Preview};

use super::contents::{ContentFault, ContentFaultCode as Code, ContentReport};
use crate::catalog::Catalog;
use crate::document::check_stored;
use crate::envelope;
use crate::error::{ErrorCode, Result};
use crate::index::entries::Entries;
use crate::index::{Index, show_tuple};
use crate::keys;
use crate::keyspace::{CollectionId, unknown_keys};
use crate::limits::KEYSPACE_BYTES;
use crate::own::{read_catalog, read_shapes, refuse_unknown};
use crate::record::{self, Reader, ShapeList};

/// Looks at everything that is in a store.
///
/// # Errors
/// `ERR_NEWER_FORMAT` for a catalog with what this version does not know, and what reading storage can fail with.
pub(super) fn check(preview: &Preview) -> Result<ContentReport> {
    refuse_unknown(&mut preview.cursor(unknown_keys()))?;
    let mut report = ContentReport::default();
    let catalog = unless_damaged(Code::Catalog, read_catalog(preview), &mut report)?;
    let shapes = unless_damaged(Code::Shapes, read_shapes(preview), &mut report)?;
    // Without them nothing can be said of the rest.
    let (Some(catalog), Some(shapes)) = (catalog, shapes) else { return Ok(report) };
    let mut check = Check { preview, catalog: &catalog, shapes: shapes.list(), report };
    for (id, name) in catalog.all_names() {
        check.collection(id, &name)?;
    }
    check.keyspaces()?;
    Ok(check.report)
}

/// What was read, unless that it is damaged belongs into the report.
fn unless_damaged<T>(code: Code, read: Result<T>, report: &mut ContentReport) -> Result<Option<T>> {
    match read {
        Err(error) if error.code == ErrorCode::Corrupt && error.details.path.is_none() => {
            let found = error.message;
            report.add(ContentFault { code, collection: None, index: None, key: None, found });
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// A check under way.
struct Check<'a> {
    preview: &'a Preview,
    catalog: &'a Catalog,
    shapes: ShapeList,
    report: ContentReport,
}

/// An index that is being checked.
struct Checked {
    index: Arc<Index>,
    /// While it is being built, the key of the last record that the build has passed; empty before the first.
    built_upto: Option<Vec<u8>>,
    /// Entries that the records have in it.
    right: u64,
}

/// Where a fault is.
struct Place<'a> {
    collection: &'a str,
    index: Option<&'a Index>,
    /// The key of a record.
    key: &'a [u8],
}

impl Checked {
    /// Whether a record must have its entries.
    fn covers(&self, record_key: &[u8]) -> bool {
        self.built_upto.as_ref().is_none_or(|last| record_key <= &last[..])
    }
}

impl Check<'_> {
    /// Checks the records of a collection and its indexes.
    fn collection(&mut self, id: CollectionId, name: &str) -> Result<()> {
        self.report.collections += 1;
        let mut indexes = Vec::new();
        for index in self.catalog.indexes().all_of(id) {
            let built_upto = if index.since.is_some() { None } else { Some(self.position(name, index)?) };
            indexes.push(Checked { index: Arc::clone(index), built_upto, right: 0 });
        }
        let mut cursor = self.preview.cursor(id.storage_range(&KeyRange::default()));
        let mut entries = Entries::default();
        while cursor.next()? {
            self.report.records += 1;
            let key = cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
            let place = Place { collection: name, index: None, key };
            match self.readable(key, cursor.value()) {
                Ok(()) => self.entries_of(&place, cursor.value(), &mut indexes, &mut entries)?,
                Err(error) => self.fault(Code::Record, &place, error.message),
            }
        }
        indexes.iter().try_for_each(|checked| self.index(name, checked))
    }

    /// The key of the last record that the build of an index has passed; empty before the first.
    fn position(&mut self, collection: &str, index: &Index) -> Result<Vec<u8>> {
        let stored = self.preview.get(&Catalog::progress_storage_key(index.id))?;
        let position =
            stored.map(|stored| Catalog::read_progress(&stored)).transpose().unwrap_or_else(|error| {
                let place = Place { collection, index: Some(index), key: &[] };
                self.fault(Code::Catalog, &place, error.message);
                None
            });
        Ok(position.filter(|(records, _)| *records > 0).map(|(_, last)| last).unwrap_or_default())
    }

    fn readable(&self, key: &[u8], stored: &[u8]) -> Result<()> {
        keys::validate(key)?;
        check_stored(stored)?;
        let parts = envelope::open(stored);
        parts.values.map_or(Ok(()), |values| record::check(values, &self.shapes))?;
        record::check(parts.document, &self.shapes)
    }

    /// Looks up the entries of a record.
    fn entries_of(
        &mut self,
        place: &Place<'_>,
        stored: &[u8],
        indexes: &mut [Checked],
        entries: &mut Entries,
    ) -> Result<()> {
        let shapes = Arc::clone(&self.shapes);
        let record = Reader::new(stored, &shapes)?;
        for checked in indexes {
            let index = Arc::clone(&checked.index);
            let place = Place { index: Some(&index), ..*place };
            if let Err(error) = entries.fill(&index, place.key, &record) {
                // A build that meets it will fail, which is no fault.
                if checked.built_upto.is_none() {
                    self.fault(Code::Record, &place, error.message);
                }
                continue;
            }
            for (key, exclusive) in entries.iter() {
                let found = self.preview.get(&[&index.id.prefix()[..], key].concat())?;
                let expected: &[u8] = if exclusive { place.key } else { b"" };
                match found {
                    Some(found) if *found == *expected => checked.right += 1,
                    _ if !checked.covers(place.key) => {}
                    Some(found) if exclusive => {
                        let holder = show_tuple(&found, 1);
                        let found = format!("its key is held by record {holder}");
                        self.fault(Code::Unique, &place, found);
                    }
                    Some(_) => self.fault(Code::MissingEntry, &place, "an entry with another value".into()),
                    None => self.fault(Code::MissingEntry, &place, "no entry".into()),
                }
            }
        }
        Ok(())
    }

    /// Counts the entries of an index, and follows them if there are others than those that records have.
    fn index(&mut self, collection: &str, checked: &Checked) -> Result<()> {
        let range = KeyRange::prefix(&checked.index.id.prefix());
        let mut cursor = self.preview.cursor(range.clone());
        let mut count = 0;
        while cursor.next()? {
            count += 1;
        }
        self.report.index_entries += count;
        if count == checked.right {
            return Ok(());
        }
        let (mut cursor, mut entries) = (self.preview.cursor(range), Entries::default());
        while cursor.next()? {
            let entry = cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
            let record_key = match checked.index.record_key(entry, cursor.value()) {
                Ok(record_key) => record_key,
                Err(error) => {
                    let place = Place { collection, index: Some(&checked.index), key: b"" };
                    self.fault(Code::StrayEntry, &place, error.message);
                    continue;
                }
            };
            let place = Place { collection, index: Some(&checked.index), key: record_key };
            if let Some(found) = self.stray(&checked.index, entry, record_key, &mut entries)? {
                self.fault(Code::StrayEntry, &place, found.to_owned());
            }
        }
        Ok(())
    }

    /// What is wrong with an entry that leads to a record, if anything is.
    fn stray(
        &self,
        index: &Index,
        entry: &[u8],
        record_key: &[u8],
        entries: &mut Entries,
    ) -> Result<Option<&'static str>> {
        let Some(stored) = self.preview.get(&index.collection.storage_key(record_key))? else {
            return Ok(Some("an entry that leads to no record"));
        };
        // A record that cannot be read, or not be indexed, is a fault of its own.
        if self.readable(record_key, &stored).is_err() {
            return Ok(None);
        }
        let record = Reader::new(&stored, &self.shapes)?;
        if entries.fill(index, record_key, &record).is_err() || entries.iter().any(|(key, _)| key == entry) {
            return Ok(None);
        }
        Ok(Some("an entry that the record does not have"))
    }

    /// Whether everything belongs to something.
    fn keyspaces(&mut self) -> Result<()> {
        let mut next = Some(CollectionId::FIRST);
        while let Some(from) = next {
            let mut cursor = self.preview.cursor(KeyRange { start: from.prefix().to_vec(), end: None });
            if !cursor.next()? {
                break;
            }
            let Some(id) = CollectionId::of_storage_key(cursor.key()) else { break };
            if !self.catalog.has_keyspace(id) {
                let found = format!("keyspace {id} belongs to no collection and no index");
                let code = Code::Keyspace;
                self.report.add(ContentFault { code, collection: None, index: None, key: None, found });
            }
            next = id.get().checked_add(1).and_then(CollectionId::new);
        }
        Ok(())
    }

    fn fault(&mut self, code: Code, place: &Place<'_>, found: String) {
        let key = keys::validate(place.key).is_ok().then(|| show_tuple(place.key, 1));
        let index = place.index.map(|index| index.definition.name().to_owned());
        self.report.add(ContentFault {
            code,
            collection: Some(place.collection.to_owned()),
            index,
            key,
            found,
        });
    }
}
