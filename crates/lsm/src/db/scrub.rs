//! Reads every live file again and reports everything that is wrong with it.
//!
//! Checked are: `CURRENT` and the manifest, and that they say what the store believes; that the levels are arranged as
//! they must be and no table is newer than what the manifest covers; every byte of every table, the order of its
//! entries, its counts, bounds and sequences, and that its filter knows its keys; every frame of the log, that
//! sequences follow one another and segments are linked. A fault does not end the scrub.
//!
//! Everything goes on meanwhile. The files are held, so that a compaction cannot delete one that is about to be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inner::{Inner, locked};
use crate::error::{Error, Result};
use crate::manifest::{Version, load};
use crate::table::Table;
use crate::types::Seq;
use crate::wal::check_segments;

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Every file that was read.
    pub files: Vec<ScrubbedFile>,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubbedFile {
    /// The file.
    pub path: PathBuf,
    /// Its bytes; of a log that is being written to, those that were written when the scrub looked.
    pub bytes: u64,
    /// Sound blocks of a table, commits of a log segment or edits of a manifest.
    pub blocks: u64,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the file; 0 when it concerns the file as a whole.
    pub offset: u64,
    /// What was found and what was expected.
    pub what: String,
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
        let _held = self.hold_files();
        let mut files = self.scrub_manifest().to_vec();
        let version = Arc::clone(&self.current.load().version);
        files.extend(version.tables().map(|(_, table)| self.scrub_table(table)));
        files.extend(self.scrub_log());
        Ok(ScrubReport { files })
    }

    /// The first fault as an error.
    pub(super) fn verify(&self) -> Result<()> {
        match self.scrub()?.faults().next() {
            None => Ok(()),
            Some((path, fault)) => Err(Error::corrupt(path, fault.offset, fault.what.clone())),
        }
    }

    fn scrub_manifest(&self) -> [ScrubbedFile; 2] {
        // Held while the file is read, so that nobody appends to it.
        let log = locked(&self.manifest);
        let (path, bytes, edits) = log.extent();
        let mut manifest =
            ScrubbedFile { path: path.to_path_buf(), bytes, blocks: edits, faults: Vec::new() };
        let mut current =
            ScrubbedFile { path: self.paths.current(), bytes: 0, blocks: 1, faults: Vec::new() };
        match load(self.options.fs.as_ref(), &self.paths) {
            Ok(found) => {
                if self.paths.manifest(found.number) != manifest.path {
                    current.add("it names another manifest than the one in use");
                } else if found.state != *log.state() {
                    manifest.add("its edits do not add up to the state of the store");
                }
            }
            Err(error) if error.path() == Some(&current.path) => current.take(&error),
            Err(error) => manifest.take(&error),
        }
        let covered = log.state().last_seq;
        // Installed under the manifest's lock, so it is the version that the manifest describes.
        let version = Arc::clone(&self.current.load().version);
        drop(log);
        for rule in broken_rules(&version, covered) {
            manifest.add(rule);
        }
        current.bytes = self.file_len(&current.path);
        [current, manifest]
    }

    fn scrub_table(&self, table: &Arc<Table>) -> ScrubbedFile {
        let path = self.paths.table(table.meta().number);
        let mut file = ScrubbedFile { path, bytes: table.meta().size, blocks: 0, faults: Vec::new() };
        // Opened again by its name: the handle in use would not notice that the file is gone or another.
        let opened = self.open_table(table.meta().clone());
        let (blocks, faults) = match &opened {
            Ok(reopened) => reopened.scrub(),
            Err(_) => table.scrub(),
        };
        file.blocks = blocks;
        if let Err(error) = &opened
            && !faults.iter().any(|fault| fault.offset() == error.offset())
        {
            file.take(error);
        }
        for fault in &faults {
            file.take(fault);
        }
        file
    }

    fn scrub_log(&self) -> Vec<ScrubbedFile> {
        let (numbers, end) = {
            let log = locked(&self.log);
            (locked(&self.segments).clone(), log.wal.file().written())
        };
        let checks = check_segments(self.options.fs.as_ref(), &self.paths, self.store, &numbers, end);
        let files = checks.into_iter().map(|check| {
            let mut file = ScrubbedFile {
                path: check.path,
                bytes: check.bytes,
                blocks: check.commits,
                faults: Vec::new(),
            };
            if let Some(fault) = &check.fault {
                file.take(fault);
            }
            file
        });
        files.collect()
    }

    fn file_len(&self, path: &Path) -> u64 {
        self.options.fs.open(path).and_then(|file| file.len()).unwrap_or(0)
    }
}

/// Rules about tables as a whole that do not hold.
fn broken_rules(version: &Version, covered: Seq) -> Vec<String> {
    let mut rules: Vec<String> = version.broken_rule().into_iter().collect();
    for (_, table) in version.tables().filter(|(_, table)| table.meta().greatest_seq > covered) {
        let meta = table.meta();
        rules.push(format!(
            "table {} reaches to sequence {}, but tables cover only {covered}",
            meta.number, meta.greatest_seq
        ));
    }
    rules
}

impl ScrubbedFile {
    fn add(&mut self, what: impl Into<String>) {
        self.faults.push(Fault { offset: 0, what: what.into() });
    }

    fn take(&mut self, error: &Error) {
        let what = match error {
            Error::Corrupt { what, .. } => what.clone(),
            other => other.to_string(),
        };
        self.faults.push(Fault { offset: error.offset().unwrap_or(0), what });
    }
}
