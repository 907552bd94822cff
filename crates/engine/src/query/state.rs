//! One state of one collection of an open store, as queries read it.

use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange, ReadTier, Seq};

use super::about::Commits;
use super::seal::Seal;
use super::source::{Entries, IndexInfo, Passed, Records, Source};
use crate::document::{self, Document};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Live, Moment, lives, moment};
use crate::index::{Index, IndexCursor, IndexKind, Place, building, entry_range};
use crate::inner::Inner;
use crate::keyspace::CollectionId;
use crate::kv::{KvCursor, KvPin, OrderedKv};
use crate::limits::KEYSPACE_BYTES;
use crate::record::ShapeList;
use crate::view::View;

/// Most records that are counted where guesses are too coarse.
const COUNTED_RECORDS: u32 = 128;

/// Bytes beyond which nothing is counted, as a walk would have to read them.
const MAX_COUNTED_BYTES: f64 = 256.0 * 1024.0;

/// What decides which records of a state have expired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Judged {
    /// The view.
    ByView,
    /// A time; without one nothing has.
    ByTime(Option<Moment>),
}

/// A state that stays as it is.
pub(super) struct State<'a> {
    inner: &'a Inner,
    collection: CollectionId,
    view: View,
    seq: Seq,
    live: Option<Live>,
    /// Taken after the sequence was fixed, so it has every shape that a record of it names.
    shapes: ShapeList,
    indexes: Vec<IndexInfo>,
    /// Those that are described, in the same order.
    stored: Vec<Arc<Index>>,
    /// Keeps a sequence readable while the query runs; a transaction keeps its own.
    _pin: Option<Box<dyn KvPin>>,
}

impl<'a> State<'a> {
    /// Fixes the state of `collection` that `view` sees, without what has expired.
    ///
    /// # Errors
    /// `ERR_HISTORY_TRUNCATED`, `ERR_SEQUENCE`.
    pub fn new(inner: &'a Inner, collection: CollectionId, view: View, judged: Judged) -> Result<Self> {
        // Before the sequence is fixed: what expires meanwhile may be seen, what is renewed meanwhile may not be missed.
        let now = moment(inner.clock.now());
        let newest = matches!(view, View::Newest);
        let (view, pin) = match view {
            // Before the shapes are listed, which have to be those of its writes, too.
            View::Transaction(transaction) => (View::Transaction(transaction.frozen()), None),
            View::Newest => {
                let pin = inner.kv.pin(None)?;
                (View::At(pin.seq()), Some(pin))
            }
            View::At(seq) => (View::At(seq), Some(inner.kv.pin(Some(seq))?)),
            View::Then(seq, time) => (View::Then(seq, time), Some(inner.kv.pin(Some(seq))?)),
        };
        let seq = match &view {
            View::Transaction(transaction) => transaction.sequence(),
            View::At(seq) | View::Then(seq, _) => *seq,
            View::Newest => inner.kv.visible(),
        };
        let live = match judged {
            Judged::ByTime(None) => None,
            Judged::ByTime(Some(time)) => inner.live_at(collection, time, Some(seq), ReadTier::Disk)?,
            Judged::ByView if newest => inner.live_at(collection, now, Some(seq), ReadTier::Disk)?,
            Judged::ByView => inner.live(collection, &view, ReadTier::Disk)?,
        };
        let shapes = inner.shapes.list();
        // Looked up after the sequence was fixed: an index that is dropped is out of the catalog before it is empty. One
        // that was not complete at the sequence would be read by a scan, which the planner can do better. What the program
        // computes is no path that a filter could name.
        let table = inner.catalog.indexes();
        let of_paths = |index: &&Arc<Index>| index.definition.computed_version().is_none();
        let ready = table.of(collection).iter().filter(|index| index.is_ready(Some(seq))).filter(of_paths);
        let stored: Vec<_> = ready.cloned().collect();
        let indexes = stored.iter().map(|index| describe(index)).collect();
        Ok(Self { inner, collection, view, seq, live, shapes, indexes, stored, _pin: pin })
    }

    /// The first path of an index.
    pub fn index_path(inner: &Inner, collection: CollectionId, name: &str) -> Option<String> {
        let table = inner.catalog.indexes();
        let definition = &table.find(collection, name)?.definition;
        if definition.computed_version().is_some() {
            return None;
        }
        definition.on().first().map(ToString::to_string)
    }

    fn index_cursor<'b>(
        &'b self,
        index: usize,
        range: &KeyRange,
        direction: Direction,
        view: &'b View,
    ) -> Result<IndexCursor<'b>> {
        let index = self.stored.get(index).ok_or_else(|| no_index(index))?;
        let (shapes, live) = (&self.inner.shapes, self.live.as_ref());
        let place = Place { kv: self.kv(), shapes, view, tier: ReadTier::Disk, live };
        IndexCursor::open(place, index, range.clone(), direction)
    }

    fn kv(&self) -> &dyn OrderedKv {
        self.inner.kv.as_ref()
    }
}

impl Source for State<'_> {
    fn seq(&self) -> Seq {
        self.seq
    }

    fn seal(&self) -> Seal {
        Seal::new(self.kv().identity(), self.collection)
    }

    fn moment(&self) -> Option<Moment> {
        self.live.as_ref().map(Live::moment)
    }

    fn shapes(&self) -> ShapeList {
        ShapeList::clone(&self.shapes)
    }

    fn scan(&self, range: &KeyRange, direction: Direction) -> Result<Box<dyn Records + '_>> {
        let range = self.collection.storage_range(range);
        let cursor = self.view.cursor(self.kv(), range, direction, ReadTier::Disk)?;
        Ok(Box::new(StoredRecords { cursor, live: self.live.as_ref() }))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Document>> {
        let found = self.view.get(self.kv(), &self.collection.storage_key(key), ReadTier::Disk)?;
        match found.map(Document::from_stored).transpose()? {
            Some(document) if lives(self.live.as_ref(), document.stored())? => Ok(Some(document)),
            _ => Ok(None),
        }
    }

    fn unreadable(&self, name: &str) -> Option<Error> {
        let table = self.inner.catalog.indexes();
        let index = table.find(self.collection, name)?;
        if index.definition.computed_version().is_some() {
            let message =
                format!("index {name:?} is on what the program computes, which no query can ask for");
            return Some(
                Error::new(ErrorCode::NoIndex, message).with(|details| details.index = Some(name.to_owned())),
            );
        }
        index.since.is_none().then(|| building(index))
    }

    fn indexes(&self) -> &[IndexInfo] {
        &self.indexes
    }

    fn entries(&self, index: usize, range: &KeyRange, direction: Direction) -> Result<Box<dyn Entries + '_>> {
        Ok(Box::new(self.index_cursor(index, range, direction, &self.view)?))
    }

    /// At the sequence alone, as guesses are no reads of a transaction.
    fn sample(&self, index: usize, range: &KeyRange, most: u32) -> Result<u32> {
        let view = View::At(self.seq);
        let mut entries = self.index_cursor(index, range, Direction::Forward, &view)?;
        let mut found = 0;
        while found < most && entries.next()? {
            found += 1;
        }
        Ok(found)
    }

    /// Of the newest state, whatever is read: estimates do not look back.
    fn estimate_entries(&self, index: usize, range: &KeyRange) -> Result<u64> {
        let stored = self.stored.get(index).ok_or_else(|| no_index(index))?;
        Ok(self.kv().estimate(&entry_range(stored, range))?.whole_records())
    }

    /// Of the newest state, as entries are; few are counted, at the sequence alone, where that cannot take long.
    fn estimate_records(&self, range: &KeyRange) -> Result<u64> {
        let range = self.collection.storage_range(range);
        let about = self.kv().estimate(&range)?;
        let guessed = about.whole_records();
        // A guess knows blocks, of which one may have as many keys as that. What cannot be read now is for the query to meet, if
        // its plan comes by it at all.
        if about.keys >= 4.0 * f64::from(COUNTED_RECORDS) || about.bytes > MAX_COUNTED_BYTES {
            return Ok(guessed);
        }
        Ok(self.counted(range).map_or(guessed, |found| match found {
            COUNTED_RECORDS => guessed.max(u64::from(found)),
            few => u64::from(few),
        }))
    }
}

fn no_index(index: usize) -> Error {
    Error::new(ErrorCode::Internal, format!("there is no index {index}"))
}

impl State<'_> {
    /// The number of records in a range of storage keys, up to a limit.
    fn counted(&self, range: KeyRange) -> Result<u32> {
        let mut records = self.kv().cursor(range, self.seq, Direction::Forward, ReadTier::Disk)?;
        let mut found = 0;
        while found < COUNTED_RECORDS && records.next()? {
            found += 1;
        }
        Ok(found)
    }

    /// `seq`, if every version of the key since `before` is kept. A single state that somebody keeps says nothing of that.
    fn if_whole_since(&self, key: &[u8], before: Seq, seq: Option<Seq>) -> Result<Option<Seq>> {
        let range = KeyRange { start: key.to_vec(), end: Some([key, &[0]].concat()) };
        match self.kv().changes(range.clone(), &[range], before, before) {
            Ok(_) => Ok(seq),
            Err(error) if error.code == ErrorCode::HistoryTruncated => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The storage key of a record, unless a transaction has written it: which commit that will be nobody knows yet.
    fn committed_key(&self, key: &[u8]) -> Option<Vec<u8>> {
        let storage_key = self.collection.storage_key(key);
        match &self.view {
            View::Transaction(transaction) if transaction.writes().get(&storage_key).is_some() => None,
            _ => Some(storage_key),
        }
    }
}

impl Commits for State<'_> {
    fn put_by(&self, key: &[u8]) -> Result<Option<Seq>> {
        let Some(key) = self.committed_key(key) else { return Ok(None) };
        let found = self.kv().get_with_seq(&key, Some(self.seq), ReadTier::Disk)?;
        Ok(found.map(|(seq, _)| seq))
    }

    fn created_by(&self, key: &[u8]) -> Result<Option<Seq>> {
        let Some(key) = self.committed_key(key) else { return Ok(None) };
        let mut versions = self.kv().versions(&key, self.seq)?;
        let mut oldest = None;
        while versions.next()? {
            if versions.value().is_none() {
                return self.if_whole_since(&key, versions.seq(), oldest);
            }
            oldest = Some(versions.seq());
        }
        // Nothing before it is there: because nothing was, or because that is not kept.
        let Some(before) = oldest.and_then(|seq| Seq::new(seq.get().saturating_sub(1))) else {
            return Ok(None);
        };
        self.if_whole_since(&key, before, oldest)
    }
}

fn describe(index: &Index) -> IndexInfo {
    let definition = &index.definition;
    IndexInfo {
        name: definition.name().to_owned(),
        on: definition.on().to_vec(),
        unique: definition.kind() == IndexKind::Unique,
        sparse: definition.is_sparse(),
    }
}

impl Entries for IndexCursor<'_> {
    fn next(&mut self) -> Result<bool> {
        IndexCursor::next(self)
    }

    fn record_key(&self) -> &[u8] {
        IndexCursor::record_key(self)
    }
}

struct StoredRecords<'a> {
    cursor: Box<dyn KvCursor>,
    live: Option<&'a Live>,
}

impl Records for StoredRecords<'_> {
    fn next(&mut self) -> Result<Option<Passed<'_>>> {
        if !self.cursor.next()? {
            return Ok(None);
        }
        let key = self.cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
        let record = self.cursor.value();
        document::check_stored(record)?;
        let is_live = self.live.is_none() || lives(self.live, record)?;
        Ok(Some(Passed { key, record, is_live }))
    }
}
