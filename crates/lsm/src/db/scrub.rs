//! Reads every live file again and reports everything that is wrong with it.
//!
//! Checked are: `CURRENT` and the manifest, and that they say what the store believes; that the levels are arranged as
//! they must be and no table is newer than what the manifest covers; every byte of every table, the order of its
//! entries, its counts, bounds and sequences, and that its filter knows its keys; every frame of the log, that
//! sequences follow one another and segments are linked. A fault does not end the scrub.
//!
//! Everything goes on meanwhile. The files are held, so that a compaction cannot delete one that is about to be read.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inner::{Inner, locked};
use crate::error::{Error, Result};
use crate::fault::{CheckedFile, Fault, FaultCode};
use crate::fs::tolerate;
use crate::manifest::{arrangement_faults, load};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::table::Table;
use crate::wal::{SegmentCheck, check_segments};

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Every file that was read.
    pub files: Vec<CheckedFile>,
}

impl ScrubReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults().next().is_none()
    }

    /// Everything that is wrong, with its file.
    pub fn faults(&self) -> impl Iterator<Item = (&Path, &Fault)> {
        self.files.iter().flat_map(|file| file.faults.iter().map(|fault| (file.path.as_path(), fault)))
    }

    /// Bytes read.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl Inner {
    /// See [`super::Db::scrub`].
    pub(super) fn scrub(&self) -> Result<ScrubReport> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let _timer = self.counters.latencies.scrub.time();
        let _held = (!planted::active(Bug::ScrubHoldsNothing)).then(|| self.hold_files());
        let mut files = self.scrub_manifest().to_vec();
        let version = Arc::clone(&self.current.load().version);
        files.extend(version.tables().map(|(_, table)| self.scrub_table(table)));
        files.extend(self.scrub_log());
        let report = ScrubReport { files };
        if !report.is_sound() {
            hit(Mark::ScrubFoundFault);
        }
        Ok(report)
    }

    /// The first fault as an error.
    pub(super) fn verify(&self) -> Result<()> {
        match self.scrub()?.faults().next() {
            None => Ok(()),
            Some((path, fault)) => {
                Err(Error::corrupt(path, fault.offset, fault.found.clone()).coded(fault.code))
            }
        }
    }

    fn scrub_manifest(&self) -> [CheckedFile; 2] {
        // Held while the file is read, so that nobody appends to it.
        let log = locked(&self.manifest);
        let (path, bytes, edits) = log.extent();
        let mut manifest = CheckedFile { blocks: edits, ..CheckedFile::new(path, bytes) };
        let mut current = CheckedFile { blocks: 1, ..CheckedFile::new(&self.paths.current(), 0) };
        match load(self.options.fs.as_ref(), &self.paths) {
            Ok(found) => {
                if self.paths.manifest(found.number) != manifest.path {
                    let what = "it names another manifest than the one in use";
                    current.faults.push(Fault::whole(FaultCode::Current, what));
                } else if found.state != *log.state() {
                    let what = "its edits do not add up to the state of the store";
                    manifest.faults.push(Fault::whole(FaultCode::Edit, what));
                }
            }
            Err(error) if error.path() == Some(&current.path) => current.faults.push(Fault::from(&error)),
            Err(error) => manifest.faults.push(Fault::from(&error)),
        }
        let covered = log.state().last_seq;
        // Installed under the manifest's lock, so it is the version that the manifest describes.
        let version = Arc::clone(&self.current.load().version);
        drop(log);
        let tables = version.tables().map(|(level, table)| (level, table.meta()));
        manifest.faults.extend(arrangement_faults(tables, covered));
        current.bytes = self.file_len(&current.path);
        [current, manifest]
    }

    fn scrub_table(&self, table: &Arc<Table>) -> CheckedFile {
        let path = self.paths.table(table.meta().number);
        let mut file = CheckedFile::new(&path, table.meta().size);
        // Opened again by its name: the handle in use would not notice that the file is gone or another.
        let opened = self.open_table(table.meta().clone());
        let (blocks, faults) = match &opened {
            Ok(_) if planted::active(Bug::ScrubSkipsBlocks) => (0, Vec::new()),
            Ok(reopened) => reopened.scrub(),
            Err(_) => table.scrub(),
        };
        file.blocks = blocks;
        file.faults.extend(faults.iter().map(Fault::from));
        if let Err(error) = &opened
            && !faults.iter().any(|fault| fault.offset() == error.offset())
        {
            file.faults.insert(0, Fault::from(error));
        }
        file
    }

    fn scrub_log(&self) -> Vec<CheckedFile> {
        let (numbers, end) = {
            let log = locked(&self.log);
            (locked(&self.segments).clone(), log.wal.file().written())
        };
        let checks = check_segments(self.options.fs.as_ref(), &self.paths, self.store, &numbers, end);
        let file = |check: SegmentCheck| CheckedFile {
            blocks: check.commits,
            faults: check.fault.iter().map(Fault::from).collect(),
            ..CheckedFile::new(&check.path, check.bytes)
        };
        checks.into_iter().map(file).collect()
    }

    fn file_len(&self, path: &Path) -> u64 {
        tolerate(self.options.fs.open(path).and_then(|file| file.len())).unwrap_or(0)
    }
}
