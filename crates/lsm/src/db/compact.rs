//! From tables to fewer tables: runs compaction tasks and installs what they made.

use crate::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use super::background::Job;
use super::inner::{Current, Inner, locked};
use crate::compaction::{JobContext, JobOutput, Needed, Picker, Task, run_job};
use crate::error::{Error, Result};
use crate::limits::LEVEL0_TRIGGER;
use crate::manifest::{Edit, Version};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::{Floors, RetentionRules};
use crate::types::{FileNumber, Seq};

impl Inner {
    /// Whether some level holds more than it should, or some table more garbage.
    pub(super) fn needs_compaction(&self) -> bool {
        let version = Arc::clone(&self.current.load().version);
        self.with_picker(&version, |picker| picker.pick().is_some())
    }

    /// Carries out the most urgent task, unless `cancel` is set meanwhile; false if there is none.
    pub(super) fn compact_once(&self, cancel: &AtomicBool) -> Result<bool> {
        self.compact_by(cancel, |picker: &Picker<'_>| picker.pick())
    }

    /// Merges everything that lies over the keys of `range` into one sorted run.
    pub(super) fn compact_range(&self, range: &KeyRange) -> Result<()> {
        self.compact_by(&self.cancel_asked, |picker| picker.pick_range(range)).map(|_| ())
    }

    /// What level 0 delivers at once when it is full.
    pub(super) fn base_bytes(&self) -> u64 {
        (self.options.memtable_bytes * LEVEL0_TRIGGER) as u64
    }

    pub(super) fn with_picker<T>(&self, version: &Version, ask: impl FnOnce(&Picker<'_>) -> T) -> T {
        let rules = self.rules_now();
        let needed = Needed { pins: self.snapshots.pinned(), newest: self.visible() };
        ask(&Picker::new(version, self.base_bytes(), &rules, &needed, self.options.packing()))
    }

    fn compact_by(
        &self,
        cancel: &AtomicBool,
        pick: impl FnOnce(&Picker<'_>) -> Option<Task>,
    ) -> Result<bool> {
        let _compacting = self.compacting.take_unless(cancel).ok_or(Error::Closed)?;
        self.check_writable()?;
        let outcome = self.try_to_compact(cancel, pick);
        self.note_job(Job::Compact, &outcome);
        outcome
    }

    fn try_to_compact(
        &self,
        cancel: &AtomicBool,
        pick: impl FnOnce(&Picker<'_>) -> Option<Task>,
    ) -> Result<bool> {
        let version = Arc::clone(&self.current.load().version);
        let Some(task) = self.with_picker(&version, pick) else { return Ok(false) };
        let _timer = self.counters.latencies.compaction.time();
        let begin = Instant::now();
        self.progress.begin(&task);
        let done =
            if task.trivial_move { self.install_move(&task) } else { self.merge(&version, &task, cancel) };
        self.progress.end(&task, begin.elapsed(), done.is_ok());
        done?;
        if let Some(mark) = task.mark {
            hit(mark);
        }
        self.counters.compactions.add(1);
        self.refresh_debt();
        self.signal_work();
        Ok(true)
    }

    fn install_move(&self, task: &Task) -> Result<()> {
        hit(Mark::TrivialMove);
        let added = task.inputs.iter().map(|(_, table)| (task.target, table.meta().clone()));
        let edit = Edit { removed: removed(task), added: added.collect(), ..Edit::default() };
        let moved = task.inputs.iter().map(|(_, table)| (task.target, Arc::clone(table))).collect();
        self.install_compaction(edit, move |version, removed| version.edited(removed, moved))
    }

    fn merge(&self, version: &Version, task: &Task, cancel: &AtomicBool) -> Result<()> {
        let (rules, needed, floors) = self.announce(&task.range());
        let context = JobContext {
            fs: self.options.fs.as_ref(),
            paths: &self.paths,
            store: self.store,
            version,
            rules: &rules,
            needed: &needed,
            table_bytes: self.options.table_bytes,
            compression: self.with_picker(version, |picker| picker.compression(task.target)),
            form: self.options.table_form(),
            bytes_per_second: self.options.compaction_bytes_per_second,
            hurry: &|| self.pressure() > 0.0,
            progress: &|read| self.progress.advance(read),
            next_file: &|| self.take_file_number(),
            cancel,
        };
        let output = run_job(&context, task).inspect_err(|_| {
            if planted::active(Bug::FailedCompactionDeletes) {
                task.inputs
                    .iter()
                    .for_each(|(_, table)| self.remove_obsolete(self.paths.table(table.meta().number)));
            }
        })?;
        let installed = self.sync_table_names().and_then(|()| self.install_merge(task, &output, floors));
        installed.inspect_err(|_| self.discard_tables(output.tables.iter().map(|meta| meta.number)))?;
        self.count_merge(task, &output);
        // Readers that still use the inputs keep them open; what cannot be deleted now goes at the next open.
        for (_, table) in &task.inputs {
            self.remove_obsolete(self.paths.table(table.meta().number));
        }
        Ok(())
    }

    /// Announces the floors that a flush or a compaction of `range` will leave, before it decides what to drop. The rules
    /// are those at that moment.
    pub(super) fn announce(&self, range: &KeyRange) -> (Arc<RetentionRules>, Needed, Vec<(KeyRange, Seq)>) {
        let (mut raised, mut rules) = (Vec::new(), None);
        let raise = |floors: &mut Floors, newest: Seq| {
            let rules = rules.insert(self.rules_now());
            for (stretch, retention) in rules.over(range) {
                if let Some(floor) = retention.floor(newest) {
                    floors.raise(&stretch, floor);
                    hit(Mark::FloorRaised);
                    raised.push((stretch, floor));
                }
            }
        };
        let (newest, pins) = self.snapshots.announce(|| self.visible(), raise);
        (rules.unwrap_or_default(), Needed { pins, newest }, raised)
    }

    fn install_merge(&self, task: &Task, output: &JobOutput, floors: Vec<(KeyRange, Seq)>) -> Result<()> {
        let mut tables = Vec::with_capacity(output.tables.len());
        for meta in &output.tables {
            tables.push((task.target, self.open_table(meta.clone())?));
        }
        let added = output.tables.iter().map(|meta| (task.target, meta.clone())).collect();
        let edit = Edit { removed: removed(task), added, floors, ..Edit::default() };
        self.install_compaction(edit, move |version, removed| version.edited(removed, tables))
    }

    fn install_compaction(
        &self,
        mut edit: Edit,
        next_version: impl FnOnce(&Version, &[(usize, FileNumber)]) -> Version,
    ) -> Result<()> {
        let mut manifest = locked(&self.manifest);
        edit.next_file = Some(self.next_file_number());
        self.install_edit(&mut manifest, &edit)?;
        let floors = Arc::new(manifest.state().floors.clone());
        self.swap_current(|current| Current {
            active: Arc::clone(&current.active),
            sealed: current.sealed.clone(),
            version: Arc::new(next_version(&current.version, &edit.removed)),
            floors,
        });
        Ok(())
    }

    fn count_merge(&self, task: &Task, output: &JobOutput) {
        self.counters.compaction_read_bytes.add(task.bytes());
        self.counters.compaction_write_bytes.add(output.tables.iter().map(|meta| meta.size).sum());
        self.counters.versions_dropped.add(output.dropped);
    }

    /// Tells a running compaction to stop soon.
    pub(super) fn cancel_compaction(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.cancel_asked_compaction();
    }

    /// Tells one that was asked for to stop soon, and an ingest, which waits for compactions and for room; those that make room
    /// for writers go on.
    pub(super) fn cancel_asked_compaction(&self) {
        self.cancel_asked.store(true, Ordering::Relaxed);
        self.compacting.look_again();
        self.ingesting.look_again();
        self.signal_work();
    }
}

fn removed(task: &Task) -> Vec<(usize, FileNumber)> {
    task.inputs.iter().map(|(level, table)| (*level, table.meta().number)).collect()
}
