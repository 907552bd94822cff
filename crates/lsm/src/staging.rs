//! A new store that is put together beside its destination and gets its name when it is complete.
//!
//! It grows under the name of the destination with `.tmp` added, is synced from the leaves to the root and then renamed:
//! the destination is complete or not there. Whoever fails takes the pieces away; the pieces of one that died are taken
//! away by the next one to the same place. Checkpoints and salvage work so.

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::files::{StoreFile, StorePaths, parse_root_name, parse_table_name, parse_wal_name};
use crate::fs::{Fs, tolerate};
use crate::manifest::{ManifestLog, StoreState};
use crate::marks::{Mark, hit};
use crate::metrics::Counters;
use crate::types::{FileNumber, Seq, StoreId};
use crate::wal::WalWriter;

/// The place where a store is put together.
pub(crate) struct Staging {
    dest: PathBuf,
    parent: PathBuf,
    pub(crate) paths: StorePaths,
    /// It has, or a crash may give it, the name of the destination, so nothing of it may be taken away.
    named: Cell<bool>,
}

impl Staging {
    /// Refuses a destination that exists, and clears away what an attempt that died may have left.
    pub(crate) fn prepare(fs: &dyn Fs, dest: &Path) -> Result<Self> {
        let parent = match dest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let names = fs.list(parent).map_err(|e| Error::io("list", parent, e))?;
        let Some(name) = dest.file_name() else {
            return Err(Error::system("create", dest, io::ErrorKind::InvalidInput.into()));
        };
        let exists = |name: &OsString| names.iter().any(|found| *found == *name.to_string_lossy());
        let taken = |path: &Path| Error::system("create", path, io::ErrorKind::AlreadyExists.into());
        let mut temp = name.to_os_string();
        if exists(&temp) {
            return Err(taken(dest));
        }
        temp.push(".tmp");
        let root = parent.join(&temp);
        let (dest, parent, paths) = (dest.to_path_buf(), parent.to_path_buf(), StorePaths::new(&root));
        let staging = Self { dest, parent, paths, named: Cell::new(false) };
        if exists(&temp) {
            hit(Mark::CheckpointCleared);
            staging.discard(fs);
            if tolerate(fs.list(&root)).is_some() {
                return Err(taken(&root));
            }
        }
        Ok(staging)
    }

    /// As [`Self::prepare`], but a destination that is an empty directory counts as none: it is removed.
    pub(crate) fn in_place_of_nothing(fs: &dyn Fs, dest: &Path) -> Result<Self> {
        match fs.list(dest) {
            Ok(names) if names.is_empty() => {
                fs.remove_dir(dest).map_err(|e| Error::io("replace", dest, e))?;
            }
            // What else may be there, preparing finds out.
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(e) => return Err(Error::io("list", dest, e)),
        }
        Self::prepare(fs, dest)
    }

    /// Makes the directories of the store.
    pub(crate) fn make_directories(&self, fs: &dyn Fs) -> Result<()> {
        for dir in [self.paths.root().to_path_buf(), self.paths.wal_dir(), self.paths.table_dir()] {
            fs.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
        }
        Ok(())
    }

    /// Writes what makes tables a store: a log in which nothing lies and a manifest, with these numbers. Both say that the
    /// store was closed after the last commit in the tables.
    pub(crate) fn complete(
        &self,
        fs: &Arc<dyn Fs>,
        store: StoreId,
        mut state: StoreState,
        (segment, manifest): (FileNumber, FileNumber),
    ) -> Result<()> {
        state.next_file = FileNumber(manifest.0 + 1);
        state.log_number = segment;
        state.closed_cleanly = true;
        let counters = Arc::new(Counters::default());
        self.write_empty_log(fs, store, &counters, segment, state.last_seq)?;
        ManifestLog::create(Arc::clone(fs), self.paths.clone(), store, counters, manifest, state)?;
        Ok(())
    }

    fn write_empty_log(
        &self,
        fs: &Arc<dyn Fs>,
        store: StoreId,
        counters: &Arc<Counters>,
        number: FileNumber,
        last: Seq,
    ) -> Result<()> {
        let begin = (number, last.checked_add(1).unwrap_or(Seq::MAX));
        let mut log =
            WalWriter::create(Arc::clone(fs), self.paths.clone(), store, Arc::clone(counters), begin)?;
        log.encode_clean_close(last);
        log.write_out()?;
        log.file().sync_upto(log.file().written(), counters)
    }

    /// Gives the finished store its name, durably.
    pub(crate) fn publish(&self, fs: &dyn Fs) -> Result<()> {
        let root = self.paths.root();
        fs.rename(root, &self.dest).map_err(|e| Error::io("rename", root, e))?;
        fs.sync_dir(&self.parent).map_err(|e| Error::sync(&self.parent, e)).inspect_err(|_| {
            // The name may be on disk. Back to where it can be taken away, and only when that is certain, piece by piece; if
            // it fails, too, the copy stays, complete.
            let is_back = tolerate(fs.rename(&self.dest, root)).is_some();
            self.named.set(!is_back || tolerate(fs.sync_dir(&self.parent)).is_none());
        })
    }

    /// Removes everything that a new store consists of, and nothing else.
    pub(crate) fn discard(&self, fs: &dyn Fs) {
        if self.named.get() {
            return;
        }
        let root = self.paths.root();
        remove_files(fs, &self.paths.wal_dir(), |name| parse_wal_name(name).is_some());
        remove_files(fs, &self.paths.table_dir(), |name| parse_table_name(name).is_some());
        remove_files(fs, root, |name| {
            let file = parse_root_name(name);
            matches!(
                file,
                Some(StoreFile::Current | StoreFile::CurrentTemp | StoreFile::Manifest(_) | StoreFile::Lock)
            )
        });
    }
}

/// Removes the files of a directory that are `ours`, and the directory if nothing is left in it.
fn remove_files(fs: &dyn Fs, dir: &Path, ours: impl Fn(&str) -> bool) {
    for name in tolerate(fs.list(dir)).unwrap_or_default().iter().filter(|name| ours(name)) {
        tolerate(fs.remove(&dir.join(name)));
    }
    tolerate(fs.remove_dir(dir));
}
