//! Builds the index of a section from the separators of its data blocks.

use super::block_builder::BlockBuilder;
use super::envelope::Handle;
use super::index::Target;
use super::layout::TableLayout;
use crate::error::Result;
use crate::types::{Kind, Seq, Trailer};

/// Collects index entries; only at the end it is known whether one block will do.
#[derive(Default)]
pub(super) struct IndexBuilder {
    /// All separators, one after another.
    keys: Vec<u8>,
    entries: Vec<Collected>,
}

struct Collected {
    /// Where the separator ends in `keys`.
    key_end: usize,
    seq: Seq,
    target: Target,
}

/// The block of an index that stays in memory.
pub(super) struct RootPayload {
    pub(super) payload: Vec<u8>,
    pub(super) has_leaves: bool,
}

/// About what an entry takes beside its separator: lengths, sequences, handle and restart.
const ENTRY_OVERHEAD: usize = 24;

impl IndexBuilder {
    /// Appends the entry of a data block.
    pub(super) fn add(&mut self, separator: &[u8], seq: Seq, target: Target) {
        self.keys.extend_from_slice(separator);
        self.entries.push(Collected { key_end: self.keys.len(), seq, target });
    }

    /// About the bytes of the index so far.
    pub(super) fn bytes(&self) -> usize {
        self.keys.len() + self.entries.len() * ENTRY_OVERHEAD
    }

    /// Makes the index; `None` without entries. `write` puts the payloads of leaves into the file, if there have to be
    /// any; the root is for the caller to write.
    pub(super) fn finish(
        &self,
        layout: TableLayout,
        mut write: impl FnMut(&[u8]) -> Result<Handle>,
    ) -> Result<Option<RootPayload>> {
        if self.entries.is_empty() {
            return Ok(None);
        }
        let mut block = BlockBuilder::new(1);
        if self.bytes() <= layout.index_bytes {
            for position in 0..self.entries.len() {
                let entry = &self.entries[position];
                append(&mut block, self.key(position), entry.seq, entry.target);
            }
            return Ok(Some(RootPayload { payload: block.finish().to_vec(), has_leaves: false }));
        }
        let leaf_blocks = usize::from(layout.leaf_blocks.get());
        let mut root = BlockBuilder::new(1);
        for (number, leaf) in self.entries.chunks(leaf_blocks).enumerate() {
            let first = number * leaf_blocks;
            let (mut least, mut greatest) = (Seq::MAX, Seq::ZERO);
            for (slot, entry) in leaf.iter().enumerate() {
                append(&mut block, self.key(first + slot), entry.seq, entry.target);
                least = least.min(entry.target.least);
                greatest = greatest.max(entry.target.greatest);
            }
            let handle = write(block.finish())?;
            block.begin();
            let last = first + leaf.len() - 1;
            append(&mut root, self.key(last), self.entries[last].seq, Target { handle, least, greatest });
        }
        Ok(Some(RootPayload { payload: root.finish().to_vec(), has_leaves: true }))
    }

    fn key(&self, position: usize) -> &[u8] {
        let start = position.checked_sub(1).map_or(0, |before| self.entries[before].key_end);
        &self.keys[start..self.entries[position].key_end]
    }
}

fn append(block: &mut BlockBuilder, separator: &[u8], seq: Seq, target: Target) {
    let mut value = Vec::with_capacity(ENTRY_OVERHEAD);
    target.encode(&mut value);
    block.add(separator, Trailer::new(seq, Kind::Put), &value);
}
