//! What recovery does with the log: its commits become tables before the store is open.
//!
//! Nothing that was recovered is left only in the old log. After a failed sync the page cache may show bytes that
//! never reached the disk; a store that served them and then relied on the old file could lose them later, so they
//! are written to new files, and these synced, before anybody can read them.

use std::path::PathBuf;
use std::sync::Arc;

use super::flush::{Keep, Place, write_memtable};
use super::replayed::Replayed;
use crate::batch::OpKind;
use crate::compaction::Needed;
use crate::error::{Error, Result};
use crate::files::StorePaths;
use crate::fs::{Fs, tolerate};
use crate::marks::{Mark, hit};
use crate::memtable::Memtable;
use crate::planted::{self, Bug};
use crate::retention::{Retention, RetentionRules};
use crate::table::{TableForm, TableMeta};
use crate::timeline::{Stamp, Timekeeper};
use crate::types::{FileNumber, Seq, StoreId};
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

/// Collects replayed commits and writes each memtable full of them as a table.
pub(crate) struct Recoverer<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) paths: &'a StorePaths,
    pub(crate) store: StoreId,
    pub(crate) memtable_bytes: usize,
    pub(crate) form: TableForm,
    pub(crate) next_file: FileNumber,
    pub(crate) tables: Vec<TableMeta>,
    pub(crate) replayed: Replayed,
    pub(crate) timekeeper: Timekeeper,
}

impl Recoverer<'_> {
    /// Writes what is left. Bytes and names of all tables are on disk when this returns.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.write_table()?;
        if self.tables.is_empty() {
            return Ok(());
        }
        let dir = self.paths.table_dir();
        planted::unless(Bug::TableNamesNotSynced, || self.fs.sync_dir(&dir).map_err(|e| Error::sync(&dir, e)))
    }

    fn write_table(&mut self) -> Result<()> {
        if self.replayed.is_empty() {
            return Ok(());
        }
        let full = Arc::new(Memtable::new(FileNumber(0)));
        self.replayed.apply_to(&full);
        let number = self.next_file;
        self.next_file = FileNumber(number.0 + 1);
        // Nobody has said yet which versions may go.
        let rules = RetentionRules::new(Retention::Unbounded);
        let keep = Keep { rules: &rules, needed: &Needed { pins: Vec::new(), newest: Seq::ZERO } };
        let place = Place { fs: self.fs, paths: self.paths, store: self.store, number, form: self.form };
        self.tables.push(write_memtable(place, &full, keep)?.0);
        Ok(())
    }

    /// Removes the tables written so far, when recovery fails: the log still holds everything.
    pub(crate) fn discard(&self) {
        for meta in &self.tables {
            tolerate(self.fs.remove(&self.paths.table(meta.number)));
        }
    }
}

impl Replay for Recoverer<'_> {
    fn time(&mut self, seq: Seq, stamp: Stamp) {
        self.timekeeper.apply(stamp, seq);
    }

    fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]) {
        self.replayed.push(kind, key, seq, value);
    }

    fn commit(&mut self, _seq: Seq) -> Result<()> {
        if self.replayed.size_bytes() < self.memtable_bytes {
            return Ok(());
        }
        hit(Mark::SeveralTablesFromLog);
        self.write_table()
    }
}
