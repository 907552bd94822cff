//! The entries of an index as a transaction sees them: those of the moment at which it began, without those of records
//! that it has written, and with those of what it wrote.
//!
//! A transaction may have written what a unique index will refuse, so here the record key stands behind every tuple.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange, ReadTier};

use super::Index;
use super::entries::{self, Entries};
use super::fallback::Fallback;
use super::read::{Place, entries_in, entry_range};
use crate::error::{Error, ErrorCode, Result};
use crate::kv::KvCursor;
use crate::limits::{KEYSPACE_BYTES, MAX_OVERLAY_WITHOUT_WAITING};
use crate::transaction::Transaction;

/// See the module.
pub(super) struct Overlay<'a> {
    index: Arc<Index>,
    range: KeyRange,
    base: Base<'a>,
    /// The entry at which the base stands, with its record key, if it has not been given out.
    base_entry: Option<(Vec<u8>, Vec<u8>)>,
    base_ended: bool,
    /// Keys of records that the transaction has written when the walk began.
    written: HashSet<Vec<u8>>,
    /// Entries of what it wrote, with the keys of their records.
    own: BTreeMap<Vec<u8>, Vec<u8>>,
    direction: Direction,
    current: (Vec<u8>, Vec<u8>),
}

enum Base<'a> {
    Stored(Box<dyn KvCursor>),
    /// The transaction began before the index was ready. What it reads is the collection, with its own writes.
    Fallback(Box<Fallback<'a>>),
}

impl<'a> Overlay<'a> {
    /// A walk over the entries in `range`.
    ///
    /// # Errors
    /// `ERR_WOULD_BLOCK` when only memory may be read and much work is to be done before the first entry.
    pub fn open(
        place: Place<'a>,
        index: &Arc<Index>,
        transaction: &Transaction,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Self> {
        let (mut written, mut own) = (HashSet::new(), BTreeMap::new());
        let (writes, records) = (transaction.writes(), index.collection.storage_range(&KeyRange::default()));
        let is_ready = index.is_ready(Some(transaction.sequence()));
        // Both mean to look at many records, which is too long for a thread that must not wait.
        if place.tier != ReadTier::Disk
            && (!is_ready || writes.within(&records).nth(MAX_OVERLAY_WITHOUT_WAITING).is_some())
        {
            return Err(Error::new(ErrorCode::WouldBlock, "the index has to be put together"));
        }
        let base = if is_ready {
            let mut scratch = Entries::default();
            for (key, write) in writes.within(&records) {
                let record_key = key.get(KEYSPACE_BYTES..).unwrap_or_default();
                if let Some(document) = &write.value {
                    entries_in(
                        index,
                        &range,
                        record_key,
                        document,
                        place.shapes,
                        &mut scratch,
                        &mut |key| {
                            own.insert(key, record_key.to_vec());
                        },
                    )?;
                }
                written.insert(record_key.to_vec());
            }
            let stored = entry_range(index, &range);
            Base::Stored(place.view.cursor(place.kv, stored, direction, place.tier)?)
        } else {
            Base::Fallback(Box::new(Fallback::new(place, index, range.clone(), direction)))
        };
        let (index, current) = (Arc::clone(index), (Vec::new(), Vec::new()));
        Ok(Self { index, range, base, base_entry: None, base_ended: false, written, own, direction, current })
    }

    /// The next entry: its key without keyspace, and the key of its record.
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if self.base_entry.is_none() && !self.base_ended {
            self.base_entry = self.next_of_base()?;
            self.base_ended = self.base_entry.is_none();
        }
        let own = match self.direction {
            Direction::Forward => self.own.first_key_value(),
            Direction::Reverse => self.own.last_key_value(),
        };
        let own_first = match (own, &self.base_entry) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some((own, _)), Some((base, _))) => (own < base) == (self.direction == Direction::Forward),
        };
        let next = match (own_first, self.direction) {
            (true, Direction::Forward) => self.own.pop_first(),
            (true, Direction::Reverse) => self.own.pop_last(),
            (false, _) => self.base_entry.take(),
        };
        Ok(next.map(|entry| {
            self.current = entry;
            (&*self.current.0, &*self.current.1)
        }))
    }

    /// The next entry of a record that the transaction has not written.
    fn next_of_base(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let cursor = match &mut self.base {
            Base::Fallback(fallback) => {
                return Ok(fallback.next()?.map(|(key, record_key)| (key.to_vec(), record_key.to_vec())));
            }
            Base::Stored(cursor) => cursor,
        };
        while cursor.next()? {
            let (key, value) = (cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default(), cursor.value());
            let record_key = entries::record_key(&self.index, key, value)?;
            let key = if value.is_empty() { key.to_vec() } else { [key, record_key].concat() };
            if self.range.contains(&key) && !self.written.contains(record_key) {
                return Ok(Some((key, record_key.to_vec())));
            }
        }
        Ok(None)
    }
}
