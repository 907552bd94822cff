//! From memtables to tables: a full memtable becomes one level-0 table, and the log that held it is let go.
//!
//! Order, on which safety rests: the log of a sealed memtable was synced when it was sealed; the table and its name
//! are synced; one manifest edit adds the table and moves the log number past the memtable; readers are switched over;
//! only then the log segments are deleted.

use std::sync::Arc;
use std::time::Instant;

use super::background::Job;
use super::commit::Log;
use super::inner::{Current, Inner, locked};
use super::progress::RunningFlush;
use crate::compaction::{Needed, VersionFilter};
use crate::error::Result;
use crate::files::StorePaths;
use crate::fs::{Fs, tolerate};
use crate::manifest::Edit;
use crate::marks::{Mark, hit};
use crate::memtable::{Memtable, MemtableCursor};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::RetentionRules;
use crate::table::{Compression, TableForm, TableMeta, TableWriter};
use crate::types::{FileNumber, Kind, Seq, StoreId, Trailer};

impl Inner {
    /// Flushes everything that has been committed so far.
    pub(super) fn flush_all(&self) -> Result<()> {
        self.check_writable()?;
        self.seal_ahead()?;
        while self.flush_oldest()? {}
        Ok(())
    }

    /// Puts the active memtable in line for the flush, under the commit lock, if anything was committed since the last one was.
    /// Commits that changed nothing count, too: the memtable is empty then, but its flush lets go of the log that holds them.
    pub(super) fn seal_used(&self, log: &mut Log) -> Result<()> {
        if log.last == log.sealed {
            return Ok(());
        }
        self.seal_active(log, None).inspect_err(|error| self.poison_unless_harmless(error))
    }

    /// What the flush thread does whenever it is woken. Without threads the log is kept ready here, too.
    pub(super) fn flush_step(&self) -> Result<bool> {
        if !self.options.background {
            self.tend_log()?;
        }
        self.flush_oldest()
    }

    /// Flushes the oldest sealed memtable; false if there is none. After an error everything is as before, and it may
    /// be tried again.
    pub(super) fn flush_oldest(&self) -> Result<bool> {
        let _flushing = locked(&self.flushing);
        let outcome = self.try_to_flush_oldest();
        if outcome.is_err() && planted::active(Bug::FailedFlushForgets) {
            self.swap_current(|current| Current { sealed: Vec::new(), ..current.clone() });
        }
        self.note_job(Job::Flush, &outcome);
        outcome
    }

    fn try_to_flush_oldest(&self) -> Result<bool> {
        let current = self.current.load();
        let Some(memtable) = current.sealed.last().map(Arc::clone) else { return Ok(false) };
        let waiting_memtables = current.sealed.len() as u64 - 1;
        drop(current);
        self.check_poison()?;
        self.check_place()?;
        let _timer = self.counters.latencies.flush.time();
        let begin = Instant::now();
        let memtable_bytes = memtable.size_bytes() as u64;
        let _flush = self.progress.begin_flush(RunningFlush { memtable_bytes, waiting_memtables });
        let (rules, needed, floors) = self.announce(&KeyRange::default());
        let keep = Keep { rules: &rules, needed: &needed };
        let meta = if memtable.is_empty() { None } else { Some(self.write_table(&memtable, keep)?) };
        let number = meta.as_ref().map(|meta| meta.number);
        let installed = self.sync_table_names().and_then(|()| self.install_flush(&memtable, meta, floors));
        installed.inspect_err(|_| self.discard_tables(number))?;
        self.progress.note_flush(memtable_bytes, begin.elapsed());
        self.refresh_debt();
        self.signal_work();
        Ok(true)
    }

    fn write_table(&self, memtable: &Arc<Memtable>, keep: Keep<'_>) -> Result<TableMeta> {
        let number = self.take_file_number();
        let place = Place {
            fs: self.options.fs.as_ref(),
            paths: &self.paths,
            store: self.store,
            number,
            form: self.options.table_form(),
        };
        let (meta, dropped) = write_memtable(place, memtable, keep)?;
        self.counters.flushes.add(1);
        self.counters.flush_bytes.add(meta.size);
        self.counters.versions_dropped.add(dropped);
        Ok(meta)
    }

    fn install_flush(
        &self,
        memtable: &Arc<Memtable>,
        meta: Option<TableMeta>,
        floors: Vec<(KeyRange, Seq)>,
    ) -> Result<()> {
        let table = meta.clone().map(|meta| self.open_table(meta)).transpose()?;
        let mut manifest = locked(&self.manifest);
        let current = self.current.load_full();
        let next =
            current.sealed.len().checked_sub(2).map_or(&current.active, |index| &current.sealed[index]);
        let skips = planted::active(Bug::LogNumberTooNew);
        let log_number = if skips { current.active.first_segment() } else { next.first_segment() };
        if planted::active(Bug::LogDeletedBeforeEdit) {
            self.delete_segments_before(log_number);
        }
        let covers_too_much = planted::active(Bug::CoversTooMuch).then(|| self.visible());
        let edit = Edit {
            next_file: Some(self.next_file_number()),
            log_number: Some(log_number),
            last_seq: covers_too_much.or(memtable.last_commit()),
            added: meta.map(|meta| (0, meta)).into_iter().collect(),
            floors,
            moments: self.moments_for(&manifest, memtable.last_commit()),
            ..Edit::default()
        };
        self.install_edit(&mut manifest, &edit)?;
        let floors = Arc::new(manifest.state().floors.clone());
        self.swap_current(|current| {
            let sealed = current.sealed.iter().filter(|sealed| !Arc::ptr_eq(sealed, memtable)).cloned();
            Current {
                active: Arc::clone(&current.active),
                sealed: sealed.collect(),
                version: Arc::new(
                    current.version.edited(&[], table.map(|table| (0, table)).into_iter().collect()),
                ),
                floors,
            }
        });
        drop(manifest);
        self.delete_segments_before(log_number);
        Ok(())
    }

    /// Deletes tables that were written, but did not become part of the store. After a failure that leaves open what is
    /// on disk they stay: the next open finds out.
    pub(super) fn discard_tables(&self, numbers: impl IntoIterator<Item = FileNumber>) {
        if self.check_poison().is_ok() {
            for number in numbers {
                hit(Mark::TablesDiscarded);
                tolerate(self.options.fs.remove(&self.paths.table(number)));
            }
        }
    }

    /// Deletes log segments that the manifest no longer needs. What cannot be deleted now goes at the next open.
    pub(super) fn delete_segments_before(&self, log_number: FileNumber) {
        let obsolete: Vec<_> = {
            let mut segments = locked(&self.segments);
            let kept = segments.partition_point(|&segment| segment < log_number);
            segments.drain(..kept).collect()
        };
        // Without the lock: whoever asks for metrics must not wait for the disk.
        for segment in obsolete {
            self.remove_obsolete(self.paths.wal(segment));
        }
    }
}

/// Where a table is written.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) fs: &'a dyn Fs,
    pub(crate) paths: &'a StorePaths,
    pub(crate) store: StoreId,
    pub(crate) number: FileNumber,
    pub(crate) form: TableForm,
}

/// Which versions of a memtable go into its table.
#[derive(Clone, Copy)]
pub(super) struct Keep<'a> {
    pub(super) rules: &'a RetentionRules,
    pub(super) needed: &'a Needed,
}

/// Writes a memtable as a table whose bytes are on disk when this returns, and tells how many versions it left out.
/// Making its name durable is up to the caller. On error no file is left.
pub(super) fn write_memtable(
    place: Place<'_>,
    memtable: &Arc<Memtable>,
    keep: Keep<'_>,
) -> Result<(TableMeta, u64)> {
    write_or_remove(place, |writer| write_entries(writer, memtable, keep))
}

/// Makes a table by `write`. On error no file is left.
pub(super) fn write_or_remove<T>(
    place: Place<'_>,
    write: impl FnOnce(TableWriter) -> Result<T>,
) -> Result<T> {
    let Place { fs, paths, store, number, form } = place;
    let path = paths.table(number);
    let writer = TableWriter::create(fs, path.clone(), store, number, Compression::None);
    let written = writer.and_then(|writer| write(writer.with_form(form)));
    if written.is_err() {
        tolerate(fs.remove(&path));
    }
    written
}

/// The newest version of a key is always written, as there may be older ones in tables for it to hide.
fn write_entries(
    mut writer: TableWriter,
    memtable: &Arc<Memtable>,
    keep: Keep<'_>,
) -> Result<(TableMeta, u64)> {
    let deleted = memtable.tombstones().to_set();
    let mut filter = VersionFilter::new(keep.needed, &deleted);
    let mut cursor = MemtableCursor::new(Arc::clone(memtable));
    let mut last: Vec<u8> = Vec::new();
    let (mut first, mut dropped) = (true, 0);
    cursor.seek(b"", Trailer::new(Seq::MAX, Kind::Delete));
    while cursor.valid() {
        if first || cursor.key() != last {
            first = false;
            last.clear();
            last.extend_from_slice(cursor.key());
            filter.start_key(&last, keep.rules.of(&last));
        }
        if filter.keep(cursor.trailer(), || false) {
            writer.add(&last, cursor.trailer(), cursor.value())?;
        } else {
            dropped += 1;
        }
        cursor.next();
    }
    writer.add_range_tombstones(&deleted)?;
    Ok((writer.finish()?, dropped))
}
