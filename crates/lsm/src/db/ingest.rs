//! Bulk ingest: sorted records become tables at once, without log and memtable, under one sequence.
//!
//! The tables are written while everything else goes on: commits, flushes and compactions. Their entries have the sequence
//! 0 in the file; what is to be added to it, the base, is said by the manifest, so it need not be known before.
//!
//! Why it is atomic and safe: the tables take effect in one manifest edit, which also says that tables cover
//! everything up to the sequence of the ingest, and that recovery begins with a log segment in which nothing lies yet.
//!
//! 1. The tables are written and synced, and their names. Nobody names them yet.
//! 2. Compactions are kept out, and memtables flushed until only little is left.
//! 3. The commit lock is taken, so no commit gets a sequence until the end. What is left in memory is flushed: tables now
//!    hold every commit before this one, and level 0 stays ordered by sequences. A log segment is begun in which nothing
//!    lies, and which no edit so far names.
//! 4. One edit adds the tables with the next sequence as base, sets the last covered sequence to it and the log number to
//!    the new segment; then the sequence counts as given out, and becomes visible after all commits before it. The
//!    segments before it are deleted: should the manifest ever lose this edit, the one before it names a segment that is
//!    missing, so the loss is noticed.
//!
//! A crash before the edit is on disk: the tables are left-overs that the next open removes; the manifest covers what
//! was flushed, the log continues from there without a gap up to the commit before, and the new segment is empty. A
//! crash after it: tables cover the sequence of the ingest, and the log that recovery reads begins with the next. In
//! neither case is there a sequence that neither tables nor log account for.
//!
//! Until step 3 it can be told to give up, also while it waits for others, as can a compaction that was asked for; it then
//! leaves nothing behind.
//!
//! Levels are chosen under both locks, so no table can appear between the choice and the edit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Log;
use super::inner::{Current, Inner, locked};
use super::placement::{Context, Placement, levels_for};
use crate::error::{Error, Result};
use crate::limits::{INGEST_FLUSH_ROUNDS, INGEST_LEFT_BYTES};
use crate::manifest::Edit;
use crate::marks::{Mark, hit};
use crate::memtable::Memtable;
use crate::planted::{self, Bug};
use crate::table::TableMeta;
use crate::types::Seq;

impl Inner {
    /// See [`super::Db::ingest`].
    pub(super) fn ingest<K, V>(&self, records: impl IntoIterator<Item = (K, V)>) -> Result<Seq>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.check_writable()?;
        let mut records = records.into_iter().peekable();
        if records.peek().is_none() {
            return Ok(self.visible());
        }
        let _timer = self.counters.latencies.ingest.time();
        // Closing waits for this turn, so that nothing is written into a directory that was let go.
        let _ingesting = self.ingesting.take_unless(&self.cancel_asked).ok_or(Error::Closed)?;
        self.wait_for_room(&self.cancel_asked)?;
        let tables = self.write_ingest(records)?;
        let numbers: Vec<_> = tables.iter().map(|meta| meta.number).collect();
        let installed = self.sync_table_names().and_then(|()| self.take_effect(tables));
        let (ticket, seq) = installed.inspect_err(|_| self.discard_tables(numbers))?;
        self.signal_work();
        self.publish(ticket, seq)?;
        Ok(seq)
    }

    /// Writes the tables. They have no sequence yet.
    fn write_ingest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        records: impl Iterator<Item = (K, V)>,
    ) -> Result<Vec<TableMeta>> {
        let version = Arc::clone(&self.current.load().version);
        let check = || {
            if self.cancel_asked.load(Ordering::Relaxed) {
                return Err(Error::Closed);
            }
            self.check_writable()
        };
        let next_file = || self.take_file_number();
        let mut placement = Placement::new(Context {
            fs: self.options.fs.as_ref(),
            paths: &self.paths,
            store: self.store,
            version: &version,
            check: &check,
            table_bytes: self.options.table_bytes,
            compression: self.options.packing().bottom,
            form: self.options.table_form(),
            next_file: &next_file,
        });
        let written = add_in_order(&mut placement, records).and_then(|()| placement.finish());
        if written.is_err() {
            hit(Mark::IngestTakenBack);
            placement.discard();
        }
        written
    }

    /// Makes the tables a commit; returns its ticket and its sequence.
    fn take_effect(&self, tables: Vec<TableMeta>) -> Result<(u64, Seq)> {
        let _compacting = self.compacting.take_unless(&self.cancel_asked).ok_or(Error::Closed)?;
        self.flush_most()?;
        let mut log = locked(&self.log);
        self.check_writable()?;
        let Some(seq) = log.last.checked_add(1) else {
            let limit = Seq::MAX.get() as usize;
            return Err(Error::TooLarge { what: "number of commits", size: limit, limit });
        };
        self.begin_empty_log(&mut log)?;
        if planted::active(Bug::IngestLetsCommitsIn) {
            drop(log);
            log = locked(&self.log);
        }
        self.install_ingest(&mut log, tables, seq)?;
        if !planted::active(Bug::IngestSequenceReused) {
            (log.last, log.sealed) = (seq, seq);
        }
        log.groups += 1;
        Ok((log.groups, seq))
    }

    /// Flushes what is in memory, while commits go on, until little is left to be flushed without them.
    fn flush_most(&self) -> Result<()> {
        for _ in 0..INGEST_FLUSH_ROUNDS {
            let current = self.current.load();
            if current.sealed.is_empty() && current.active.size_bytes() <= INGEST_LEFT_BYTES {
                break;
            }
            drop(current);
            self.flush_all()?;
        }
        Ok(())
    }

    /// Afterwards everything committed is in tables, and the newest log segment holds nothing and is named by no edit so
    /// far: the one that the last flush began is named by the edit of that flush.
    fn begin_empty_log(&self, log: &mut Log) -> Result<()> {
        self.seal_used(log)?;
        while self.flush_oldest()? {}
        let begun = self.rotate_log(log, None);
        let number = begun.inspect_err(|error| self.poison_unless_harmless(error))?;
        let active = Arc::new(Memtable::new(number));
        self.swap_current(|current| Current { active, ..current.clone() });
        Ok(())
    }

    fn install_ingest(&self, log: &mut Log, tables: Vec<TableMeta>, seq: Seq) -> Result<()> {
        let levels = levels_for(&self.current.load().version, &tables);
        let metas = tables.into_iter().map(|meta| meta.based_on(seq));
        let added: Vec<(usize, TableMeta)> = levels.into_iter().zip(metas).collect();
        let mut tables = Vec::with_capacity(added.len());
        for (level, meta) in &added {
            tables.push((*level, self.open_table(meta.clone())?));
        }
        let bytes = added.iter().map(|(_, meta)| meta.size).sum();
        let log_number = self.current.load().active.first_segment();
        let mut manifest = locked(&self.manifest);
        let stamp = self.stamp(log);
        let mut timekeeper = locked(&self.timekeeper).clone();
        if let Some(stamp) = stamp {
            timekeeper.apply(stamp, seq);
        }
        timekeeper.settle(self.options.clock.now(), seq);
        let edit = Edit {
            next_file: Some(self.next_file_number()),
            log_number: Some(log_number),
            last_seq: Some(seq),
            added,
            moments: timekeeper.after(manifest.state().timeline.last(), seq),
            ..Edit::default()
        };
        self.install_edit(&mut manifest, &edit)?;
        self.swap_current(|current| Current {
            version: Arc::new(current.version.edited(&[], tables)),
            ..current.clone()
        });
        drop(manifest);
        log.quiet = timekeeper.quiet();
        *locked(&self.timekeeper) = timekeeper;
        self.delete_segments_before(log_number);
        self.refresh_debt();
        self.counters.ingests.add(1);
        self.counters.ingest_bytes.add(bytes);
        Ok(())
    }
}

/// Adds the records as long as each key is after the one before.
fn add_in_order<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    placement: &mut Placement<'_>,
    records: impl Iterator<Item = (K, V)>,
) -> Result<()> {
    let mut last: Option<K> = None;
    for (position, (key, value)) in records.enumerate() {
        if let Some(last) = &last
            && key.as_ref() <= last.as_ref()
        {
            let duplicate = key.as_ref() == last.as_ref();
            return Err(Error::Unsorted { position: position as u64, duplicate });
        }
        placement.add(key.as_ref(), value.as_ref())?;
        last = Some(key);
    }
    Ok(())
}
