//! Walks over the entries of an index, at any sequence and in transactions.
//!
//! At a sequence at which the index was not ready, its entries are not all there; then the records of that sequence are
//! read instead, and their entries put in order. The answer is the same, only later.

use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange, ReadTier};

use super::entries::{self, Entries};
use super::fallback::Fallback;
use super::overlay::Overlay;
use super::{Index, IndexKind};
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::Live;
use crate::keys;
use crate::kv::{KvCursor, OrderedKv};
use crate::limits::KEYSPACE_BYTES;
use crate::record::{Reader, Shapes};
use crate::view::View;

/// A walk over the entries of one index in a range of keys. It may not outlive a call of the store.
pub(crate) struct IndexCursor<'a> {
    index: Arc<Index>,
    walk: Walk<'a>,
    /// The current entry without its keyspace.
    key: Vec<u8>,
    record_key: Vec<u8>,
}

enum Walk<'a> {
    /// Over the stored entries.
    Stored(Box<dyn KvCursor>),
    /// Over what the records of a sequence give.
    Fallback(Box<Fallback<'a>>),
    /// Over the stored entries as a transaction sees them.
    Overlay(Box<Overlay<'a>>),
}

/// What a cursor reads.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Storage.
    pub kv: &'a dyn OrderedKv,
    /// What records refer to.
    pub shapes: &'a Shapes,
    /// The state to read.
    pub view: &'a View,
    /// How far reads may go.
    pub tier: ReadTier,
    /// Which records are seen.
    pub live: Option<&'a Live>,
}

impl<'a> IndexCursor<'a> {
    /// A walk over the entries with keys in `range`, which is without keyspace; it stands before the first one.
    ///
    /// # Errors
    /// `ERR_INDEX_BUILDING` while the index is being built, and what reading storage can fail with.
    pub fn open(place: Place<'a>, index: &Arc<Index>, range: KeyRange, direction: Direction) -> Result<Self> {
        let at = match place.view {
            View::Newest => None,
            View::At(seq) | View::Then(seq, _) => Some(*seq),
            View::Transaction(transaction) => Some(transaction.sequence()),
        };
        let walk = match (index.since, place.view) {
            (None, _) => return Err(building(index)),
            (Some(_), View::Transaction(transaction)) => {
                let transaction = transaction.clone();
                Walk::Overlay(Box::new(Overlay::open(place, index, &transaction, range, direction)?))
            }
            (Some(_), _) if index.is_ready(at) => Walk::Stored(place.view.cursor(
                place.kv,
                storage_range(index, &range),
                direction,
                place.tier,
            )?),
            // It walks all records, which is too long for a thread that must not wait, even if all are in memory.
            _ if place.tier != ReadTier::Disk => {
                return Err(Error::new(ErrorCode::WouldBlock, "the index is younger than what is read"));
            }
            _ => Walk::Fallback(Box::new(Fallback::new(place, index, range, direction))),
        };
        let index = Arc::clone(index);
        Ok(Self { index, walk, key: Vec::new(), record_key: Vec::new() })
    }

    /// Moves to the first, then to each next entry; `false` after the last.
    ///
    /// # Errors
    /// What reading storage can fail with.
    pub fn next(&mut self) -> Result<bool> {
        let (key, record_key) = match &mut self.walk {
            Walk::Stored(cursor) => {
                if !cursor.next()? {
                    return Ok(false);
                }
                let key = cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
                (key, entries::record_key(&self.index, key, cursor.value())?)
            }
            Walk::Fallback(fallback) => match fallback.next()? {
                Some(entry) => entry,
                None => return Ok(false),
            },
            Walk::Overlay(overlay) => match overlay.next()? {
                Some(entry) => entry,
                None => return Ok(false),
            },
        };
        self.key.clear();
        self.key.extend_from_slice(key);
        self.record_key.clear();
        self.record_key.extend_from_slice(record_key);
        Ok(true)
    }

    /// The whole current entry, from behind which a later walk can go on.
    pub fn position(&self) -> &[u8] {
        &self.key
    }

    /// Encoded key of the record that the current entry is of.
    pub fn record_key(&self) -> &[u8] {
        &self.record_key
    }
}

/// Whether a view can be asked for the one record that has a whole tuple, by a single read.
pub(super) fn is_exclusive(index: &Index, view: &View) -> bool {
    let at = match view {
        View::Newest => None,
        View::At(seq) | View::Then(seq, _) => Some(*seq),
        View::Transaction(_) => return false,
    };
    index.definition.kind() == IndexKind::Unique && index.is_ready(at)
}

/// The key of the one record that has a whole tuple, if [`is_exclusive`].
pub(super) fn exclusive_record(place: Place<'_>, index: &Index, tuple: &[u8]) -> Result<Option<Vec<u8>>> {
    let key = [&index.id.prefix()[..], tuple].concat();
    let found = place.view.get(place.kv, &key, place.tier)?;
    Ok(found.map(|record_key| record_key.to_vec()))
}

/// The entries of a document in one index that lie in a range, with the record key behind every tuple: in a state that
/// was never checked, several records may have one tuple of a unique index.
pub(super) fn entries_in(
    index: &Index,
    range: &KeyRange,
    record_key: &[u8],
    document: &[u8],
    shapes: &Shapes,
    scratch: &mut Entries,
    found: &mut dyn FnMut(Vec<u8>),
) -> Result<()> {
    let shapes = shapes.list();
    scratch.fill(index, record_key, &Reader::new(document, &shapes)?)?;
    for (key, exclusive) in scratch.iter() {
        let key = if exclusive { [key, record_key].concat() } else { key.to_vec() };
        if range.contains(&key) {
            found(key);
        }
    }
    Ok(())
}

/// Where storage has all entries that lie in `range`, whether or not the record key stands behind every tuple.
pub(crate) fn entry_range(index: &Index, range: &KeyRange) -> KeyRange {
    storage_range(index, &entries::stored_range(index, range))
}

/// The storage keys of entries with keys in `range`.
pub(super) fn storage_range(index: &Index, range: &KeyRange) -> KeyRange {
    let prefix = index.id.prefix();
    let end = match &range.end {
        Some(end) => Some([&prefix[..], end].concat()),
        None => KeyRange::prefix(&prefix).end,
    };
    KeyRange { start: [&prefix[..], &range.start].concat(), end }
}

/// What is left of a range behind a position.
pub(super) fn behind(range: &mut KeyRange, position: &[u8], direction: Direction) {
    match direction {
        Direction::Forward => range.start = keys::after(position),
        Direction::Reverse => range.end = Some(position.to_vec()),
    }
}

/// The error of who reads an index that is being built.
pub(crate) fn building(index: &Index) -> Error {
    let name = index.definition.name();
    Error::new(ErrorCode::IndexBuilding, format!("index {name} is still being built"))
        .with(|details| details.index = Some(name.to_owned()))
}
