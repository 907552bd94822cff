//! A file system in which no table comes into being while its gate is shut, so that a flush stands still at the same place
//! every time: it has said what it will drop, and nothing of it is to be seen yet.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use fountain_engine::fs::{File, Fs, LockAttempt, RealFs};

/// The gate, before which whoever creates a table waits.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_shut: bool,
    waiting: usize,
}

impl Gate {
    /// Tables that are created from now on have to wait.
    pub fn shut(&self) {
        self.state.lock().unwrap().is_shut = true;
    }

    /// Lets all go on.
    pub fn open(&self) {
        self.state.lock().unwrap().is_shut = false;
        self.changed.notify_all();
    }

    /// Returns when somebody waits.
    pub fn wait_for_somebody(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.is_shut).unwrap();
        state.waiting -= 1;
    }
}

/// The operating system's file system behind a gate.
pub struct GateFs(pub Arc<Gate>);

impl Fs for GateFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        if path.extension().is_some_and(|extension| extension == "sst") {
            self.0.pass();
        }
        RealFs.create_new(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        RealFs.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFs.remove(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealFs.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }
    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        RealFs.try_lock(path)
    }
}
