//! A copy of the store at one moment that is a store of its own.
//!
//! The copy has what the manifest of the store describes: everything committed before the checkpoint was asked for is
//! flushed, then the state of the manifest is taken as it is. Tables never change, so they are shared by hard links;
//! manifest, `CURRENT` and an empty, cleanly closed log are written anew. No log needs to be copied, because tables
//! hold every commit up to the sequence that the manifest covers, and the new log begins with the next.
//!
//! Writers, flushes and compactions go on meanwhile. Files are held from before the state is taken until the links are
//! made, so none of them can vanish in between.
//!
//! The copy is put together beside its destination, under its name with `.tmp` added, synced from the leaves to the
//! root and then renamed: the destination is complete or not there. A checkpoint that fails takes its pieces away; the
//! pieces of one that died are taken away by the next one to the same place.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inner::{Inner, locked};
use crate::error::{Error, Result};
use crate::files::{StoreFile, StorePaths, parse_root_name, parse_table_name, parse_wal_name};
use crate::fs::{Fs, copy, tolerate};
use crate::manifest::{ManifestLog, StoreState};
use crate::marks::{Mark, hit};
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::types::{FileNumber, Seq};
use crate::wal::WalWriter;

/// What a checkpoint contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    /// The last commit in it. At least every commit that was visible when the checkpoint was asked for is in it.
    pub sequence: Seq,
    /// Number of files.
    pub files: u64,
    /// Bytes of its tables. They take no space of their own as long as the store has the same tables.
    pub bytes: u64,
}

impl Inner {
    /// See [`super::Db::checkpoint`].
    pub(super) fn checkpoint(&self, dest: &Path) -> Result<CheckpointInfo> {
        // Two at a time could work in the same place. Closing waits for this lock, too.
        let _checkpointing = locked(&self.checkpointing);
        self.check_writable()?;
        let fs = self.options.fs.as_ref();
        let staging = Staging::prepare(fs, dest)?;
        let _held = self.hold_files();
        let upto = locked(&self.log).last;
        planted::unless(Bug::CheckpointWithoutFlush, || self.flush_committed(upto))?;
        let state = locked(&self.manifest).state().clone();
        let done = self.build(&staging, state).and_then(|info| staging.publish(fs).map(|()| info));
        if done.is_err() {
            hit(Mark::CheckpointTakenBack);
            staging.discard(fs);
        }
        done
    }

    /// Flushes what was committed up to a sequence, but not what others go on committing.
    fn flush_committed(&self, upto: Seq) -> Result<()> {
        self.seal_if_used()?;
        while locked(&self.manifest).state().last_seq < upto && self.flush_oldest()? {}
        Ok(())
    }

    fn build(&self, staging: &Staging, mut state: StoreState) -> Result<CheckpointInfo> {
        let (fs, paths) = (&self.options.fs, &staging.paths);
        for dir in [paths.root().to_path_buf(), paths.wal_dir(), paths.table_dir()] {
            fs.create_dir(&dir).map_err(|e| Error::io("create", &dir, e))?;
        }
        for &number in state.tables.keys() {
            link_or_copy(fs.as_ref(), &self.paths.table(number), &paths.table(number))?;
        }
        planted::unless(Bug::CheckpointNamesNotSynced, || {
            fs.sync_dir(&paths.table_dir()).map_err(|e| Error::sync(&paths.table_dir(), e))
        })?;

        let info = CheckpointInfo {
            sequence: state.last_seq,
            files: state.tables.len() as u64 + 3,
            bytes: state.tables.values().map(|(_, meta)| meta.size).sum(),
        };
        // Numbers that the store itself has not used, and will not.
        let (segment, manifest) = (self.take_file_number(), self.take_file_number());
        state.next_file = FileNumber(manifest.0 + 1);
        state.log_number = segment;
        state.closed_cleanly = true;
        let counters = Arc::new(Counters::default());
        self.write_empty_log(paths, &counters, segment, state.last_seq)?;
        ManifestLog::create(Arc::clone(fs), paths.clone(), self.store, counters, manifest, state)?;
        Ok(info)
    }

    /// A log that says that the store was closed after commit `last`.
    fn write_empty_log(
        &self,
        paths: &StorePaths,
        counters: &Arc<Counters>,
        number: FileNumber,
        last: Seq,
    ) -> Result<()> {
        let begin = (number, last.checked_add(1).unwrap_or(Seq::MAX));
        let (fs, counters_of_log) = (Arc::clone(&self.options.fs), Arc::clone(counters));
        let mut log = WalWriter::create(fs, paths.clone(), self.store, counters_of_log, begin)?;
        log.encode_clean_close(last);
        log.write_out()?;
        log.file().sync_upto(log.file().written(), counters)
    }
}

/// The place where a checkpoint is put together.
struct Staging {
    dest: PathBuf,
    parent: PathBuf,
    paths: StorePaths,
}

impl Staging {
    /// Refuses a destination that exists, and clears away what a checkpoint that died may have left.
    fn prepare(fs: &dyn Fs, dest: &Path) -> Result<Self> {
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
        let staging =
            Self { dest: dest.to_path_buf(), parent: parent.to_path_buf(), paths: StorePaths::new(&root) };
        if exists(&temp) {
            hit(Mark::CheckpointCleared);
            staging.discard(fs);
            if tolerate(fs.list(&root)).is_some() {
                return Err(taken(&root));
            }
        }
        Ok(staging)
    }

    /// Gives the finished copy its name, durably.
    fn publish(&self, fs: &dyn Fs) -> Result<()> {
        let root = self.paths.root();
        fs.rename(root, &self.dest).map_err(|e| Error::io("rename", root, e))?;
        fs.sync_dir(&self.parent).map_err(|e| Error::sync(&self.parent, e)).inspect_err(|_| {
            // Back to where it can be taken away; if that fails, too, the copy stays, complete.
            tolerate(fs.rename(&self.dest, root));
        })
    }

    /// Removes everything that a checkpoint makes, and nothing else.
    fn discard(&self, fs: &dyn Fs) {
        let root = self.paths.root();
        remove_files(fs, &self.paths.wal_dir(), |name| parse_wal_name(name).is_some());
        remove_files(fs, &self.paths.table_dir(), |name| parse_table_name(name).is_some());
        remove_files(fs, root, |name| {
            let file = parse_root_name(name);
            matches!(file, Some(StoreFile::Current | StoreFile::CurrentTemp | StoreFile::Manifest(_)))
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

/// Gives a table a second name, or copies it where that is impossible.
fn link_or_copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<()> {
    use io::ErrorKind::{CrossesDevices, InvalidInput, PermissionDenied, TooManyLinks, Unsupported};
    match fs.hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                Unsupported | CrossesDevices | PermissionDenied | TooManyLinks | InvalidInput
            ) =>
        {
            hit(Mark::CheckpointCopied);
            copy(fs, from, to)
        }
        Err(error) => Err(Error::io("link", to, error)),
    }
}
