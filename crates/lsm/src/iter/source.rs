//! One sorted stream of versions, whatever holds it. A plain enum: the merge calls these methods at every step.

use super::LevelCursor;
use crate::error::Result;
use crate::memtable::MemtableCursor;
use crate::range::Direction;
use crate::table::TableCursor;
use crate::types::{Seq, Trailer};

/// A cursor over one source. The position methods have the same meaning for every kind: `seek` goes to the first
/// version at or after a place, `seek_before` to the last version of a smaller user key (without a key: to the last
/// of all).
pub(crate) enum Source {
    Memtable(MemtableCursor),
    Table(TableCursor),
    Level(LevelCursor),
}

impl Source {
    pub(crate) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.seek(key, trailer);
                Ok(())
            }
            Self::Table(cursor) => cursor.seek(key, trailer),
            Self::Level(cursor) => cursor.seek(key, trailer),
        }
    }

    pub(crate) fn seek_before(&mut self, key: Option<&[u8]>) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.seek_before(key);
                Ok(())
            }
            Self::Table(cursor) => match key {
                Some(key) => cursor.seek_before(key),
                None => cursor.seek_last(),
            },
            Self::Level(cursor) => cursor.seek_before(key),
        }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.next();
                Ok(())
            }
            Self::Table(cursor) => cursor.next(),
            Self::Level(cursor) => cursor.next(),
        }
    }

    /// As [`Self::next`], from a version whose key has a newer one that the reader may see.
    #[inline]
    pub(crate) fn next_from_superseded(&mut self) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.next();
                Ok(())
            }
            Self::Table(cursor) => cursor.next_from_superseded(),
            Self::Level(cursor) => cursor.next_from_superseded(),
        }
    }

    /// Whether all versions from here to the end of some stretch are known to have keys less than `key`, which holds as long
    /// as [`Self::is_in_block`].
    pub(crate) fn block_ends_before(&mut self, key: &[u8]) -> bool {
        match self {
            Self::Memtable(_) => false,
            Self::Table(cursor) => cursor.block_ends_before(key),
            Self::Level(cursor) => cursor.block_ends_before(key),
        }
    }

    /// See [`Self::block_ends_before`].
    #[inline]
    pub(crate) fn is_in_block(&self) -> bool {
        match self {
            Self::Memtable(_) => false,
            Self::Table(cursor) => cursor.is_in_block(),
            Self::Level(cursor) => cursor.is_in_block(),
        }
    }

    pub(crate) fn prev(&mut self) -> Result<()> {
        match self {
            Self::Memtable(cursor) => {
                cursor.prev();
                Ok(())
            }
            Self::Table(cursor) => cursor.prev(),
            Self::Level(cursor) => cursor.prev(),
        }
    }

    /// See [`super::MergeCursor::skip_older`]. The source was last moved in the same direction.
    pub(crate) fn skip_older(&mut self, edge: &[u8], before: Seq, direction: Direction) -> Result<()> {
        match self {
            Self::Memtable(_) => Ok(()),
            Self::Table(cursor) => cursor.skip_older(edge, before, direction),
            Self::Level(cursor) => cursor.skip_older(edge, before, direction),
        }
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        match self {
            Self::Memtable(cursor) => cursor.valid(),
            Self::Table(cursor) => cursor.valid(),
            Self::Level(cursor) => cursor.valid(),
        }
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Memtable(cursor) => cursor.key(),
            Self::Table(cursor) => cursor.key(),
            Self::Level(cursor) => cursor.key(),
        }
    }

    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        match self {
            Self::Memtable(cursor) => cursor.trailer(),
            Self::Table(cursor) => cursor.trailer(),
            Self::Level(cursor) => cursor.trailer(),
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Memtable(cursor) => cursor.value(),
            Self::Table(cursor) => cursor.value(),
            Self::Level(cursor) => cursor.value(),
        }
    }
}
