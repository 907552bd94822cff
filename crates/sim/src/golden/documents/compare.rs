//! Holds an open document store against what it must say: every answer is right, or an error that says why there is none.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use fountain_engine::keys::{Key, decode};
use fountain_engine::{
    Bounds, CollectionId, Direction, Error, ErrorCode, IndexScan, ReadTier, Seq, Store, View,
};

use super::expected::{Collection, Expected};
use crate::pages;

/// An error instead of an answer, in words.
pub type Noticed = String;

/// Records of a page; few, so that there are several.
const PAGE: usize = 4;

/// Compares everything as of these sequences, the last of which is the newest. Gives back which answers were errors because
/// of damage; any other error, and any wrong answer, is the complaint.
///
/// # Errors
/// The first complaint.
pub fn compare(
    store: &Store,
    expected: &Expected,
    sequences: RangeInclusive<u64>,
) -> Result<Vec<Noticed>, String> {
    let (from, last) = sequences.into_inner();
    let mut comparison = Comparison { store, expected, from, last, noticed: Vec::new() };
    comparison.names()?;
    for (&id, collection) in &expected.collections {
        let id = CollectionId::new(id).ok_or("no number of a collection")?;
        comparison.past(id, collection)?;
        if collection.is_there(last) {
            comparison.newest(id, collection)?;
        }
    }
    Ok(comparison.noticed)
}

struct Comparison<'a> {
    store: &'a Store,
    expected: &'a Expected,
    from: u64,
    last: u64,
    noticed: Vec<Noticed>,
}

impl Comparison<'_> {
    /// The answer, or nothing where damage was noticed.
    fn answer<T>(&mut self, what: &str, found: Result<T, Error>) -> Result<Option<T>, String> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.code, ErrorCode::Corrupt | ErrorCode::Io) => {
                self.noticed.push(format!("{what}: {error}"));
                Ok(None)
            }
            Err(error) => Err(format!("{what}: {}: {error}", error.code)),
        }
    }

    /// Which collections there are as of every sequence.
    fn names(&mut self) -> Result<(), String> {
        for at in self.from..=self.last {
            let found = self.store.collections_at(sequence(at)?);
            let Some(found) = self.answer("the collections", found)? else { continue };
            let found: BTreeMap<u32, String> = found.into_iter().map(|(id, name)| (id.get(), name)).collect();
            let there = self.expected.collections.iter().filter(|(_, collection)| collection.is_there(at));
            let expected = there.map(|(id, collection)| (*id, collection.name.clone())).collect();
            same(&format!("the collections as of {at}"), &found, &expected)?;
        }
        Ok(())
    }

    /// The records of a collection as of every sequence at which it was there.
    fn past(&mut self, id: CollectionId, collection: &Collection) -> Result<(), String> {
        let from = self.from.max(collection.since);
        for at in (from..=self.last).filter(|at| collection.is_there(*at) && !collection.expires) {
            let what = format!("{} as of {at}", collection.name);
            match self.scan(id, View::At(sequence(at)?)) {
                Err(error) if error.code == ErrorCode::HistoryTruncated && collection.latest_only => {}
                found => {
                    if let Some(found) = self.answer(&what, found)? {
                        same(&what, &found, &owned(&collection.records_at(at)))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The newest state of a collection: by scan, by key, and by its indexes, if these have all commits.
    fn newest(&mut self, id: CollectionId, collection: &Collection) -> Result<(), String> {
        let live = owned(&collection.live_at(self.last));
        let what = format!("{} now", collection.name);
        let found = self.scan(id, View::Newest);
        // Of what expires later by a commit that is not there, nobody knows.
        let is_whole = self.last == self.expected.sequence;
        if let Some(found) = self.answer(&what, found)?.filter(|_| is_whole || !collection.expires) {
            same(&what, &found, &live)?;
        }
        for key in collection.records.keys().filter(|_| is_whole || !collection.expires) {
            let found = self.get(id, key);
            if let Some(found) = self.answer(&format!("{what}, {key}"), found)? {
                same(&format!("{what}, {key}"), &found, &live.get(key).cloned())?;
            }
        }
        for (index, keys) in collection.indexes.iter().filter(|_| is_whole) {
            let what = format!("index {index} of {}", collection.name);
            let found = self.ready(id, index).and_then(|()| self.walk(id, index));
            if let Some(found) = self.answer(&what, found)? {
                same(&what, &found, keys)?;
            }
        }
        Ok(())
    }

    /// An index that salvage has emptied is built first.
    fn ready(&self, id: CollectionId, name: &str) -> Result<(), Error> {
        self.store.wait_for_index(self.store.index(id, name)?.id)
    }

    fn scan(&self, collection: CollectionId, at: View) -> Result<BTreeMap<String, String>, Error> {
        Ok(pages::scanned(self.store, collection, at, PAGE, text_of)?.into_iter().collect())
    }

    fn get(&self, collection: CollectionId, key: &str) -> Result<Option<String>, Error> {
        let key = fountain_engine::keys::encode(&Key::String(key.to_owned()))?;
        let found = self.store.get(collection, &key, None, ReadTier::Disk)?;
        found.map(|found| self.store.to_json(&found)).transpose()
    }

    fn walk(&self, collection: CollectionId, index: &str) -> Result<Vec<String>, Error> {
        let request = IndexScan {
            collection,
            index: index.to_owned(),
            bounds: Bounds::all(),
            direction: Direction::Forward,
            at: View::Newest,
            after: None,
            max_records: PAGE,
            max_bytes: usize::MAX,
        };
        pages::indexed(self.store, request, text_of)
    }
}

/// The text of a key, which is a string in all golden stores.
fn text_of(key: &[u8]) -> Result<String, Error> {
    Ok(match decode(key)? {
        Key::String(text) => text,
        other => format!("{other:?}"),
    })
}

fn owned(records: &BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    records.iter().map(|(key, document)| ((*key).to_owned(), (*document).to_owned())).collect()
}

fn sequence(number: u64) -> Result<Seq, String> {
    Seq::new(number).ok_or_else(|| format!("{number} is no sequence"))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
}
