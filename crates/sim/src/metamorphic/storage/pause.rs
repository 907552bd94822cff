//! A file system that stops whoever changes tables, at a chosen operation, until it is told to go on.
//!
//! So operations can happen in the middle of a flush or a compaction, at the same place every time: the work runs on a
//! thread of its own, but only while the other one waits. Where it stops, it holds nothing that reads, commits or
//! snapshots need; changes of the manifest are not stopped, because a commit may need that.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fountain_lsm::fs::{File, Fs, LockAttempt};

/// Who goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nobody is stopped.
    Free,
    /// The work, for that many more changes of tables.
    Work(u32),
    /// The other one; the work waits.
    Other,
    /// The work is done.
    Done,
}

/// What the two sides tell each other.
#[derive(Debug)]
pub struct Pauses {
    turn: Mutex<Turn>,
    changed: Condvar,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { turn: Mutex::new(Turn::Free), changed: Condvar::new() }
    }
}

impl Pauses {
    /// Before the work begins: it will be stopped before the change of a table after `stride` of them.
    pub fn arm(&self, stride: u8) {
        self.set(Turn::Work(u32::from(stride)));
    }

    /// Waits until the work is stopped or done.
    pub fn wait(&self) {
        let mut turn = self.lock();
        while matches!(*turn, Turn::Work(_)) {
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the work go on for `stride` changes of tables, if it is not done.
    pub fn resume(&self, stride: u8) {
        let mut turn = self.lock();
        if *turn == Turn::Other {
            *turn = Turn::Work(u32::from(stride));
            self.changed.notify_all();
        }
    }

    /// Stops nobody any more.
    pub fn disarm(&self) {
        self.set(Turn::Free);
    }

    /// The work is done when the value is dropped, even if it panics.
    pub fn done_at_end(&self) -> impl Drop + '_ {
        AtEnd(self)
    }

    fn set(&self, turn: Turn) {
        *self.lock() = turn;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the work before each change of a file that it may be stopped at.
    fn pass(&self) {
        let mut turn = self.lock();
        match *turn {
            Turn::Work(0) => {
                *turn = Turn::Other;
                self.changed.notify_all();
            }
            Turn::Work(left) => *turn = Turn::Work(left - 1),
            Turn::Free | Turn::Other | Turn::Done => return,
        }
        while *turn == Turn::Other {
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct AtEnd<'a>(&'a Pauses);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        let mut turn = self.0.lock();
        if *turn != Turn::Free {
            *turn = Turn::Done;
        }
        self.0.changed.notify_all();
    }
}

/// The file system.
pub struct PausingFs {
    fs: Arc<dyn Fs>,
    pauses: Arc<Pauses>,
    /// Which files' changes are stopped.
    stops: fn(&Path) -> bool,
}

impl PausingFs {
    /// Stops changes of tables in `fs` as `pauses` says.
    pub fn new(fs: Arc<dyn Fs>, pauses: Arc<Pauses>) -> Self {
        Self::stopping(fs, pauses, |path| path.extension().is_some_and(|extension| extension == "sst"))
    }

    /// Stops changes of the files that `stops` names.
    pub fn stopping(fs: Arc<dyn Fs>, pauses: Arc<Pauses>, stops: fn(&Path) -> bool) -> Self {
        Self { fs, pauses, stops }
    }
}

struct PausingFile {
    file: Box<dyn File>,
    pauses: Arc<Pauses>,
}

impl File for PausingFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn read_at_once(&self, offset: u64, buf: &mut [u8]) -> bool {
        self.file.read_at_once(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.pauses.pass();
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.pauses.pass();
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Fs for PausingFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        if !(self.stops)(path) {
            return self.fs.create_new(path);
        }
        self.pauses.pass();
        let file = self.fs.create_new(path)?;
        Ok(Box::new(PausingFile { file, pauses: Arc::clone(&self.pauses) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.fs.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fs.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.fs.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.sync_dir(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        self.fs.try_lock(path)
    }
}
