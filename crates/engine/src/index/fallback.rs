//! The entries that an index would have had at a sequence before it was ready, from the records of that sequence.
//!
//! A pass reads all records and keeps the first entries of the walk, up to a limit; when these are used up, another pass
//! begins behind them. So memory is bounded, whatever the collection holds.
//!
//! A record that the index could not have taken has no entries: had the index been there, the record would not be. Only what
//! a transaction has written itself and cannot commit is an error, as it is where the index was ready.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;
use std::sync::Arc;

use fountain_lsm::{Direction, KeyRange};

use super::Index;
use super::entries::Entries;
use super::read::{Place, behind, entries_in};
use crate::error::{ErrorCode, Result};
use crate::limits::{FALLBACK_ENTRIES, KEYSPACE_BYTES};
use crate::marks::{Mark, hit};
use crate::view::View;

/// See the module.
pub(super) struct Fallback<'a> {
    place: Place<'a>,
    index: Arc<Index>,
    /// What no pass has covered yet; `None` when there is nothing.
    left: Option<KeyRange>,
    direction: Direction,
    /// Entries with the keys of their records, see [`entries_in`].
    kept: IntoIter<Vec<u8>, Vec<u8>>,
    current: (Vec<u8>, Vec<u8>),
    limit: usize,
}

impl<'a> Fallback<'a> {
    /// A walk over the entries in `range`.
    pub fn new(place: Place<'a>, index: &Arc<Index>, range: KeyRange, direction: Direction) -> Self {
        let (index, kept) = (Arc::clone(index), BTreeMap::new().into_iter());
        let (left, current) = (Some(range), (Vec::new(), Vec::new()));
        Self { place, index, left, direction, kept, current, limit: FALLBACK_ENTRIES }
    }

    /// The next entry: its key without keyspace, with the record key behind every tuple, and the record key.
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        loop {
            let next = match self.direction {
                Direction::Forward => self.kept.next(),
                Direction::Reverse => self.kept.next_back(),
            };
            if let Some(entry) = next {
                self.current = entry;
                return Ok(Some((&self.current.0, &self.current.1)));
            }
            let Some(range) = self.left.take() else { return Ok(None) };
            self.pass(range)?;
        }
    }

    fn pass(&mut self, mut range: KeyRange) -> Result<()> {
        hit(Mark::EntriesWorkedOut);
        let mut kept: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let (mut scratch, mut more, limit, direction) =
            (Entries::default(), false, self.limit, self.direction);
        let records = self.index.collection.storage_range(&KeyRange::default());
        let own = match self.place.view {
            View::Transaction(transaction) => Some(transaction.writes()),
            _ => None,
        };
        let mut cursor =
            self.place.view.cursor(self.place.kv, records, Direction::Forward, self.place.tier)?;
        while cursor.next()? {
            let record_key = cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
            let (document, shapes) = (cursor.value(), self.place.shapes);
            let found =
                entries_in(&self.index, &range, record_key, document, shapes, &mut scratch, &mut |key| {
                    kept.insert(key, record_key.to_vec());
                    if kept.len() > limit {
                        more = true;
                        match direction {
                            Direction::Forward => kept.pop_last(),
                            Direction::Reverse => kept.pop_first(),
                        };
                    }
                });
            match found {
                Err(error)
                    if matches!(error.code, ErrorCode::TooLarge | ErrorCode::Limit)
                        && own.as_ref().is_none_or(|own| own.get(cursor.key()).is_none()) => {}
                found => found?,
            }
        }
        let last = match direction {
            Direction::Forward => kept.last_key_value(),
            Direction::Reverse => kept.first_key_value(),
        };
        if let (true, Some((last, _))) = (more, last) {
            behind(&mut range, last, direction);
            self.left = Some(range);
        }
        self.kept = kept.into_iter();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Bounds, IndexDefinition, IndexId, IndexKind};
    use crate::keyspace::CollectionId;
    use crate::kv::{Batch, MemoryKv, OrderedKv};
    use crate::record::{Shapes, from_json, write};
    use fountain_lsm::{Durability, ReadTier};

    #[test]
    fn a_walk_in_several_passes_is_the_same_walk() {
        let (kv, shapes) = (MemoryKv::default(), Shapes::empty());
        let mut batch = Batch::default();
        for number in 0..20u8 {
            let json = format!(r#"{{"t":[{},{}]}}"#, number % 7, 30 - number);
            let record = write(&from_json(&json).unwrap(), &shapes).unwrap();
            let key = crate::keys::encode(&crate::keys::Key::Number(f64::from(number))).unwrap();
            batch.push(&CollectionId::FIRST.prefix(), &key, Some(&record));
        }
        kv.commit_many(&[batch], Durability::Memory).unwrap();
        let definition = IndexDefinition::new("t", IndexKind::Multi, &["t[]"]).unwrap();
        let (id, collection) = (IndexId::new(17), CollectionId::FIRST);
        let index = Arc::new(Index { id, collection, definition, since: None, expiry: None });
        let view = View::At(kv.visible());
        let place = Place { kv: &kv, shapes: &shapes, view: &view, tier: ReadTier::Disk, live: None };
        let walk = |direction, limit| {
            let mut walk = Fallback::new(place, &index, Bounds::all().keys(), direction);
            walk.limit = limit;
            let mut keys = Vec::new();
            while let Some((key, _)) = walk.next().unwrap() {
                keys.push(key.to_vec());
            }
            keys
        };
        let mut whole = walk(Direction::Forward, 1000);
        assert!(whole.len() > 30 && whole.is_sorted());
        for limit in [1, 7, whole.len() - 1, whole.len()] {
            assert_eq!(walk(Direction::Forward, limit), whole);
        }
        whole.reverse();
        assert_eq!(walk(Direction::Reverse, 4), whole);
    }
}
