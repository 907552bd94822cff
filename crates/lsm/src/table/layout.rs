//! How the tables of a store are cut into blocks, and what their filters know: all that is up to whoever writes a table.
//! What a reader has to know of it is in each table, so it may be different each time.

use std::num::NonZeroU16;

use crate::limits::{BLOCK_BYTES, INDEX_LEAF_BLOCKS, MAX_PINNED_INDEX_BYTES};
use crate::prefix::KeyPrefix;

/// Where blocks of tables end.
///
/// The defaults are what measurements say. Smaller ones are for tests, which meet many blocks and split indexes in small
/// stores by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLayout {
    /// Uncompressed bytes at which a data block is closed. With 0, each version has a block of its own. Default: 4 KiB;
    /// what is more than 1 MiB counts as that.
    pub block_bytes: usize,
    /// Bytes of an index, about, that may stay in memory while the table is open; a larger one is split into leaves and a root.
    /// Default: 1 MiB.
    pub index_bytes: usize,
    /// Data blocks named by each leaf but the last. Default: 256.
    pub leaf_blocks: NonZeroU16,
}

impl Default for TableLayout {
    fn default() -> Self {
        Self { block_bytes: BLOCK_BYTES, index_bytes: MAX_PINNED_INDEX_BYTES, leaf_blocks: INDEX_LEAF_BLOCKS }
    }
}

/// What a table is written with beside its content.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableForm {
    pub(crate) layout: TableLayout,
    /// Which prefixes the filter knows.
    pub(crate) prefixes: Option<KeyPrefix>,
}
