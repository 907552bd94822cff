//! Collects the entries of one section of a table into data blocks and the index of these.

use super::block_builder::BlockBuilder;
use super::envelope::Handle;
use super::index::{Target, short_separator};
use super::index_builder::{IndexBuilder, RootPayload};
use super::layout::TableLayout;
use crate::error::Result;
use crate::limits::{MOST_BLOCK_BYTES, RESTART_INTERVAL};
use crate::types::{Seq, Trailer};

/// A section being written. Where its blocks go is up to the caller, so that those of two sections can take turns.
pub(super) struct SectionWriter {
    block: BlockBuilder,
    index: IndexBuilder,
    blocks: u64,
    last_seq: Seq,
    /// Bounds of the sequences in the block being filled.
    least: Seq,
    greatest: Seq,
}

impl SectionWriter {
    pub(super) fn new() -> Self {
        Self {
            block: BlockBuilder::new(RESTART_INTERVAL),
            index: IndexBuilder::default(),
            blocks: 0,
            last_seq: Seq::ZERO,
            least: Seq::MAX,
            greatest: Seq::ZERO,
        }
    }

    /// The key added last; empty at the start.
    pub(super) fn last_key(&self) -> &[u8] {
        self.block.last_key()
    }

    /// Finished blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Bytes of the block being filled and of the index so far.
    pub(super) fn pending_bytes(&self) -> usize {
        self.block.len() + self.index.bytes()
    }

    /// Whether the block has to be finished before an entry of this size is added.
    pub(super) fn is_full_for(&self, key: &[u8], value: &[u8], block_bytes: usize) -> bool {
        let most = block_bytes.min(MOST_BLOCK_BYTES);
        !self.block.is_empty() && self.block.len() + BlockBuilder::entry_bound(key, value) > most
    }

    /// Appends an entry, which must come after the one before.
    pub(super) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        let seq = trailer.seq();
        self.block.add(key, trailer, value);
        self.last_seq = seq;
        self.least = self.least.min(seq);
        self.greatest = self.greatest.max(seq);
    }

    /// Ends the data block, if there is anything in it; `write` puts its payload into the file, and `next_key` is the
    /// first key of the block to follow.
    pub(super) fn finish_block(
        &mut self,
        next_key: Option<&[u8]>,
        write: impl FnOnce(&[u8]) -> Result<Handle>,
    ) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let handle = write(self.block.finish())?;
        self.block.begin();
        self.blocks += 1;

        let last_key = self.block.last_key();
        let (separator, seq) = match next_key {
            // Between two keys any sequence will do.
            Some(next) if next != last_key => (short_separator(last_key, next), Seq::ZERO),
            None => (last_key, Seq::ZERO),
            Some(_) => (last_key, self.last_seq),
        };
        self.index.add(separator, seq, Target { handle, least: self.least, greatest: self.greatest });
        (self.least, self.greatest) = (Seq::MAX, Seq::ZERO);
        Ok(())
    }

    /// Makes the index, once all blocks are finished. See [`IndexBuilder::finish`].
    pub(super) fn finish_index(
        &mut self,
        layout: TableLayout,
        write: impl FnMut(&[u8]) -> Result<Handle>,
    ) -> Result<Option<RootPayload>> {
        self.index.finish(layout, write)
    }
}
