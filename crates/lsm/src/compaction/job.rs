//! Does a compaction: reads the input tables in order, writes what is kept into new tables.
//!
//! Nothing takes effect here. The new tables are on disk when [`run_job`] returns, though their names may not be; until
//! the manifest names them they do not exist, and if the job fails they are removed.

use std::sync::Arc;

use super::cut::Cutter;
use super::gc::{Needed, VersionFilter};
use super::pace::Pace;
use super::picker::Task;
use super::ranges::{Clipper, still_needed};
use crate::error::{Error, Result};
use crate::files::StorePaths;
use crate::fs::{Fs, tolerate};
use crate::iter::{LevelCursor, MergeCursor, Source, View};
use crate::limits::LEVELS;
use crate::manifest::Version;
use crate::marks::{Mark, hit};
use crate::range::Direction;
use crate::retention::RetentionRules;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::table::{Compression, Table, TableForm, TableMeta, TableWriter};
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

/// What a job needs from the store.
pub(crate) struct JobContext<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) paths: &'a StorePaths,
    pub(crate) store: StoreId,
    /// The version that the task was picked from.
    pub(crate) version: &'a Version,
    pub(crate) rules: &'a RetentionRules,
    /// See [`VersionFilter`].
    pub(crate) needed: &'a Needed,
    pub(crate) table_bytes: u64,
    pub(crate) compression: Compression,
    pub(crate) form: TableForm,
    pub(crate) bytes_per_second: Option<u64>,
    /// Whether writers wait for compactions, so that this one must not dally.
    pub(crate) hurry: &'a dyn Fn() -> bool,
    /// Told how many bytes of the inputs have been read.
    pub(crate) progress: &'a dyn Fn(u64),
    pub(crate) next_file: &'a dyn Fn() -> FileNumber,
    /// Set when the store closes; the job then stops soon.
    pub(crate) cancel: &'a AtomicBool,
}

/// What a job made.
#[derive(Debug, Default)]
pub(crate) struct JobOutput {
    pub(crate) tables: Vec<TableMeta>,
    pub(crate) dropped: u64,
}

/// How many versions pass between two check-ins.
const CHECK_INTERVAL: u64 = 1024;

/// Merges the inputs of `task`. On error, or when cancelled ([`Error::Closed`]), no new table is left behind.
pub(crate) fn run_job(context: &JobContext<'_>, task: &Task) -> Result<JobOutput> {
    let deleted = RangeTombstones::union(task.inputs.iter().map(|(_, table)| table.range_tombstones()));
    let kept = still_needed(&deleted, context.rules, context.needed, |range| {
        task.target > 0 && !context.version.reaches_below_range(task.target, range)
    });
    let mut job = Job {
        context,
        target: task.target,
        deleted,
        clipper: Clipper::new(kept),
        open: None,
        finished_bytes: 0,
        pace: Pace::new(context.bytes_per_second),
        output: JobOutput::default(),
    };
    let done = job.merge(task).and_then(|()| job.close_table(None));
    if done.is_err() {
        job.discard();
    }
    done.map(|()| job.output)
}

struct Job<'a> {
    context: &'a JobContext<'a>,
    target: usize,
    /// The ranges that the inputs delete.
    deleted: RangeTombstones,
    /// What of them goes into the outputs.
    clipper: Clipper,
    /// The table being written.
    open: Option<(FileNumber, TableWriter)>,
    /// Bytes of the tables that are finished.
    finished_bytes: u64,
    pace: Pace,
    output: JobOutput,
}

impl Job<'_> {
    fn merge(&mut self, task: &Task) -> Result<()> {
        let mut merge = MergeCursor::new(input_sources(task), Direction::Forward);
        merge.seek(b"", Trailer::new(Seq::MAX, Kind::Delete))?;
        let deleted = std::mem::take(&mut self.deleted);
        let mut filter = VersionFilter::new(self.context.needed, &deleted);
        let mut cutter = self.cutter();
        let mut key = Vec::new();
        let (mut first, mut seen, mut read) = (true, 0u64, 0u64);
        while merge.valid() {
            if first || merge.key() != key {
                first = false;
                key.clear();
                key.extend_from_slice(merge.key());
                filter.start_key(&key, self.context.rules.of(&key));
                // Versions of one key never spread over two tables of a level, and a level-0 table is never cut:
                // it stands for all that its inputs stood for.
                if self.target > 0 && cutter.ends_before(&key, self.open_bytes()) {
                    self.close_table(Some(&key))?;
                }
            }
            read += (merge.key().len() + merge.value().len()) as u64;
            let hides_nothing = || self.target > 0 && !self.context.version.reaches_below(self.target, &key);
            if filter.keep(merge.trailer(), hides_nothing) {
                self.writer()?.add(&key, merge.trailer(), merge.value())?;
            } else {
                self.output.dropped += 1;
            }
            seen += 1;
            if seen.is_multiple_of(CHECK_INTERVAL) {
                self.check_in(read)?;
            }
            merge.advance()?;
        }
        Ok(())
    }

    /// Reports progress, keeps the pace, and ends the job when the store closes.
    fn check_in(&mut self, read: u64) -> Result<()> {
        (self.context.progress)(read);
        let written = self.finished_bytes + self.open_bytes();
        self.pace.reached(written, self.context.hurry, self.context.cancel);
        if self.context.cancel.load(Ordering::Relaxed) {
            hit(Mark::CompactionBrokenOff);
            return Err(Error::Closed);
        }
        Ok(())
    }

    fn cutter(&self) -> Cutter {
        let below = self.target + 1;
        let grandparents = if self.target > 0 && below < LEVELS {
            self.context.version.level(below).to_vec()
        } else {
            Vec::new()
        };
        Cutter::new(grandparents, self.context.table_bytes)
    }

    fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |(_, writer)| writer.bytes_written())
    }

    fn writer(&mut self) -> Result<&mut TableWriter> {
        match &mut self.open {
            Some((_, writer)) => Ok(writer),
            none => {
                let number = (self.context.next_file)();
                let compression = self.context.compression;
                let path = self.context.paths.table(number);
                let writer =
                    TableWriter::create(self.context.fs, path, self.context.store, number, compression)?;
                Ok(&mut none.insert((number, writer.with_form(self.context.form))).1)
            }
        }
    }

    /// Ends the open table before the key `to`, or at the end of all.
    fn close_table(&mut self, to: Option<&[u8]>) -> Result<()> {
        let deleted = self.clipper.take(to);
        if !deleted.is_empty() {
            self.writer()?.add_range_tombstones(&deleted)?;
        }
        if let Some((number, writer)) = self.open.take() {
            match writer.finish() {
                Ok(meta) => {
                    self.finished_bytes += meta.size;
                    self.output.tables.push(meta);
                }
                Err(error) => {
                    tolerate(self.context.fs.remove(&self.context.paths.table(number)));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Removes what was written. What cannot be removed now is removed at the next open.
    fn discard(&mut self) {
        let open = self.open.take().map(|(number, _)| number);
        let finished = self.output.tables.drain(..).map(|meta| meta.number);
        for number in finished.chain(open) {
            tolerate(self.context.fs.remove(&self.context.paths.table(number)));
        }
    }
}

/// Each level-0 table is a source of its own; the tables of a deeper level are one.
fn input_sources(task: &Task) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut levels: std::collections::BTreeMap<usize, Vec<Arc<Table>>> = std::collections::BTreeMap::new();
    for (level, table) in &task.inputs {
        if *level == 0 {
            sources.push(Source::Table(table.cursor_past_cache()));
        } else {
            levels.entry(*level).or_default().push(Arc::clone(table));
        }
    }
    for mut tables in levels.into_values() {
        tables.sort_by(|a, b| a.meta().smallest.cmp(&b.meta().smallest));
        sources.push(Source::Level(LevelCursor::new(tables.into(), View::Once)));
    }
    sources
}
