//! The parts of a table whose tail does not hold together, found as far as they can be.
//!
//! The footer says where the parts behind the data lie; without it, all blocks of the file are looked at. The properties
//! say how many of the first blocks hold data; without them, a block that may be one of an index is not taken for data.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::block::{Block, Origin};
use super::envelope::{self, Handle};
use super::footer::{FOOTER_BYTES, Footer};
use super::index::may_be_index;
use super::properties::Properties;
use super::sealed::find_sealed;
use super::tombstone_block;
use crate::format::FileSalt;
use crate::tombstones::RangeTombstones;
use crate::types::FileNumber;

/// See the module.
pub(super) struct Anatomy {
    /// Data blocks.
    pub(super) data: Vec<Handle>,
    /// The first stretch that should hold blocks and holds none.
    pub(super) hole: Option<Range<u64>>,
    pub(super) properties: Option<Properties>,
    /// `None` if there may be some that cannot be read.
    pub(super) tombstones: Option<RangeTombstones>,
}

impl Anatomy {
    /// Of the table `number`, whose file is `bytes` and should have the size `expected`.
    pub(super) fn of(
        bytes: &[u8],
        path: &Path,
        salt: FileSalt,
        number: FileNumber,
        expected: Option<u64>,
    ) -> Self {
        let file = File { bytes, path, salt, number };
        let footer = expected.into_iter().chain([bytes.len() as u64]).find_map(|size| file.footer(size));
        let end = footer.map_or(bytes.len() as u64, |footer| footer.filter.offset);
        let found = find_sealed(bytes, 0..end, salt, |handle| file.is_a_part(handle));
        let properties = match &footer {
            Some(footer) => file.properties(footer.properties),
            None => found.blocks.iter().rev().find_map(|&handle| file.properties(handle)),
        };
        let tombstones = match (&footer, &properties) {
            (Some(footer), _) => match footer.tombstones {
                None => Some(RangeTombstones::default()),
                Some(handle) => file.tombstones(handle),
            },
            (None, Some(properties)) if properties.range_tombstones == 0 => Some(RangeTombstones::default()),
            (None, Some(_)) => found.blocks.iter().rev().nth(1).and_then(|&handle| file.tombstones(handle)),
            (None, None) => None,
        };
        let hole = found.holes.into_iter().next();
        let count = properties.as_ref().map(|properties| properties.data_blocks as usize);
        let whole = count.filter(|&count| {
            let end = found.blocks.get(count.wrapping_sub(1)).and_then(|last| last.end());
            end.is_some_and(|end| hole.as_ref().is_none_or(|hole| end <= hole.start))
        });
        let mut data = found.blocks;
        match whole {
            Some(count) => data.truncate(count),
            None => {
                let others = data.iter().position(|&handle| file.data(handle).is_none());
                data.truncate(others.unwrap_or(data.len()));
                data.retain(|&handle| {
                    file.data(handle).is_some_and(|block| !may_be_index(&block, handle.offset))
                });
            }
        }
        Self { data, hole, properties, tombstones }
    }
}

#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    path: &'a Path,
    salt: FileSalt,
    number: FileNumber,
}

impl File<'_> {
    /// The footer of a file of this size.
    fn footer(self, size: u64) -> Option<Footer> {
        let at = size.checked_sub(FOOTER_BYTES as u64)?;
        let bytes = self.bytes.get(at as usize..)?.first_chunk()?;
        Footer::decode_unmarked(bytes, self.salt, at, self.path).ok()
    }

    fn stored(&self, handle: Handle) -> Option<&[u8]> {
        self.bytes.get(handle.offset as usize..)?.get(..handle.stored_bytes())
    }

    fn data(self, handle: Handle) -> Option<Block> {
        let payload = envelope::open_copy(self.stored(handle)?, self.salt, handle.offset, self.path).ok()?;
        Block::new(payload, Origin { path: Arc::from(self.path), offset: handle.offset }).ok()
    }

    fn plain(&self, handle: Handle) -> Option<&[u8]> {
        envelope::open_plain(self.stored(handle)?, self.salt, handle.offset, self.path).ok()
    }

    fn properties(self, handle: Handle) -> Option<Properties> {
        let found = Properties::decode(self.plain(handle)?)?;
        let salt = FileSalt::new(found.store, found.number);
        (found.number == self.number && salt == self.salt).then_some(found)
    }

    fn tombstones(self, handle: Handle) -> Option<RangeTombstones> {
        tombstone_block::decode(self.plain(handle)?)
    }

    /// Whether a block is of any use.
    fn is_a_part(self, handle: Handle) -> bool {
        self.data(handle).is_some() || self.plain(handle).is_some()
    }
}
