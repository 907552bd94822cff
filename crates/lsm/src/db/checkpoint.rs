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
//! The copy is put together beside its destination, see [`crate::staging`]: the destination is complete or not there.

use std::io;
use std::path::Path;

use super::inner::{Inner, locked};
use crate::error::{Error, Result};
use crate::fs::{Fs, copy};
use crate::manifest::StoreState;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::staging::Staging;
use crate::types::Seq;

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
        let _timer = self.counters.latencies.checkpoint.time();
        let fs = self.options.fs.as_ref();
        let staging = Staging::prepare(fs, dest)?;
        let _held = (!planted::active(Bug::CheckpointHoldsNothing)).then(|| self.hold_files());
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
        self.seal_ahead()?;
        while locked(&self.manifest).state().last_seq < upto && self.flush_oldest()? {}
        Ok(())
    }

    fn build(&self, staging: &Staging, state: StoreState) -> Result<CheckpointInfo> {
        let (fs, paths) = (&self.options.fs, &staging.paths);
        staging.make_directories(fs.as_ref())?;
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
        let numbers = (self.take_file_number(), self.take_file_number());
        staging.complete(fs, self.store, state, numbers)?;
        Ok(info)
    }
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
