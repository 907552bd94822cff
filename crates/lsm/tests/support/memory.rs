//! A disk in memory that knows what a loss of power would leave of it, and fails on request.
//!
//! Names are durable at once; bytes are durable once a sync that began after they were written has returned. Its own
//! locks are never held across a step of the scheduler; it gives the scheduler a step in the middle of each write and
//! each sync, and before a file is looked up by its name, so that other threads act while those are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fountain_lsm::fs::{File, Fs, Lock, LockAttempt};
use shuttle::sync::atomic::{AtomicBool, Ordering};

/// A point at which the scheduler may choose another thread. Unlike a yield it does not ask for one, which a scheduler
/// with priorities would obey.
pub fn step() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// A kind of request that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Write,
    Sync,
}

/// A fault that is to come.
#[derive(Clone, Copy)]
struct Fault {
    request: Request,
    /// How many such requests for a log segment go well before it.
    after: usize,
    kind: io::ErrorKind,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryFs {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Bytes>>>,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    fault: Option<Fault>,
}

#[derive(Clone, Default)]
struct Bytes {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Syncs that have begun, and the number of the one to which `durable` belongs.
    syncs: (u64, u64),
}

impl MemoryFs {
    /// Makes one write or sync of a log segment fail, after that many went well.
    pub fn fail_log(&self, request: Request, after: usize, kind: io::ErrorKind) {
        self.state.lock().unwrap().fault = Some(Fault { request, after, kind });
    }

    /// Another disk with what a loss of power now would leave of this one.
    pub fn after_power_loss(&self) -> Self {
        let state = self.state.lock().unwrap();
        let kept = |bytes: &Arc<Mutex<Bytes>>| {
            let durable = bytes.lock().unwrap().durable.clone();
            Arc::new(Mutex::new(Bytes { now: durable.clone(), durable, syncs: (0, 0) }))
        };
        let files = state.files.iter().map(|(path, bytes)| (path.clone(), kept(bytes))).collect();
        let copy = State { files, dirs: state.dirs.clone(), ..State::default() };
        Self { state: Arc::new(Mutex::new(copy)) }
    }

    fn file(&self, path: &Path, bytes: Arc<Mutex<Bytes>>) -> Box<dyn File> {
        let is_log = path.extension().is_some_and(|extension| extension == "wal");
        Box::new(MemoryFile { bytes, is_log, disk: self.clone() })
    }

    /// The error that the next request must end with, if it must.
    fn due(&self, request: Request) -> Option<io::ErrorKind> {
        let fault = &mut self.state.lock().unwrap().fault;
        let next = fault.as_mut().filter(|fault| fault.request == request)?;
        if next.after > 0 {
            next.after -= 1;
            return None;
        }
        fault.take().map(|fault| fault.kind)
    }
}

struct MemoryFile {
    bytes: Arc<Mutex<Bytes>>,
    is_log: bool,
    disk: MemoryFs,
}

impl MemoryFile {
    fn due(&self, request: Request) -> Option<io::ErrorKind> {
        step();
        if self.is_log { self.disk.due(request) } else { None }
    }
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes.lock().unwrap();
        let rest = bytes.now.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, written: &[u8]) -> io::Result<()> {
        let due = self.due(Request::Write);
        // A failed write may have written a part.
        let written = if due.is_some() { &written[..written.len() / 2] } else { written };
        let start = usize::try_from(offset).unwrap();
        let now = &mut self.bytes.lock().unwrap().now;
        now.resize(now.len().max(start + written.len()), 0);
        now[start..start + written.len()].copy_from_slice(written);
        due.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn sync(&self) -> io::Result<()> {
        let (begun, number) = {
            let bytes = &mut *self.bytes.lock().unwrap();
            bytes.syncs.0 += 1;
            (bytes.now.clone(), bytes.syncs.0)
        };
        if let Some(kind) = self.due(Request::Sync) {
            return Err(kind.into());
        }
        let bytes = &mut *self.bytes.lock().unwrap();
        if number > bytes.syncs.1 {
            (bytes.durable, bytes.syncs.1) = (begun, number);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        step();
        self.bytes.lock().unwrap().now.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().now.len() as u64)
    }
}

struct MemoryLock {
    path: PathBuf,
    disk: MemoryFs,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.state.lock().unwrap().locked.remove(&self.path);
    }
}

/// `to` with `rest` behind it, which may be empty.
fn joined(to: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) }
}

impl Fs for MemoryFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let bytes = Arc::<Mutex<Bytes>>::default();
        let files = &mut self.state.lock().unwrap().files;
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_path_buf(), Arc::clone(&bytes));
        Ok(self.file(path, bytes))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        step();
        let found = self.state.lock().unwrap().files.get(path).cloned();
        found.map(|bytes| self.file(path, bytes)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap();
        if state.dirs.contains(from) {
            let moved =
                |path: &Path| path.strip_prefix(from).map_or(path.to_path_buf(), |rest| joined(to, rest));
            state.dirs = state.dirs.iter().map(|dir| moved(dir)).collect();
            let files = std::mem::take(&mut state.files);
            state.files = files.into_iter().map(|(path, bytes)| (moved(&path), bytes)).collect();
            return Ok(());
        }
        let bytes = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_path_buf(), bytes);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        step();
        let files = &mut self.state.lock().unwrap().files;
        let bytes = files.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        match files.insert(to.to_path_buf(), bytes) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        step();
        let removed = self.state.lock().unwrap().files.remove(path);
        removed.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.lock().unwrap().dirs.remove(dir);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock().unwrap();
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = state.files.keys().chain(&state.dirs).filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let dirs = dir.ancestors().map(Path::to_path_buf);
        self.state.lock().unwrap().dirs.extend(dirs);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        if !self.state.lock().unwrap().locked.insert(path.to_path_buf()) {
            return Ok(LockAttempt::Busy(None));
        }
        Ok(LockAttempt::Held(Box::new(MemoryLock { path: path.to_path_buf(), disk: self.clone() })))
    }
}
