//! Reads of several keys from one table, in key order: what one read found on its way the next one need not look for.
//!
//! Keys that lie in one data block share its lookup in the cache, or its read from the disk with checksum and
//! decompression; a key that the block reaches needs no search in the index, and the search in the block goes on from the
//! key before. Keys far apart cost what single reads do.

use std::sync::Arc;

use super::block::{Block, Entry, Found};
use super::envelope::Handle;
use super::index::{IndexPlace, Section};
use super::reader::{Look, Table, version};
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
        match self.current.look(table, Section::Current, key, Seq::MAX, self.at, tier)? {
            Look::Found(block, entry) => return Ok(Some(version(Arc::clone(block), &entry))),
            Look::Absent => return Ok(None),
            Look::Newer if planted::active(Bug::HistoryIgnored) => return Ok(None),
            Look::Newer => hit(Mark::HistoryRead),
        }
        match self.history.look(table, Section::History, key, self.at, self.at, tier)? {
            Look::Found(block, entry) => Ok(Some(version(Arc::clone(block), &entry))),
            Look::Newer | Look::Absent => Ok(None),
        }
    }
}

impl<'k> Walk<'k> {
    /// As [`Table::look`], for a version that does not come before the one of the last search.
    fn look(
        &mut self,
        table: &Table,
        section: Section,
        key: &'k [u8],
        newest: Seq,
        at: Seq,
        tier: ReadTier,
    ) -> Result<Look<&Arc<Block>>> {
        let Some(index) = table.tail.index(section) else { return Ok(Look::Absent) };
        let Some(target) = index.find_onwards(table, key, newest, tier, &mut self.place)? else {
            return Ok(Look::Absent);
        };
        if target.least > at {
            return Ok(Look::Newer);
        }
        let before = self.found.take();
        let (block, before) = match self.block.take() {
            Some((handle, block)) if handle == target.handle => (block, before),
            _ => (table.block(target.handle, tier, |_| Ok(()))?, None),
        };
        let (_, block) = self.block.insert((target.handle, block));
        let found = match before {
            Some((before, entry)) if before < key => block.find_behind(before, &entry, key, newest)?,
            _ => block.find(key, newest)?,
        };
        if let Found::Version(entry) = found {
            self.found = Some((key, entry));
        }
        Ok(Look::new(found, block, at))
    }
}
