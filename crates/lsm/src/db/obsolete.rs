//! Deletes files that the store no longer needs, but not while somebody reads them by name.
//!
//! A checkpoint links the tables of one moment, a scrub reads them again; meanwhile compactions go on. What these make
//! obsolete waits here until nobody holds the files any more. Should the store die first, the next open finds files
//! that the manifest does not name, and removes them.

use std::path::{Path, PathBuf};

use super::inner::{Inner, locked};
use crate::fs::tolerate;
use crate::marks::{Mark, hit};
use crate::sync::Mutex;

/// Files that are to be deleted.
#[derive(Default)]
pub(super) struct Obsolete {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    holders: usize,
    waiting: Vec<PathBuf>,
}

/// As long as this lives, no file that the manifest named when it was made is deleted.
pub(super) struct HeldFiles<'a> {
    inner: &'a Inner,
}

impl Inner {
    /// Deletes a file that no manifest names any more, now or when nobody holds the files.
    ///
    /// What cannot be deleted is left to the next open.
    pub(super) fn remove_obsolete(&self, path: PathBuf) {
        let mut state = locked(&self.obsolete.state);
        if state.holders > 0 {
            hit(Mark::RemovalPostponed);
            state.waiting.push(path);
            return;
        }
        drop(state);
        self.remove_now(&path);
    }

    fn remove_now(&self, path: &Path) {
        if tolerate(self.options.fs.remove(path)).is_none() {
            self.counters.failed_removals.add(1);
            hit(Mark::RemovalFailed);
        }
    }

    /// Keeps all files of the store. To be taken before looking which files there are.
    pub(super) fn hold_files(&self) -> HeldFiles<'_> {
        locked(&self.obsolete.state).holders += 1;
        HeldFiles { inner: self }
    }
}

impl Drop for HeldFiles<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.inner.obsolete.state);
        state.holders -= 1;
        if state.holders > 0 {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for path in waiting {
            self.inner.remove_now(&path);
        }
    }
}
