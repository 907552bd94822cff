//! The simulated disk as a file system for the engine.
//!
//! Every change goes through [`Disk::apply`], and is recorded first if that was asked for, so that a recording applied
//! to a copy of the disk it began with gives the same disk. Clones are the same file system.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fountain_lsm::fs::{File, Fs, Lock, LockAttempt};

use super::op::{FileId, Name, Op};
use super::state::Disk;
use crate::random::mix;

/// The file system.
#[derive(Clone, Default)]
pub struct SimFs {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    disk: Disk,
    recording: Option<Vec<Op>>,
    locked: Vec<PathBuf>,
    open_files: usize,
    read_bytes: u64,
    /// How many syncs of files and directories are to succeed before one fails.
    failing_sync: Option<usize>,
    no_links: bool,
}

impl SimFs {
    /// A file system on a disk.
    pub fn new(disk: Disk) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { disk, ..Shared::default() })) }
    }

    /// The disk as it is now.
    pub fn disk(&self) -> Disk {
        self.lock().disk.clone()
    }

    /// Looks at the disk as it is now.
    pub fn with_disk<T>(&self, look: impl FnOnce(&Disk) -> T) -> T {
        look(&self.lock().disk)
    }

    /// Changes the disk behind everybody's back.
    pub fn change_disk<T>(&self, change: impl FnOnce(&mut Disk) -> T) -> T {
        change(&mut self.lock().disk)
    }

    /// Records all changes from now on.
    pub fn record(&self) {
        self.lock().recording = Some(Vec::new());
    }

    /// Records all changes from now on, and gives the disk to which they come. At once, so that no thread of a store comes
    /// between.
    pub fn record_from(&self) -> Disk {
        let mut shared = self.lock();
        shared.recording = Some(Vec::new());
        shared.disk.clone()
    }

    /// Changes recorded so far.
    pub fn recorded(&self) -> usize {
        self.lock().recording.as_ref().map_or(0, Vec::len)
    }

    /// Ends the recording and gives it back.
    pub fn take_recording(&self) -> Vec<Op> {
        self.lock().recording.take().unwrap_or_default()
    }

    /// Lets a sync of a file or a directory fail, after that many succeeded: what it should have written is on disk or not,
    /// and will not be written any more, though the running machine shows it and later syncs succeed, as on Linux.
    pub fn fail_sync_after(&self, syncs: usize) {
        self.lock().failing_sync = Some(syncs);
    }

    /// Whether the failure asked for by [`SimFs::fail_sync_after`] has happened.
    pub fn has_failed(&self) -> bool {
        self.lock().failing_sync.is_none()
    }

    /// Refuses hard links from now on, as some file systems do.
    pub fn refuse_links(&self) {
        self.lock().no_links = true;
    }

    /// Files and locks that are open.
    pub fn open_handles(&self) -> usize {
        let shared = self.lock();
        shared.open_files + shared.locked.len()
    }

    /// Bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.lock().read_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, shared: &mut Shared, file: FileId) -> Box<dyn File> {
        shared.open_files += 1;
        Box::new(SimFile { fs: self.clone(), file })
    }
}

impl Shared {
    fn apply(&mut self, op: Op) {
        self.disk.apply(&op);
        if let Some(recording) = &mut self.recording {
            recording.push(op);
        }
    }

    fn find(&self, path: &Path) -> io::Result<FileId> {
        self.disk.lookup(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Directory and name of a path whose directory exists.
    fn place(&self, path: &Path) -> io::Result<(FileId, Name)> {
        let dir = self.find(path.parent().unwrap_or(Path::new("")))?;
        if !self.disk.is_dir(dir) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((dir, name.into()))
    }

    /// As [`Shared::place`], for a name that must not be there yet.
    fn new_place(&self, path: &Path) -> io::Result<(FileId, Name)> {
        let (dir, name) = self.place(path)?;
        if self.disk.entry(dir, &name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok((dir, name))
    }

    fn create(&mut self, path: &Path) -> io::Result<FileId> {
        let (dir, name) = self.new_place(path)?;
        let file = self.disk.next_id();
        self.apply(Op::Create { dir, name });
        Ok(file)
    }

    /// Whether the next sync is to fail.
    fn fails_sync(&mut self) -> bool {
        match &mut self.failing_sync {
            Some(0) => {
                self.failing_sync = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

struct SimFile {
    fs: SimFs,
    file: FileId,
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let shared = &mut *self.fs.lock();
        let bytes = shared.disk.bytes(self.file).ok_or(io::ErrorKind::IsADirectory)?;
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        shared.read_bytes += len as u64;
        Ok(len)
    }

    /// Of half of all places, which follow from file and offset, the machine has the bytes in memory.
    fn read_at_once(&self, offset: u64, buf: &mut [u8]) -> bool {
        let is_in_memory = mix(offset ^ mix(self.file.index() as u64)).is_multiple_of(2);
        is_in_memory && self.read_at(offset, buf).is_ok_and(|len| len == buf.len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.fs.lock().apply(Op::Write { file: self.file, at: offset, bytes: bytes.into() });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let shared = &mut *self.fs.lock();
        if shared.fails_sync() {
            shared.apply(Op::FailedSync { file: self.file });
            return Err(io::Error::other("the disk failed"));
        }
        shared.apply(Op::Sync { file: self.file });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.lock().apply(Op::SetLen { file: self.file, len });
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.lock().disk.bytes(self.file).map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.fs.lock().open_files -= 1;
    }
}

struct SimLock {
    fs: SimFs,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.lock().locked.retain(|path| *path != self.path);
    }
}

impl Fs for SimFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let shared = &mut *self.lock();
        let file = shared.create(path)?;
        Ok(self.handle(shared, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let shared = &mut *self.lock();
        let file = shared.find(path)?;
        if shared.disk.is_dir(file) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(self.handle(shared, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let shared = &mut *self.lock();
        shared.find(from)?;
        let (from_dir, from) = shared.place(from)?;
        let (to_dir, to) = shared.place(to)?;
        shared.apply(Op::Rename { from_dir, from, to_dir, to });
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let shared = &mut *self.lock();
        if shared.no_links {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let file = shared.find(from)?;
        let (dir, name) = shared.new_place(to)?;
        shared.apply(Op::Link { file, dir, name });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let shared = &mut *self.lock();
        if shared.disk.is_dir(shared.find(path)?) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let (dir, name) = shared.place(path)?;
        shared.apply(Op::Remove { dir, name });
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let shared = &mut *self.lock();
        let found = shared.find(path)?;
        if !shared.disk.is_dir(found) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if !shared.disk.is_empty(found) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = shared.place(path)?;
        shared.apply(Op::Remove { dir, name });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let shared = self.lock();
        let found = shared.find(dir)?;
        if !shared.disk.is_dir(found) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(shared.disk.entries(found).map(|(name, _)| name.to_string()).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let shared = &mut *self.lock();
        let mut missing = Vec::new();
        for ancestor in dir.ancestors() {
            match shared.disk.lookup(ancestor) {
                Some(found) if shared.disk.is_dir(found) => break,
                Some(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => missing.push(ancestor),
            }
        }
        for path in missing.into_iter().rev() {
            let (dir, name) = shared.place(path)?;
            shared.apply(Op::MakeDir { dir, name });
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let shared = &mut *self.lock();
        let dir = shared.find(dir)?;
        if shared.fails_sync() {
            shared.apply(Op::FailedSyncDir { dir });
            return Err(io::Error::other("the disk failed"));
        }
        shared.apply(Op::SyncDir { dir });
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let shared = &mut *self.lock();
        if shared.locked.iter().any(|held| held == path) {
            return Ok(LockAttempt::Busy(None));
        }
        if shared.disk.lookup(path).is_none() {
            shared.create(path)?;
        }
        shared.locked.push(path.to_path_buf());
        Ok(LockAttempt::Held(Box::new(SimLock { fs: self.clone(), path: path.to_path_buf() })))
    }
}
