//! A position in a table that moves both ways.
//!
//! Older versions lie in a section of their own. Whoever wants all versions walks both sections at once, in the order
//! of versions; whoever reads at a sequence that no version in the table exceeds walks the newest versions only and
//! never touches the others.

use std::sync::Arc;

use super::index::Section;
use super::reader::{Access, Table};
use super::section_cursor::SectionCursor;
use crate::error::Result;
use crate::range::Direction;
use crate::types::{ReadTier, Seq, Trailer};

/// A cursor over the versions of a table. It keeps the table and the current blocks in memory.
///
/// After an error, [`crate::Error::WouldBlock`] included, it is not valid until it is positioned anew with a seek.
pub(crate) struct TableCursor {
    current: SectionCursor,
    /// `None` if the older versions are not wanted or there are none.
    history: Option<SectionCursor>,
    /// The section that holds the version at the position.
    side: Section,
    /// Where the other section's cursor is: at its first entry behind the position, or at its last before it.
    ahead: bool,
}

impl TableCursor {
    /// Over all versions.
    pub(super) fn new(table: &Arc<Table>, access: Access) -> Self {
        let history = table.blocks(Section::History) > 0;
        Self::over(table, access, history, Seq::ZERO, Seq::MAX)
    }

    /// Over all versions that a read at `at` can see, and perhaps others.
    pub(super) fn as_of(table: &Arc<Table>, tier: ReadTier, at: Seq) -> Self {
        let history = table.blocks(Section::History) > 0 && at < table.meta().greatest_seq;
        let mut cursor = Self::over(table, Access::Cached(tier), history, Seq::ZERO, at);
        if !history {
            cursor.current.leave_out_superseded();
        }
        cursor
    }

    /// Over all versions that commits after `after` and up to `at` have made, and perhaps others.
    pub(super) fn between(table: &Arc<Table>, tier: ReadTier, after: Seq, at: Seq) -> Self {
        let history = table.blocks(Section::History) > 0;
        Self::over(table, Access::Cached(tier), history, after, at)
    }

    fn over(table: &Arc<Table>, access: Access, history: bool, after: Seq, at: Seq) -> Self {
        let section = |section| SectionCursor::new(Arc::clone(table), section, access, after, at);
        Self {
            current: section(Section::Current),
            history: history.then(|| section(Section::History)),
            side: Section::Current,
            ahead: true,
        }
    }

    /// Whether the cursor is at a version.
    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.here().valid()
    }

    /// The user key; of no meaning unless valid, like the two below.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.here().key()
    }

    /// Sequence and kind.
    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.here().trailer()
    }

    /// The value.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.here().value()
    }

    /// Moves to the first version.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.place(true, SectionCursor::seek_first)
    }

    /// Moves to the last version.
    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.place(false, SectionCursor::seek_last)
    }

    /// Moves to the first version at or after `(key, sequence of trailer)`.
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.place(true, |cursor| cursor.seek(key, trailer))
    }

    /// Moves to the last version whose user key is before `key`.
    pub(crate) fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.place(false, |cursor| cursor.seek_before(key))
    }

    /// Moves to the next version, or to none behind the last.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        if self.history.is_none() {
            return self.current.next();
        }
        self.step(true)
    }

    /// As [`Self::next`], from a version whose key has a newer one, in whatever source, that the reader may see.
    #[inline]
    pub(crate) fn next_from_superseded(&mut self) -> Result<()> {
        if self.history.is_none() {
            return self.current.next_from_superseded();
        }
        self.step(true)
    }

    /// Moves to the version before, or to none before the first.
    #[inline]
    pub(crate) fn prev(&mut self) -> Result<()> {
        if self.history.is_none() {
            return self.current.prev();
        }
        self.step(false)
    }

    /// Whether all versions from here to the end of the block are known to have keys less than `key`, which holds as long as
    /// [`Self::is_in_block`].
    pub(crate) fn block_ends_before(&mut self, key: &[u8]) -> bool {
        self.history.is_none() && self.current.block_ends_before(key)
    }

    /// See [`Self::block_ends_before`].
    #[inline]
    pub(crate) fn is_in_block(&self) -> bool {
        self.current.is_in_block()
    }

    /// Leaves behind blocks in which all versions are older than `before` and all keys are on this side of `edge`: less
    /// than it, going forward, and not less than it in reverse.
    pub(crate) fn skip_older(&mut self, edge: &[u8], before: Seq, direction: Direction) -> Result<()> {
        let forwards = direction == Direction::Forward;
        if !self.valid() || self.table_is_newer(before) || (self.history.is_some() && self.ahead != forwards)
        {
            return Ok(());
        }
        let skip = |cursor: &mut SectionCursor| {
            if forwards {
                cursor.skip_older_before(edge, before)
            } else {
                cursor.skip_older_from(edge, before)
            }
        };
        let result = skip(&mut self.current).and_then(|()| self.history.as_mut().map_or(Ok(()), skip));
        self.settle(result)
    }

    fn table_is_newer(&self, before: Seq) -> bool {
        self.current.table().meta().least_seq >= before
    }

    /// The cursor at the position.
    #[inline]
    fn here(&self) -> &SectionCursor {
        match (&self.history, self.side) {
            (Some(history), Section::History) => history,
            _ => &self.current,
        }
    }

    /// Positions both sections with `seek`, after which the position is the first of the two, or the last.
    fn place(&mut self, ahead: bool, seek: impl Fn(&mut SectionCursor) -> Result<()>) -> Result<()> {
        self.ahead = ahead;
        let result = seek(&mut self.current).and_then(|()| self.history.as_mut().map_or(Ok(()), seek));
        self.settle(result)
    }

    /// One version forwards or back in both sections.
    fn step(&mut self, forwards: bool) -> Result<()> {
        let result = self.turn_and_move(forwards);
        self.settle(result)
    }

    fn turn_and_move(&mut self, forwards: bool) -> Result<()> {
        let turn = self.ahead != forwards;
        let Some(history) = &mut self.history else { return Ok(()) };
        let (here, other) = match self.side {
            Section::Current => (&mut self.current, history),
            Section::History => (history, &mut self.current),
        };
        if !here.valid() {
            return Ok(());
        }
        self.ahead = forwards;
        if turn {
            // Between the two there is nothing, so one step brings the other to the other side of the position.
            match (forwards, other.valid()) {
                (true, true) => other.next()?,
                (true, false) => other.seek_first()?,
                (false, true) => other.prev()?,
                (false, false) => other.seek_last()?,
            }
        }
        if forwards { here.next() } else { here.prev() }
    }

    /// Chooses the section at the position; after an error there is none.
    #[inline]
    fn settle(&mut self, result: Result<()>) -> Result<()> {
        let Some(history) = &mut self.history else { return result };
        if result.is_err() {
            self.current.leave();
            history.leave();
            return result;
        }
        // Of one key the newest version comes first, and that is the one in the current section.
        let history_comes = history.valid()
            && (!self.current.valid()
                || if self.ahead {
                    history.key() < self.current.key()
                } else {
                    history.key() >= self.current.key()
                });
        self.side = if history_comes { Section::History } else { Section::Current };
        Ok(())
    }
}
