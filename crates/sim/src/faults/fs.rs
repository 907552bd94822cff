//! A file system in which requests go wrong on purpose, and which watches what is made of that.
//!
//! Requests are counted while it is armed; one of them, or all from one on, go wrong. What it notices by itself: an error
//! that arrives nowhere (see `fountain_lsm::sites`), and a sync of something whose sync has failed before.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fountain_lsm::fs::{File, Fs, Lock, LockAttempt};
use fountain_lsm::sites::{Arrivals, arrivals};

use super::fault::{Class, Fault, Kind};
use super::session::STORE;
use crate::disk::SimFs;

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of the request.
    pub at: usize,
    /// How it goes wrong.
    pub fault: Fault,
    /// Every later request that can goes wrong, too.
    pub for_ever: bool,
}

/// A request as it was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub kind: Kind,
    /// About which file.
    pub path: PathBuf,
}

/// The file system. Clones are the same.
#[derive(Clone)]
pub struct FaultFs {
    disk: SimFs,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    /// Requests about manifests find no space, this many.
    full_manifests: usize,
    requests: Vec<Request>,
    injected: Vec<Request>,
    surfaced: u64,
    tolerated: u64,
    changes: u64,
    /// What had arrived when the last error was made, until it is known where that went.
    awaited: Option<Arrivals>,
    failed_syncs: BTreeSet<PathBuf>,
    wrong: Vec<String>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Faults.
    pub injected: u64,
    /// Faults that became an error of the store.
    pub surfaced: u64,
    /// Faults that were let pass.
    pub tolerated: u64,
    /// Requests that may change the disk.
    pub changes: u64,
}

impl FaultFs {
    /// A file system on `disk` in which nothing goes wrong yet.
    pub fn new(disk: SimFs) -> Self {
        Self { disk, state: Arc::default() }
    }

    /// Lets a request go wrong.
    pub fn arm(&self, plan: Plan) {
        self.lock().plan = Some(plan);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.settle();
        (state.plan, state.full_manifests) = (None, 0);
    }

    /// Lets the next writes to a manifest find no space. Not counted as faults.
    pub fn fill_manifests(&self, writes: usize) {
        self.lock().full_manifests = writes;
    }

    /// Forgets which syncs failed: another process has opened the store.
    pub fn forget_syncs(&self) {
        self.lock().failed_syncs.clear();
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// The requests that went wrong on purpose.
    pub fn injected(&self) -> Vec<Request> {
        self.lock().injected.clone()
    }

    /// What has happened so far.
    pub fn seen(&self) -> Seen {
        let mut state = self.lock();
        state.settle();
        Seen {
            injected: state.injected.len() as u64,
            surfaced: state.surfaced,
            tolerated: state.tolerated,
            changes: state.changes,
        }
    }

    /// What must not have been.
    pub fn take_wrong(&self) -> Vec<String> {
        let mut state = self.lock();
        state.settle();
        std::mem::take(&mut state.wrong)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; tells whether and how it goes wrong.
    fn ask(&self, kind: Kind, path: &Path) -> Option<Fault> {
        self.lock().ask(kind, path)
    }

    /// A request that goes wrong entirely or not at all.
    fn plain<T>(&self, kind: Kind, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.ask(kind, path) {
            None => act(),
            Some(fault) => {
                if fault == Fault::IoAfter {
                    drop(act());
                }
                Err(fault.error())
            }
        }
    }

    fn wrap(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(FaultFile { fs: self.clone(), path: path.to_path_buf(), file })
    }
}

impl State {
    fn ask(&mut self, kind: Kind, path: &Path) -> Option<Fault> {
        self.settle();
        let number = self.requests.len();
        self.requests.push(Request { kind, path: path.to_path_buf() });
        self.changes += u64::from(kind.changes());
        if kind == Kind::Write && Class::of(path) == Class::Manifest && self.full_manifests > 0 {
            self.full_manifests -= 1;
            return Some(Fault::Full);
        }
        let plan = self.plan?;
        let hit = if plan.for_ever { number >= plan.at } else { number == plan.at };
        if !hit || !plan.fault.fits(kind) {
            return None;
        }
        self.injected.push(Request { kind, path: path.to_path_buf() });
        if !matches!(plan.fault, Fault::ShortRead | Fault::Replaced) {
            self.awaited = Some(arrivals());
        }
        Some(plan.fault)
    }

    /// Finds out where the last error went: the next request or the end of the call comes after that.
    fn settle(&mut self) {
        let Some(before) = self.awaited.take() else { return };
        let now = arrivals();
        if now.surfaced > before.surfaced {
            self.surfaced += 1;
        } else if now.tolerated > before.tolerated {
            self.tolerated += 1;
        } else {
            let request = self.injected.last();
            self.wrong.push(format!("an error was dropped without a word: {request:?}"));
        }
    }

    /// What is outside of the store, such as the directory of its copies, is synced again for another copy.
    fn note_sync(&mut self, path: &Path, failed: bool) {
        if !path.starts_with(STORE) {
            return;
        }
        if failed {
            self.failed_syncs.insert(path.to_path_buf());
        } else if self.failed_syncs.contains(path) {
            self.wrong.push(format!("a sync that had failed was tried again: {}", path.display()));
        }
    }
}

struct FaultFile {
    fs: FaultFs,
    path: PathBuf,
    file: Box<dyn File>,
}

impl File for FaultFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self.fs.ask(Kind::Read, &self.path) {
            None => self.file.read_at(offset, buf),
            Some(Fault::ShortRead) => {
                let half = buf.len() / 2;
                self.file.read_at(offset, &mut buf[..half])
            }
            Some(fault) => Err(fault.error()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.fs.ask(Kind::Write, &self.path) {
            None => self.file.write_at(offset, bytes),
            Some(fault) => {
                self.file.write_at(offset, &bytes[..fault.written(bytes.len())])?;
                Err(fault.error())
            }
        }
    }

    /// What the system has in memory is there, whatever goes wrong with the disk.
    fn read_at_once(&self, offset: u64, buf: &mut [u8]) -> bool {
        self.file.read_at_once(offset, buf)
    }

    fn sync(&self) -> io::Result<()> {
        let fault = self.fs.ask(Kind::Sync, &self.path);
        self.fs.lock().note_sync(&self.path, fault.is_some());
        match fault {
            None => self.file.sync(),
            Some(fault) => {
                // What was to be written is lost, though the machine goes on showing it.
                self.fs.disk.fail_sync_after(0);
                drop(self.file.sync());
                Err(fault.error())
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.plain(Kind::SetLen, &self.path, || self.file.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.fs.plain(Kind::Len, &self.path, || self.file.len())
    }
}

struct FaultLock {
    fs: FaultFs,
    path: PathBuf,
    lock: Box<dyn Lock>,
}

impl Lock for FaultLock {
    fn is_intact(&self) -> io::Result<bool> {
        match self.fs.ask(Kind::CheckLock, &self.path) {
            None => self.lock.is_intact(),
            Some(Fault::Replaced) => Ok(false),
            Some(fault) => Err(fault.error()),
        }
    }
}

impl Fs for FaultFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.plain(Kind::Create, path, || self.disk.create_new(path))?;
        // A file that has just been made has no sync behind it.
        self.lock().failed_syncs.remove(path);
        Ok(self.wrap(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = self.plain(Kind::Open, path, || self.disk.open(path))?;
        Ok(self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plain(Kind::Rename, to, || self.disk.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plain(Kind::Link, to, || self.disk.hard_link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.plain(Kind::Remove, path, || self.disk.remove(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.plain(Kind::RemoveDir, dir, || self.disk.remove_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.plain(Kind::List, dir, || self.disk.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.plain(Kind::CreateDir, dir, || self.disk.create_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let fault = self.ask(Kind::SyncDir, dir);
        if fault != Some(Fault::Handles) {
            self.lock().note_sync(dir, fault.is_some());
        }
        match fault {
            None => self.disk.sync_dir(dir),
            // Without a handle the directory was not even opened.
            Some(Fault::Handles) => Err(Fault::Handles.error()),
            Some(fault) => {
                self.disk.fail_sync_after(0);
                drop(self.disk.sync_dir(dir));
                Err(fault.error())
            }
        }
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<Option<u32>>> {
        self.plain(Kind::Lock, path, || self.disk.lock_holder(path))
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let attempt = self.plain(Kind::Lock, path, || self.disk.try_lock(path))?;
        Ok(match attempt {
            LockAttempt::Held(lock) => {
                LockAttempt::Held(Box::new(FaultLock { fs: self.clone(), path: path.to_path_buf(), lock }))
            }
            busy @ LockAttempt::Busy(_) => busy,
        })
    }
}
