//! From tables to fewer tables: runs compaction tasks and installs what they made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inner::{Current, Inner, locked};
use crate::compaction::{JobContext, JobOutput, Task, pick, pick_full, run_job};
use crate::error::Result;
use crate::manifest::{Edit, Version};
use crate::options::Retention;
use crate::types::{FileNumber, Seq};

impl Inner {
    /// Whether some level holds more than it should.
    pub(super) fn needs_compaction(&self) -> bool {
        pick(&self.current.load().version).is_some()
    }

    /// Carries out the most urgent task; false if there is none.
    pub(super) fn compact_once(&self) -> Result<bool> {
        self.compact_by(pick)
    }

    /// Merges everything into one sorted run.
    pub(super) fn compact_all(&self) -> Result<()> {
        self.compact_by(pick_full).map(|_| ())
    }

    fn compact_by(&self, picker: impl FnOnce(&Version) -> Option<Task>) -> Result<bool> {
        let _compacting = locked(&self.compacting);
        self.check_writable()?;
        let version = Arc::clone(&self.current.load().version);
        let Some(task) = picker(&version) else { return Ok(false) };
        let _timer = self.counters.latencies.compaction.time();
        if task.trivial_move {
            self.install_move(&task)?;
        } else {
            self.merge(&version, &task)?;
        }
        self.counters.compactions.add(1);
        self.signal_work();
        Ok(true)
    }

    fn install_move(&self, task: &Task) -> Result<()> {
        let added = task.inputs.iter().map(|(_, table)| (task.target, table.meta().clone()));
        let edit = Edit { removed: removed(task), added: added.collect(), ..Edit::default() };
        let moved = task.inputs.iter().map(|(_, table)| (task.target, Arc::clone(table))).collect();
        self.install_compaction(edit, None, move |version, removed| version.edited(removed, moved))
    }

    fn merge(&self, version: &Version, task: &Task) -> Result<()> {
        let needed = match self.options.retention {
            Retention::Unbounded => None,
            Retention::LatestOnly => Some(self.snapshots.announce_floor(|| self.visible())),
        };
        let floor = needed.as_ref().and_then(|needed| needed.last().copied());
        let context = JobContext {
            fs: self.options.fs.as_ref(),
            paths: &self.paths,
            store: self.store,
            version,
            needed,
            table_bytes: self.options.table_bytes,
            next_file: &|| self.take_file_number(),
            cancel: &self.cancel,
        };
        let output = run_job(&context, task)?;
        let result = self.install_merge(task, &output, floor);
        if result.is_ok() {
            self.count_merge(task, &output);
            // Readers that still use the inputs keep them open; what cannot be deleted now goes at the next open.
            for (_, table) in &task.inputs {
                let _ = self.options.fs.remove(&self.paths.table(table.meta().number));
            }
        }
        result
    }

    fn install_merge(&self, task: &Task, output: &JobOutput, floor: Option<Seq>) -> Result<()> {
        let mut tables = Vec::with_capacity(output.tables.len());
        for meta in &output.tables {
            tables.push((task.target, self.open_table(meta.clone())?));
        }
        let added = output.tables.iter().map(|meta| (task.target, meta.clone())).collect();
        let edit = Edit { removed: removed(task), added, floor, ..Edit::default() };
        self.install_compaction(edit, floor, move |version, removed| version.edited(removed, tables))
    }

    fn install_compaction(
        &self,
        mut edit: Edit,
        floor: Option<Seq>,
        next_version: impl FnOnce(&Version, &[(usize, FileNumber)]) -> Version,
    ) -> Result<()> {
        let removed = edit.removed.clone();
        let mut manifest = locked(&self.manifest);
        edit.next_file = Some(self.next_file_number());
        manifest
            .install(&edit, || self.take_file_number())
            .inspect_err(|error| self.poison_unless_harmless(error))?;
        self.swap_current(|current| Current {
            active: Arc::clone(&current.active),
            sealed: current.sealed.clone(),
            version: Arc::new(next_version(&current.version, &removed)),
            floor: floor.unwrap_or(current.floor).max(current.floor),
        });
        Ok(())
    }

    fn count_merge(&self, task: &Task, output: &JobOutput) {
        let read: u64 = task.inputs.iter().map(|(_, table)| table.meta().size).sum();
        self.counters.compaction_read_bytes.add(read);
        self.counters.compaction_write_bytes.add(output.tables.iter().map(|meta| meta.size).sum());
        self.counters.versions_dropped.add(output.dropped);
    }

    /// Tells a running compaction to stop soon.
    pub(super) fn cancel_compaction(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

fn removed(task: &Task) -> Vec<(usize, FileNumber)> {
    task.inputs.iter().map(|(level, table)| (*level, table.meta().number)).collect()
}
