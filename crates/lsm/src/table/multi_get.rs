//! Reads of several keys from one table, in key order: what one read found on its way the next one need not look for.
//!
//! Keys that lie in one data block share its lookup in the cache, or its read from the disk with checksum and
//! decompression; a key that the block reaches needs no search in the index, and the search in the block goes on from the
//! key before. Keys far apart cost what single reads do.

use std::sync::Arc;

use super::block::{Block, Entry, Found};
use super::envelope::Handle;
use super::index::{IndexPlace, Section};
use super::reader::{Table, version};
use crate::error::Result;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::types::{ReadTier, Seq};
use crate::value::Version;

/// See the module.
pub(crate) struct MultiGet<'t, 'k> {
    table: &'t Table,
    at: Seq,
    tier: ReadTier,
    current: Walk<'k>,
    history: Walk<'k>,
}

/// Where the last search in a section ended.
#[derive(Default)]
struct Walk<'k> {
    place: IndexPlace,
    block: Option<(Handle, Arc<Block>)>,
    /// The last key and its entry, if it was found in the block.
    found: Option<(&'k [u8], Entry)>,
}

impl<'t, 'k> MultiGet<'t, 'k> {
    /// Reads of the newest versions at or before `at`.
    pub(crate) fn new(table: &'t Table, at: Seq, tier: ReadTier) -> Self {
        Self { table, at, tier, current: Walk::default(), history: Walk::default() }
    }

    /// As [`Table::get_with_seq`], for a key that is not less than the one before and that the filter lets through.
    pub(crate) fn get(&mut self, key: &'k [u8]) -> Result<Option<(Seq, Version)>> {
        let (table, tier) = (self.table, self.tier);
        let newest = self.current.find(table, Section::Current, key, Seq::MAX, tier)?;
        match newest {
            Some((block, entry)) if entry.trailer.seq() <= self.at => {
                Ok(Some(version(Arc::clone(block), &entry)))
            }
            Some(_) if planted::active(Bug::HistoryIgnored) => Ok(None),
            Some(_) => {
                hit(Mark::HistoryRead);
                let older = self.history.find(table, Section::History, key, self.at, tier)?;
                Ok(older.map(|(block, entry)| version(Arc::clone(block), &entry)))
            }
            None => Ok(None),
        }
    }
}

impl<'k> Walk<'k> {
    /// As [`Table::find`], for a version that does not come before the one of the last search.
    fn find(
        &mut self,
        table: &Table,
        section: Section,
        key: &'k [u8],
        at: Seq,
        tier: ReadTier,
    ) -> Result<Option<(&Arc<Block>, Entry)>> {
        let Some(index) = table.tail.index(section) else { return Ok(None) };
        let Some(target) = index.find_onwards(table, key, at, tier, &mut self.place)? else {
            return Ok(None);
        };
        if target.least > at {
            return Ok(None);
        }
        let before = self.found.take();
        let (block, before) = match self.block.take() {
            Some((handle, block)) if handle == target.handle => (block, before),
            _ => (table.block(target.handle, tier, |_| Ok(()))?, None),
        };
        let (_, block) = self.block.insert((target.handle, block));
        let found = match before {
            Some((before, entry)) if before < key => block.find_behind(before, &entry, key, at)?,
            _ => block.find(key, at)?,
        };
        let Found::Version(entry) = found else { return Ok(None) };
        self.found = Some((key, entry));
        Ok(Some((block, entry)))
    }
}
