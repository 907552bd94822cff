//! A position in a table that moves both ways, from block to block.

use std::sync::Arc;

use super::block_cursor::BlockCursor;
use super::reader::Table;
use crate::error::Result;
use crate::types::{Kind, ReadTier, Seq, Trailer};

/// A cursor over all versions of a table. It keeps the table and the current block in memory.
///
/// After an error, [`crate::Error::WouldBlock`] included, it is not valid until it is positioned anew with a seek.
pub(crate) struct TableCursor {
    table: Arc<Table>,
    tier: ReadTier,
    /// Number of the current block.
    position: usize,
    /// In the current block; `None` until the first seek.
    inner: Option<BlockCursor>,
}

impl TableCursor {
    pub(super) fn new(table: Arc<Table>, tier: ReadTier) -> Self {
        Self { table, tier, position: 0, inner: None }
    }

    /// Whether the cursor is at a version.
    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.inner.as_ref().is_some_and(BlockCursor::valid)
    }

    /// The user key; of no meaning unless valid, like the two below.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], BlockCursor::key)
    }

    /// Sequence and kind.
    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.inner.as_ref().map_or(Trailer::new(Seq::ZERO, Kind::Put), BlockCursor::trailer)
    }

    /// The value.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], BlockCursor::value)
    }

    /// Moves to the first version.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.enter(0)?.seek_first()
    }

    /// Moves to the last version.
    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.enter(self.table.blocks() - 1)?.seek_last()
    }

    /// Moves to the first version at or after `(key, sequence of trailer)`.
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let position = self.lower_bound(key, trailer.seq())?;
        if position == self.table.blocks() {
            self.leave();
            return Ok(());
        }
        self.enter(position)?.seek(key, trailer)?;
        // The target can lie between the last version of a block and its separator.
        self.skip_forward()
    }

    /// Moves to the last version whose user key is before `key`.
    pub(crate) fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        let position = self.lower_bound(key, Seq::MAX)?;
        if position == self.table.blocks() {
            return self.seek_last();
        }
        self.enter(position)?.seek_before(key)?;
        self.skip_back()
    }

    /// Moves to the next version, or to none behind the last.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        match &mut self.inner {
            Some(inner) if inner.valid() => inner.next()?,
            _ => return Ok(()),
        }
        if self.valid() { Ok(()) } else { self.skip_forward() }
    }

    /// Moves to the version before, or to none before the first.
    #[inline]
    pub(crate) fn prev(&mut self) -> Result<()> {
        match &mut self.inner {
            Some(inner) if inner.valid() => inner.prev()?,
            _ => return Ok(()),
        }
        if self.valid() { Ok(()) } else { self.skip_back() }
    }

    fn skip_forward(&mut self) -> Result<()> {
        while !self.valid() && self.position + 1 < self.table.blocks() {
            self.enter(self.position + 1)?.seek_first()?;
        }
        Ok(())
    }

    fn skip_back(&mut self) -> Result<()> {
        while !self.valid() && self.position > 0 {
            self.enter(self.position - 1)?.seek_last()?;
        }
        Ok(())
    }

    fn lower_bound(&mut self, key: &[u8], seq: Seq) -> Result<usize> {
        self.leave();
        self.table.tail.index.lower_bound(key, seq)
    }

    /// Makes the cursor invalid, so that an error on the way cannot leave it at an old position.
    fn leave(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.leave();
        }
    }

    /// Makes block `position` the current one; the cursor in it is not positioned yet.
    fn enter(&mut self, position: usize) -> Result<&mut BlockCursor> {
        self.leave();
        let inner = match self.inner.take() {
            // Seeks that stay in the block cost no lookup.
            Some(inner) if self.position == position => inner,
            Some(mut inner) => {
                inner.reset(self.table.block(position, self.tier)?);
                inner
            }
            None => BlockCursor::new(self.table.block(position, self.tier)?),
        };
        self.position = position;
        Ok(self.inner.insert(inner))
    }
}
