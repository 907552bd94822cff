//! A position in one section of a table that moves both ways, from block to block.

use std::sync::Arc;

use super::block::Block;
use super::block_cursor::BlockCursor;
use super::index::{Section, Target};
use super::reader::{Access, Table};
use super::window::Window;
use crate::error::Result;
use crate::limits::{MAX_BLOCKS_AT_ONCE, MAX_READ_AHEAD_BYTES, MAX_SUPERSEDED_BLOCKS};
use crate::types::{Kind, ReadTier, Seq, Trailer};

/// A cursor over the entries of a section. It keeps the table and the current block in memory.
///
/// After an error it is not valid until it is positioned anew with a seek.
pub(super) struct SectionCursor {
    table: Arc<Table>,
    section: Section,
    access: Access,
    /// Blocks whose versions are all newer than this are passed over.
    at: Seq,
    /// So are blocks without a version that is newer than this.
    after: Seq,
    /// Blocks of which a reader at `at` is known to see nothing may be left out, and what it learns of that is noted.
    leaves_out: bool,
    /// Of the current block every entry so far was passed as superseded, from the first on.
    all_superseded: bool,
    /// The current block was entered after [`Self::block_ends_before`] was asked.
    entered: bool,
    /// Number of the current block.
    position: usize,
    /// In the current block; `None` until the first seek.
    inner: Option<BlockCursor>,
    window: Window,
    /// Blocks that were to be read without waiting and that the cache did not have.
    at_once: u32,
}

impl SectionCursor {
    pub(super) fn new(table: Arc<Table>, section: Section, access: Access, after: Seq, at: Seq) -> Self {
        let window = Window::default();
        Self {
            table,
            section,
            access,
            at,
            after,
            leaves_out: false,
            all_superseded: false,
            entered: true,
            position: 0,
            inner: None,
            window,
            at_once: 0,
        }
    }

    /// From now on what a reader sees nothing of may be left out. Only for newest versions, and where nothing in the table is
    /// newer than the reader.
    pub(super) fn leave_out_superseded(&mut self) {
        self.leaves_out = self.section == Section::Current;
    }

    /// Whether the cursor is at an entry.
    #[inline]
    pub(super) fn valid(&self) -> bool {
        self.inner.as_ref().is_some_and(BlockCursor::valid)
    }

    /// The user key; of no meaning unless valid, like the two below.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], BlockCursor::key)
    }

    /// Sequence and kind.
    #[inline]
    pub(super) fn trailer(&self) -> Trailer {
        self.inner.as_ref().map_or(Trailer::new(Seq::ZERO, Kind::Put), BlockCursor::trailer)
    }

    /// The value.
    #[inline]
    pub(super) fn value(&self) -> &[u8] {
        self.inner.as_ref().map_or(&[], BlockCursor::value)
    }

    /// Moves to the first entry.
    pub(super) fn seek_first(&mut self) -> Result<()> {
        self.first_from(0)
    }

    /// Moves to the last entry.
    pub(super) fn seek_last(&mut self) -> Result<()> {
        self.last_before(self.blocks())
    }

    /// Moves to the first entry at or after `(key, sequence of trailer)`.
    pub(super) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let position = self.lower_bound(key, trailer.seq())?;
        if !self.is_superseded(position)
            && let Some(target) = self.wanted(position)?
        {
            self.enter(position, target)?.seek(key, trailer)?;
            if self.valid() {
                return Ok(());
            }
        }
        // The target lies between the last entry of the block and its separator, or the block is too new.
        self.first_from(position + 1)
    }

    /// Moves to the last entry whose user key is before `key`.
    pub(super) fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        let position = self.lower_bound(key, Seq::MAX)?;
        if !self.is_superseded(position)
            && let Some(target) = self.wanted(position)?
        {
            self.enter(position, target)?.seek_before(key)?;
            if self.valid() {
                return Ok(());
            }
        }
        self.last_before(position)
    }

    /// Moves to the next entry, or to none behind the last.
    #[inline]
    pub(super) fn next(&mut self) -> Result<()> {
        self.all_superseded = false;
        self.next_from_superseded()
    }

    /// As [`Self::next`], from an entry of which the reader sees a newer version.
    #[inline]
    pub(super) fn next_from_superseded(&mut self) -> Result<()> {
        match &mut self.inner {
            Some(inner) if inner.valid() => inner.next()?,
            _ => return Ok(()),
        }
        if self.valid() {
            return Ok(());
        }
        if self.all_superseded && self.leaves_out {
            self.table.note_superseded(self.position, self.at);
        }
        self.first_from(self.position + 1)
    }

    /// Moves to the entry before, or to none before the first.
    #[inline]
    pub(super) fn prev(&mut self) -> Result<()> {
        match &mut self.inner {
            Some(inner) if inner.valid() => inner.prev()?,
            _ => return Ok(()),
        }
        if self.valid() { Ok(()) } else { self.last_before(self.position) }
    }

    /// Moves on to the first block that has a version not older than `before`, or may reach the key `edge`; not at all if
    /// that is the current one.
    pub(super) fn skip_older_before(&mut self, edge: &[u8], before: Seq) -> Result<()> {
        let Some(limit) = self.limit(edge)? else { return Ok(()) };
        let mut position = self.position;
        while position < limit && self.is_older(position, before)? {
            position += 1;
        }
        if position > self.position { self.first_from(position) } else { Ok(()) }
    }

    /// As [`Self::skip_older_before`], backwards: back to the last block that has a version not older than `before`, or
    /// keys less than `edge`.
    pub(super) fn skip_older_from(&mut self, edge: &[u8], before: Seq) -> Result<()> {
        let Some(limit) = self.limit(edge)? else { return Ok(()) };
        let mut position = self.position;
        while position > limit && self.is_older(position, before)? {
            position -= 1;
        }
        if position < self.position { self.last_before(position + 1) } else { Ok(()) }
    }

    /// The only block that may hold keys on both sides of `edge`; `None` if the cursor is not at an entry.
    fn limit(&self, edge: &[u8]) -> Result<Option<usize>> {
        match self.table.tail.index(self.section) {
            Some(index) if self.valid() => {
                index.lower_bound(&self.table, edge, Seq::MAX, self.access.index_tier()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether all versions in block `position` are older than `before`.
    fn is_older(&self, position: usize, before: Seq) -> Result<bool> {
        let Some(index) = self.table.tail.index(self.section) else { return Ok(false) };
        Ok(index.target(&self.table, position, self.access.index_tier())?.greatest < before)
    }

    /// Whether all entries of the current block are known to have keys less than `key`. That holds as long as
    /// [`Self::is_in_block`].
    pub(super) fn block_ends_before(&mut self, key: &[u8]) -> bool {
        self.entered = false;
        let index = self.table.tail.index(self.section);
        self.valid() && index.is_some_and(|index| index.ends_before(&self.table, self.position, key))
    }

    /// Whether the cursor is at an entry of the block of which [`Self::block_ends_before`] was asked.
    #[inline]
    pub(super) fn is_in_block(&self) -> bool {
        !self.entered && self.valid()
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Makes the cursor invalid, so that an error on the way cannot leave it at an old position.
    pub(super) fn leave(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.leave();
        }
    }

    fn blocks(&self) -> usize {
        self.table.blocks(self.section)
    }

    /// Moves to the first entry of block `position` and those behind.
    fn first_from(&mut self, mut position: usize) -> Result<()> {
        self.leave();
        let most = position + MAX_SUPERSEDED_BLOCKS;
        while position < self.blocks() {
            if (position >= most || !self.is_superseded(position))
                && let Some(target) = self.wanted(position)?
            {
                self.enter(position, target)?.seek_first()?;
                self.all_superseded = true;
                return Ok(());
            }
            position += 1;
        }
        Ok(())
    }

    /// Moves to the last entry of the blocks before block `position`.
    fn last_before(&mut self, mut position: usize) -> Result<()> {
        self.leave();
        let least = position.saturating_sub(MAX_SUPERSEDED_BLOCKS);
        while let Some(before) = position.checked_sub(1) {
            if (before < least || !self.is_superseded(before))
                && let Some(target) = self.wanted(before)?
            {
                return self.enter(before, target)?.seek_last();
            }
            position = before;
        }
        Ok(())
    }

    /// Whether the reader is known to see nothing of block `position`. The walk may enter it all the same: so it does after
    /// some in a row, because somebody who only wants a few records must not look through a table for an entry.
    #[inline]
    fn is_superseded(&self, position: usize) -> bool {
        self.leaves_out && self.table.is_superseded(position, self.at)
    }

    fn lower_bound(&mut self, key: &[u8], seq: Seq) -> Result<usize> {
        self.leave();
        match self.table.tail.index(self.section) {
            Some(index) => index.lower_bound(&self.table, key, seq, self.access.index_tier()),
            None => Ok(0),
        }
    }

    /// Block `position`, if there is one and it is neither too new nor too old.
    fn wanted(&self, position: usize) -> Result<Option<Target>> {
        match self.table.tail.index(self.section) {
            Some(index) if position < index.len() => {
                let target = index.target(&self.table, position, self.access.index_tier())?;
                let wanted =
                    target.least <= self.at && (target.greatest > self.after || self.after == Seq::ZERO);
                Ok(wanted.then_some(target))
            }
            _ => Ok(None),
        }
    }

    /// Makes block `position` the current one; the cursor in it is not positioned yet.
    fn enter(&mut self, position: usize, target: Target) -> Result<&mut BlockCursor> {
        self.leave();
        let inner = match self.inner.take() {
            // Seeks that stay in the block cost no lookup.
            Some(inner) if self.position == position => inner,
            Some(mut inner) => {
                inner.reset(self.load(position, target)?);
                inner
            }
            None => BlockCursor::new(self.load(position, target)?),
        };
        self.position = position;
        self.all_superseded = false;
        self.entered = true;
        Ok(self.inner.insert(inner))
    }

    /// Block `position`, from wherever it can be had.
    fn load(&mut self, position: usize, target: Target) -> Result<Arc<Block>> {
        if let Access::Cached(_) = self.access
            && let Some(block) = self.table.cached(target.handle)
        {
            self.window.interrupt();
            return Ok(block);
        }
        let block = Arc::new(match self.access {
            Access::Cached(tier @ (ReadTier::Memory | ReadTier::System)) => {
                self.at_once += 1;
                let tier = if self.at_once > MAX_BLOCKS_AT_ONCE { ReadTier::Memory } else { tier };
                self.table.block_at_once(target.handle, tier)?
            }
            Access::Cached(ReadTier::Disk) | Access::Disk => self.read(position, target)?,
        });
        if self.access != Access::Disk {
            self.table.keep(target.handle, &block);
        }
        Ok(block)
    }

    /// Block `position` from the disk, with those behind it if that is how they are wanted.
    fn read(&mut self, position: usize, target: Target) -> Result<Block> {
        let (table, handle) = (&self.table, target.handle);
        if let Some(stored) = self.window.stored(position, handle) {
            return table.copy_block(stored, handle);
        }
        let _timer = (self.access != Access::Disk).then(|| table.time_miss());
        let most = match self.access {
            Access::Disk => MAX_READ_AHEAD_BYTES,
            Access::Cached(_) => self.window.read_ahead(position),
        };
        if let Some(index) = table.tail.index(self.section)
            && most > handle.stored_bytes()
        {
            self.window.fill(table, index, position, most)?;
            if let Some(stored) = self.window.stored(position, handle) {
                return table.copy_block(stored, handle);
            }
        }
        table.read_block(handle)
    }
}
