//! Writes sorted records of one commit into tables before the sequence is known, and finds their levels afterwards.
//!
//! A table may lie in a level when nothing in that level or above it overlaps it: then every older version of its
//! keys is below. Keys that fall between the tables of levels 0 and 1 therefore make tables of their own, for the
//! deepest level that lets them in, while keys that fall into one of those tables make a table for level 0: one, unless
//! they are so many that what a table holds in memory while it is written would count. Stretches too short to be worth a
//! table of their own go there, too.
//!
//! How the records are cut follows the tables as they are at the beginning; flushes and compactions go on meanwhile. So
//! the levels are chosen at the end, when both are kept out, and a table that has become covered goes to level 0 as well.
//! That is a matter of speed only: tables of one ingest have no key in common, so they may lie in any order.

use std::collections::VecDeque;

use crate::error::Result;
use crate::files::StorePaths;
use crate::fs::{Fs, tolerate};
use crate::limits::{INGEST_MIN_TABLE_BYTES, INGEST_UPPER_TABLES, LEVELS};
use crate::manifest::Version;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::table::{Compression, TableForm, TableMeta, TableWriter};
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

/// What the tables need from the store.
pub(super) struct Context<'a> {
    pub(super) fs: &'a dyn Fs,
    pub(super) paths: &'a StorePaths,
    pub(super) store: StoreId,
    /// The tables at the beginning.
    pub(super) version: &'a Version,
    /// Told now and then, so that it can end all this.
    pub(super) check: &'a dyn Fn() -> Result<()>,
    pub(super) table_bytes: u64,
    pub(super) compression: Compression,
    pub(super) form: TableForm,
    pub(super) next_file: &'a dyn Fn() -> FileNumber,
}

/// Records between two checks.
const CHECK_INTERVAL: u64 = 1024;

/// A smallest and a largest key.
type Stretch = (Box<[u8]>, Box<[u8]>);

/// Takes records in order of their keys.
pub(super) struct Placement<'a> {
    context: Context<'a>,
    /// Smallest and largest keys of the stretches that levels 0 and 1 cover and that are not yet passed, ascending
    /// and apart.
    covered: VecDeque<Stretch>,
    /// Records since the last covered stretch, while they are too few for a table.
    pending: Pending,
    /// The table for such records, once they are enough.
    deep: Option<TableWriter>,
    /// The table for level 0 that is being written.
    upper: Option<TableWriter>,
    /// Every file that was begun, to be removed should all this fail.
    begun: Vec<FileNumber>,
    finished: Vec<TableMeta>,
    added: u64,
}

/// Records in one buffer: lengths of key and value, and their bytes.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: Vec<(usize, usize)>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(context: Context<'a>) -> Self {
        let covered = covered_by(context.version);
        Self {
            context,
            covered,
            pending: Pending::default(),
            deep: None,
            upper: None,
            begun: Vec::new(),
            finished: Vec::new(),
            added: 0,
        }
    }

    /// Adds a record, whose key is after all keys before.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.added += 1;
        if self.added.is_multiple_of(CHECK_INTERVAL) {
            (self.context.check)()?;
        }
        while self.covered.front().is_some_and(|(_, largest)| **largest < *key) {
            self.covered.pop_front();
            // A table must not reach over what was just passed.
            self.end_stretch()?;
        }
        if self.covered.front().is_some_and(|(smallest, _)| **smallest <= *key) {
            self.end_stretch()?;
            hit(Mark::IngestedAmongTables);
            return self.add_upper(key, value);
        }
        if self.deep.is_some() {
            return self.add_deep(key, value);
        }
        self.pending.push(key, value);
        if self.pending.bytes.len() as u64 >= INGEST_MIN_TABLE_BYTES.min(self.context.table_bytes) {
            self.release(Self::add_deep)?;
        }
        Ok(())
    }

    /// Finishes all tables, whose names are not durable yet; gives back their descriptions.
    pub(super) fn finish(&mut self) -> Result<Vec<TableMeta>> {
        if self.upper.is_none() && self.finished.is_empty() && self.deep.is_none() {
            // However few they are, nothing is in their way.
            self.release(Self::add_deep)?;
        }
        self.end_stretch()?;
        self.close_upper()?;
        Ok(std::mem::take(&mut self.finished))
    }

    /// Removes every file. What cannot be removed now is removed at the next open.
    pub(super) fn discard(&mut self) {
        (self.deep, self.upper) = (None, None);
        for number in self.begun.drain(..) {
            tolerate(self.context.fs.remove(&self.context.paths.table(number)));
        }
    }

    /// No table goes on behind this point.
    fn end_stretch(&mut self) -> Result<()> {
        self.release(Self::add_upper)?;
        self.close_deep()
    }

    /// Hands the pending records to `add`.
    fn release(&mut self, add: fn(&mut Self, &[u8], &[u8]) -> Result<()>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        pending.for_each(|key, value| add(self, key, value))
    }

    fn add_upper(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let most = self.context.table_bytes.saturating_mul(INGEST_UPPER_TABLES);
        if self.upper.as_ref().is_some_and(|writer| writer.bytes_written() >= most) {
            self.close_upper()?;
        }
        let writer = match &mut self.upper {
            Some(writer) => writer,
            none => none.insert(begin(&self.context, &mut self.begun, Compression::None)?),
        };
        writer.add(key, Trailer::new(Seq::ZERO, Kind::Put), value)
    }

    fn add_deep(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if self.deep.as_ref().is_some_and(|writer| writer.bytes_written() >= self.context.table_bytes) {
            self.close_deep()?;
        }
        let writer = match &mut self.deep {
            Some(writer) => writer,
            none => none.insert(begin(&self.context, &mut self.begun, self.context.compression)?),
        };
        writer.add(key, Trailer::new(Seq::ZERO, Kind::Put), value)
    }

    fn close_upper(&mut self) -> Result<()> {
        if let Some(writer) = self.upper.take() {
            self.finished.push(writer.finish()?);
        }
        Ok(())
    }

    fn close_deep(&mut self) -> Result<()> {
        if let Some(writer) = self.deep.take() {
            self.finished.push(writer.finish()?);
        }
        Ok(())
    }
}

impl Pending {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.records.push((key.len(), value.len()));
    }

    fn for_each(&self, mut add: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        let mut rest = self.bytes.as_slice();
        for &(key_len, value_len) in &self.records {
            let (record, behind) = rest.split_at(key_len + value_len);
            let (key, value) = record.split_at(key_len);
            add(key, value)?;
            rest = behind;
        }
        Ok(())
    }
}

fn begin(
    context: &Context<'_>,
    begun: &mut Vec<FileNumber>,
    compression: Compression,
) -> Result<TableWriter> {
    let number = (context.next_file)();
    begun.push(number);
    let path = context.paths.table(number);
    let writer = TableWriter::create(context.fs, path, context.store, number, compression)?;
    Ok(writer.with_form(context.form))
}

/// The levels for tables of one ingest, when the tables of the store are those of `version`.
pub(super) fn levels_for(version: &Version, tables: &[TableMeta]) -> Vec<usize> {
    let mut levels: Vec<usize> = Vec::with_capacity(tables.len());
    for meta in tables {
        let apart = |level: usize| {
            let beside = levels.iter().zip(tables).filter(|(placed, _)| **placed == level);
            beside.into_iter().all(|(_, other)| !other.overlaps(&meta.smallest, &meta.largest))
        };
        levels.push(deepest_level(version, meta, apart));
    }
    levels
}

/// The deepest level where nothing overlaps the table, in that level or above. `apart` says whether the other tables of
/// the ingest allow for it.
fn deepest_level(version: &Version, meta: &TableMeta, apart: impl Fn(usize) -> bool) -> usize {
    if planted::active(Bug::IngestTooDeep) {
        return LEVELS - 1;
    }
    let is_free = |level: &usize| version.overlapping(*level, &meta.smallest, &meta.largest).is_empty();
    let free = (0..LEVELS).take_while(is_free).filter(|&level| level > 0 && apart(level));
    free.last().unwrap_or(0)
}

/// The stretches of keys that levels 0 and 1 cover, ascending and apart.
fn covered_by(version: &Version) -> VecDeque<Stretch> {
    let tables = version.level(0).iter().chain(version.level(1));
    let mut all: Vec<_> =
        tables.map(|table| (table.meta().smallest.clone(), table.meta().largest.clone())).collect();
    all.sort();
    let mut merged: VecDeque<Stretch> = VecDeque::new();
    for (smallest, largest) in all {
        match merged.back_mut() {
            Some((_, end)) if smallest <= *end => *end = largest.max(std::mem::take(end)),
            _ => merged.push_back((smallest, largest)),
        }
    }
    merged
}
