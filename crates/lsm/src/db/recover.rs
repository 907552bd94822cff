//! What recovery does with the log: its commits become tables before the store is open.
//!
//! Nothing that was recovered is left only in the old log. After a failed sync the page cache may show bytes that
//! never reached the disk; a store that served them and then relied on the old file could lose them later, so they
//! are written to new files, and these synced, before anybody can read them.

use std::path::PathBuf;
use std::thread::{Builder, ScopedJoinHandle};

use super::flush::Place;
use super::replayed::Replayed;
use crate::batch::OpKind;
use crate::error::{Error, Result};
use crate::fs::tolerate;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::table::TableMeta;
use crate::timeline::{Stamp, Timekeeper};
use crate::types::{FileNumber, Seq};
use crate::wal::Replay;

/// What opening a store found, and what it had to leave behind.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// The store did not exist and was created.
    pub created: bool,
    /// The store had been closed in good order.
    pub clean: bool,
    /// Commits taken from the log.
    pub replayed_commits: u64,
    /// Bytes of log read.
    pub replayed_bytes: u64,
    /// Ends of logs that were being written when the store died. Nothing in them was acknowledged as durable.
    pub discarded: Vec<Discarded>,
    /// Files that the manifest does not know, moved aside because the manifest itself had lost its end.
    pub quarantined: Vec<PathBuf>,
    /// Left-over files of a crash that were removed.
    pub removed_files: u64,
}

/// Bytes that recovery did not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// The file.
    pub path: PathBuf,
    /// How many bytes at its end.
    pub bytes: u64,
    /// Why.
    pub reason: String,
}

/// Collects replayed commits and makes tables of them, several at once where there are processors for it.
pub(crate) struct Recoverer<'a> {
    /// Where the next table goes.
    next: Place<'a>,
    portions: Portions,
    stage: Stage,
    replayed: Replayed,
    /// What is to become tables, in the order of the log.
    full: Vec<Replayed>,
    /// Empty, but with memory at hand.
    spare: Vec<Replayed>,
    pub(crate) tables: Vec<TableMeta>,
    pub(crate) timekeeper: Timekeeper,
}

/// How recovered commits are divided into tables.
#[derive(Clone, Copy)]
pub(crate) struct Portions {
    /// Bytes from which on no more goes into a table.
    pub(crate) bytes: usize,
    /// Tables that are written at the same time, each by a thread.
    pub(crate) at_once: usize,
}

impl Portions {
    /// For a store with memtables of this size. One thread writes one table for each memtable. Several share what would have
    /// been two: so a log that is as long as it usually gets has something to do for each of two, and makes only one
    /// table more.
    pub(crate) fn of(memtable_bytes: usize, threads: usize) -> Self {
        let bytes = if threads > 1 { memtable_bytes / 2 } else { memtable_bytes };
        Self { bytes, at_once: threads.max(1) }
    }

    /// Whether enough waits to be written: a table for each thread, or as many bytes, where commits are large.
    fn are_full(&self, full: &[Replayed]) -> bool {
        let bytes: usize = full.iter().map(Replayed::size_bytes).sum();
        full.len() >= self.at_once || bytes >= self.bytes.saturating_mul(self.at_once)
    }
}

/// What a [`Recoverer`] may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Write tables.
    Writing,
    /// Nothing yet but hold what comes in memory, up to so many bytes.
    Holding { limit: usize },
    /// There was more than it could hold, so it let go of everything.
    LetGo,
}

impl<'a> Recoverer<'a> {
    /// One that writes tables, numbered from that of `first` on.
    pub(crate) fn new(first: Place<'a>, portions: Portions, timekeeper: Timekeeper) -> Self {
        Self {
            next: first,
            portions,
            stage: Stage::Writing,
            replayed: Replayed::default(),
            full: Vec::new(),
            spare: Vec::new(),
            tables: Vec::new(),
            timekeeper,
        }
    }

    /// One that writes nothing before [`Recoverer::finish`], and lets go of everything if there is more than `limit` bytes.
    pub(super) fn holding(self, limit: usize) -> Self {
        Self { stage: Stage::Holding { limit }, ..self }
    }

    /// Whether it has everything that it was told, be it in tables or in memory. Otherwise the log must be read again.
    pub(super) fn has_all(&self) -> bool {
        self.stage != Stage::LetGo
    }

    /// The first number that no table has.
    pub(crate) fn next_file(&self) -> FileNumber {
        self.next.number
    }

    /// Writes what is left. Bytes and names of all tables are on disk when this returns.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.fill();
        self.write_tables()?;
        if self.tables.is_empty() {
            return Ok(());
        }
        let Place { fs, paths, .. } = self.next;
        let dir = paths.table_dir();
        planted::unless(Bug::TableNamesNotSynced, || fs.sync_dir(&dir).map_err(|e| Error::sync_dir(&dir, e)))
    }

    fn fill(&mut self) {
        if !self.replayed.is_empty() {
            let empty = self.spare.pop().unwrap_or_default();
            self.full.push(std::mem::replace(&mut self.replayed, empty));
        }
    }

    /// Writes everything that is full. Numbers are given in the order of the log. Tables that were written are noted also if
    /// others could not be.
    fn write_tables(&mut self) -> Result<()> {
        let mut full = std::mem::take(&mut self.full);
        if self.tables.len() + full.len() > 1 {
            hit(Mark::SeveralTablesFromLog);
        }
        for several in full.chunks_mut(self.portions.at_once) {
            let tables = several.iter_mut().map(|ops| (self.take_place(), ops)).collect();
            let mut outcome = Ok(());
            for written in write_at_once(tables) {
                match written {
                    Ok(meta) => self.tables.push(meta),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
            outcome?;
        }
        self.spare = full;
        Ok(())
    }

    fn take_place(&mut self) -> Place<'a> {
        let place = self.next;
        self.next.number = FileNumber(place.number.0 + 1);
        place
    }

    /// Removes the tables written so far, when recovery fails: the log still holds everything.
    pub(crate) fn discard(&self) {
        for meta in &self.tables {
            tolerate(self.next.fs.remove(&self.next.paths.table(meta.number)));
        }
    }
}

/// Writes tables, all but the last on threads of their own, and waits for all of them.
fn write_at_once(mut tables: Vec<(Place<'_>, &mut Replayed)>) -> Vec<Result<TableMeta>> {
    let last = tables.pop();
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(tables.len());
        for (place, ops) in tables {
            let inherit = planted::inherited();
            let write = move || {
                inherit();
                ops.write_table(place)
            };
            let thread = Builder::new().name("fountain-recover".to_owned()).spawn_scoped(scope, write);
            threads.push(thread.map_err(|e| Error::system("start a thread for", place.paths.root(), e)));
        }
        let last = last.map(|(place, ops)| ops.write_table(place));
        let join = |thread: Result<ScopedJoinHandle<'_, Result<TableMeta>>>| {
            thread?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).chain(last).collect()
    })
}

impl Replay for Recoverer<'_> {
    fn time(&mut self, seq: Seq, stamp: Stamp) {
        self.timekeeper.apply(stamp, seq);
    }

    fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]) {
        if self.stage != Stage::LetGo {
            self.replayed.push(kind, key, seq, value);
        }
    }

    fn commit(&mut self, _seq: Seq) -> Result<()> {
        if self.replayed.size_bytes() < self.portions.bytes {
            return Ok(());
        }
        self.fill();
        match self.stage {
            Stage::Writing if !self.portions.are_full(&self.full) => Ok(()),
            Stage::Writing => self.write_tables(),
            Stage::Holding { limit } => {
                if self.full.iter().map(Replayed::size_bytes).sum::<usize>() > limit {
                    self.full = Vec::new();
                    self.stage = Stage::LetGo;
                }
                Ok(())
            }
            Stage::LetGo => Ok(()),
        }
    }
}
