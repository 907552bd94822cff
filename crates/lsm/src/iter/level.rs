//! The tables of one sorted level, walked as one stream. Only the table at the position is open.

use std::sync::Arc;

use crate::error::Result;
use crate::manifest::first_reaching;
use crate::range::Direction;
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
    tables: Vec<Arc<Table>>,
    view: View,
    /// The table at the position and its index; `None` before the first seek and past either end.
    at: Option<(usize, TableCursor)>,
}

impl LevelCursor {
    pub(crate) fn new(tables: Vec<Arc<Table>>, view: View) -> Self {
        Self { tables, view, at: None }
    }

    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let index = first_reaching(&self.tables, key);
        self.enter(index);
        self.with(|cursor| cursor.seek(key, trailer))?;
        self.skip_forward()
    }

    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) -> Result<()> {
        // The table that reaches `key` may begin before it; if it does not, the one before it ends before it.
        let last = self.tables.len().checked_sub(1);
        let index = key.map_or(last, |key| last.map(|last| first_reaching(&self.tables, key).min(last)));
        self.at = None;
        let Some(index) = index else { return Ok(()) };
        self.enter(index);
        self.with(|cursor| match key {
            Some(key) => cursor.seek_before(key),
            None => cursor.seek_last(),
        })?;
        self.skip_backward()
    }

    pub(crate) fn next(&mut self) -> Result<()> {
        self.with(TableCursor::next)?;
        self.skip_forward()
    }

    /// As [`TableCursor::next_from_superseded`].
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

    pub(crate) fn valid(&self) -> bool {
        self.at.as_ref().is_some_and(|(_, cursor)| cursor.valid())
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.at.as_ref().map_or(&[], |(_, cursor)| cursor.key())
    }

    pub(crate) fn trailer(&self) -> Trailer {
        self.at.as_ref().map_or(Trailer::new(Seq::ZERO, Kind::Put), |(_, cursor)| cursor.trailer())
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.at.as_ref().map_or(&[], |(_, cursor)| cursor.value())
    }

    fn with(&mut self, step: impl FnOnce(&mut TableCursor) -> Result<()>) -> Result<()> {
        self.at.as_mut().map_or(Ok(()), |(_, cursor)| step(cursor))
    }

    /// Opens the table `index`, if there is one.
    fn enter(&mut self, index: usize) {
        let view = self.view;
        self.at = self.tables.get(index).map(|table| (index, view.of(table)));
    }

    fn skip_forward(&mut self) -> Result<()> {
        while let Some((index, cursor)) = &self.at
            && !cursor.valid()
        {
            let next = index + 1;
            self.enter(next);
            self.with(TableCursor::seek_first)?;
        }
        Ok(())
    }

    fn skip_backward(&mut self) -> Result<()> {
        while let Some((index, cursor)) = &self.at
            && !cursor.valid()
        {
            let Some(before) = index.checked_sub(1) else {
                self.at = None;
                break;
            };
            self.enter(before);
            self.with(TableCursor::seek_last)?;
        }
        Ok(())
    }
}
