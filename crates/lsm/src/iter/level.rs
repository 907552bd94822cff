//! The tables of one sorted level, walked as one stream. Only the table at the position is open, and which of them may hold
//! what is wanted is asked only when the walk gets there: a cursor costs the same however many tables there are.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::manifest::first_reaching;
use crate::range::{Direction, KeyRange};
use crate::table::{Table, TableCursor, TableMeta};
use crate::types::{Kind, ReadTier, Seq, Trailer};

/// What a cursor over tables is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View {
    /// Every version.
    All(ReadTier),
    /// What a reader at one sequence sees; tables may leave out the rest.
    AsOf(Seq, ReadTier),
    /// Versions made after the first sequence and up to the second; tables may leave out the rest.
    Between(Seq, Seq, ReadTier),
    /// Every version, once, from the first to the last: with large reads and past the cache.
    Once,
}

impl View {
    /// Whether there may be anything in the table to be shown.
    pub(crate) fn shows_some_of(self, meta: &TableMeta) -> bool {
        match self {
            Self::AsOf(at, _) => !meta.is_newer_than(at),
            Self::Between(after, at, _) => meta.greatest_seq > after && !meta.is_newer_than(at),
            Self::All(_) | Self::Once => true,
        }
    }

    /// The cursor over one table.
    pub(crate) fn of(self, table: &Arc<Table>) -> TableCursor {
        match self {
            Self::All(tier) => table.cursor(tier),
            Self::AsOf(at, tier) => table.cursor_at(tier, at),
            Self::Between(after, at, tier) => table.cursor_between(tier, after, at),
            Self::Once => table.cursor_past_cache(),
        }
    }
}

/// A cursor over tables whose key ranges follow one another.
pub(crate) struct LevelCursor {
    tables: Arc<[Arc<Table>]>,
    /// Those of them that the walk is over.
    within: Range<usize>,
    view: View,
    /// The keys that are wanted, if filters may know something about them.
    range: Option<Arc<KeyRange>>,
    /// The table at the position and its index; `None` before the first seek and past either end.
    at: Option<(usize, TableCursor)>,
}

impl LevelCursor {
    /// Over all of the tables.
    pub(crate) fn new(tables: Arc<[Arc<Table>]>, view: View) -> Self {
        Self { within: 0..tables.len(), tables, view, range: None, at: None }
    }

    /// Over those that may hold keys of `range`; `None` if there are none.
    pub(crate) fn over(tables: &Arc<[Arc<Table>]>, range: &Arc<KeyRange>, view: View) -> Option<Self> {
        let first = first_reaching(tables, &range.start);
        let end = range
            .end
            .as_ref()
            .map_or(tables.len(), |end| tables.partition_point(|table| *table.meta().smallest < **end));
        if first >= end {
            return None;
        }
        let range = range.end.is_some().then(|| Arc::clone(range));
        Some(Self { tables: Arc::clone(tables), within: first..end, view, range, at: None })
    }

    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.enter_from(self.first_reaching(key));
        self.with(|cursor| cursor.seek(key, trailer))?;
        self.skip_forward()
    }

    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) -> Result<()> {
        // The table that reaches `key` may begin before it; if it does not, the one before it ends before it.
        let end = key.map_or(self.within.end, |key| (self.first_reaching(key) + 1).min(self.within.end));
        self.enter_before(end);
        self.with(|cursor| match key {
            Some(key) => cursor.seek_before(key),
            None => cursor.seek_last(),
        })?;
        self.skip_backward()
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        self.with(TableCursor::next)?;
        self.skip_forward()
    }

    /// As [`TableCursor::next_from_superseded`].
    #[inline]
    pub(crate) fn next_from_superseded(&mut self) -> Result<()> {
        self.with(TableCursor::next_from_superseded)?;
        self.skip_forward()
    }

    pub(crate) fn prev(&mut self) -> Result<()> {
        self.with(TableCursor::prev)?;
        self.skip_backward()
    }

    /// As [`TableCursor::skip_older`], in the table at the position.
    pub(crate) fn skip_older(&mut self, edge: &[u8], before: Seq, direction: Direction) -> Result<()> {
        self.with(|cursor| cursor.skip_older(edge, before, direction))?;
        match direction {
            Direction::Forward => self.skip_forward(),
            Direction::Reverse => self.skip_backward(),
        }
    }

    /// As [`TableCursor::block_ends_before`].
    pub(crate) fn block_ends_before(&mut self, key: &[u8]) -> bool {
        self.at.as_mut().is_some_and(|(_, cursor)| cursor.block_ends_before(key))
    }

    /// As [`TableCursor::is_in_block`].
    #[inline]
    pub(crate) fn is_in_block(&self) -> bool {
        self.at.as_ref().is_some_and(|(_, cursor)| cursor.is_in_block())
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.at.as_ref().is_some_and(|(_, cursor)| cursor.valid())
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.at.as_ref().map_or(&[], |(_, cursor)| cursor.key())
    }

    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.at.as_ref().map_or(Trailer::new(Seq::ZERO, Kind::Put), |(_, cursor)| cursor.trailer())
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.at.as_ref().map_or(&[], |(_, cursor)| cursor.value())
    }

    #[inline]
    fn with(&mut self, step: impl FnOnce(&mut TableCursor) -> Result<()>) -> Result<()> {
        self.at.as_mut().map_or(Ok(()), |(_, cursor)| step(cursor))
    }

    fn first_reaching(&self, key: &[u8]) -> usize {
        self.within.start + first_reaching(&self.tables[self.within.clone()], key)
    }

    /// Whether there may be anything in the table `index` that is wanted.
    fn is_wanted(&self, index: usize) -> bool {
        let table = &self.tables[index];
        self.view.shows_some_of(table.meta())
            && self.range.as_ref().is_none_or(|range| table.may_hold_keys_of(range))
    }

    /// Opens the first table from `index` on, if there is one that is wanted.
    fn enter_from(&mut self, index: usize) {
        let index = (index..self.within.end).find(|&index| self.is_wanted(index));
        self.at = index.map(|index| (index, self.view.of(&self.tables[index])));
    }

    /// Opens the last table before `end`, if there is one that is wanted.
    fn enter_before(&mut self, end: usize) {
        let index = (self.within.start..end).rev().find(|&index| self.is_wanted(index));
        self.at = index.map(|index| (index, self.view.of(&self.tables[index])));
    }

    #[inline]
    fn skip_forward(&mut self) -> Result<()> {
        while let Some((index, cursor)) = &self.at
            && !cursor.valid()
        {
            let next = index + 1;
            self.enter_from(next);
            self.with(TableCursor::seek_first)?;
        }
        Ok(())
    }

    fn skip_backward(&mut self) -> Result<()> {
        while let Some((index, cursor)) = &self.at
            && !cursor.valid()
        {
            let end = *index;
            self.enter_before(end);
            self.with(TableCursor::seek_last)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BlockCache;
    use crate::fs::RealFs;
    use crate::table::{Compression, TableWriter};
    use crate::types::{FileNumber, StoreId};

    /// Tables with two keys each, from `a` on.
    fn tables(dir: &std::path::Path, count: u8) -> Arc<[Arc<Table>]> {
        let table = |number: u8| {
            let (path, store) = (dir.join(number.to_string()), StoreId([3; 16]));
            let name = FileNumber(number.into());
            let mut writer =
                TableWriter::create(&RealFs, path.clone(), store, name, Compression::None).unwrap();
            for key in [b'a' + 2 * number, b'b' + 2 * number] {
                writer.add(&[key], Trailer::new(Seq::new(1).unwrap(), Kind::Put), b"").unwrap();
            }
            let meta = writer.finish().unwrap();
            Arc::new(Table::open(&RealFs, path, store, meta, Arc::new(BlockCache::new(0))).unwrap())
        };
        (0..count).map(table).collect()
    }

    fn shares(tables: &[Arc<Table>]) -> Vec<bool> {
        tables.iter().map(|table| Arc::strong_count(table) > 1).collect()
    }

    #[test]
    fn only_the_table_at_the_position_is_shared_and_the_walk_stays_within_its_range() {
        let dir = tempfile::tempdir().unwrap();
        let tables = tables(dir.path(), 5);
        // Keys d, e, f and g, of tables 1, 2 and 3.
        let range = Arc::new(KeyRange { start: b"d".to_vec(), end: Some(b"h".to_vec()) });
        let mut cursor = LevelCursor::over(&tables, &range, View::All(ReadTier::Disk)).unwrap();
        assert_eq!(shares(&tables), [false; 5]);
        cursor.seek(b"d", Trailer::new(Seq::MAX, Kind::Delete)).unwrap();
        assert_eq!(shares(&tables), [false, true, false, false, false]);
        let mut keys = Vec::new();
        while cursor.valid() {
            keys.extend_from_slice(cursor.key());
            cursor.next().unwrap();
        }
        assert_eq!(keys, b"defgh", "to the end of the last table with keys of the range");
        cursor.seek_before(Some(b"h")).unwrap();
        assert_eq!(shares(&tables), [false, false, false, true, false]);
        keys.clear();
        while cursor.valid() {
            keys.extend_from_slice(cursor.key());
            cursor.prev().unwrap();
        }
        assert_eq!(keys, b"gfedc");
        cursor.seek_before(None).unwrap();
        assert_eq!(cursor.key(), b"h");
        for (start, end) in [(&b"k"[..], None), (b"A", Some(&b"a"[..]))] {
            let range = Arc::new(KeyRange { start: start.to_vec(), end: end.map(<[u8]>::to_vec) });
            assert!(LevelCursor::over(&tables, &range, View::All(ReadTier::Disk)).is_none());
        }
    }
}
