//! Every fault of a table, not only the first.

use std::sync::Arc;

use super::index::Section;
use super::reader::Table;
use crate::error::{Error, Result};
use crate::types::ReadTier;

impl Table {
    /// Number of data blocks that are sound, and all faults that can be told apart.
    ///
    /// The whole proof ends at its first fault; then each data block is read by itself to see which others are bad.
    pub(crate) fn scrub(self: &Arc<Self>) -> (u64, Vec<Error>) {
        let Err(first) = self.verify() else { return (self.tail.properties.data_blocks, Vec::new()) };
        let (mut sound, mut faults) = (0, Vec::new());
        for section in [Section::Current, Section::History] {
            for position in 0..self.blocks(section) {
                match self.read_at(section, position) {
                    Ok(()) => sound += 1,
                    // All data blocks under a bad index leaf have the fault of the leaf.
                    Err(error)
                        if faults.last().is_some_and(|last: &Error| last.offset() == error.offset()) => {}
                    Err(error) => faults.push(error),
                }
            }
        }
        if !faults.iter().any(|fault| fault.offset() == first.offset()) {
            faults.insert(0, first);
        }
        (sound, faults)
    }

    fn read_at(&self, section: Section, position: usize) -> Result<()> {
        let Some(index) = self.tail.index(section) else { return Ok(()) };
        self.read_block(index.target(self, position, ReadTier::Disk)?.handle).map(|_| ())
    }
}
