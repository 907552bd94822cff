//! What the behaviour tests share: stores in temporary directories, images of a killed process, a disk that fails
//! on request and remembers what was asked of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(dead_code, reason = "every test file uses its own part")]

pub mod busy;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fountain_lsm::fs::{File, Fs, LockAttempt, RealFs};
use fountain_lsm::{Db, Direction, Durability, KeyRange, Options, ReadTier, Seq, StoreId, WriteBatch};

pub fn seq(number: u64) -> Seq {
    Seq::new(number).expect("in range")
}

/// A temporary directory in memory where the system has such a place: for tests that open hundreds of stores and
/// learn nothing from the speed of a real disk.
pub fn fast_dir() -> tempfile::TempDir {
    let in_memory = Path::new("/dev/shm");
    if in_memory.is_dir() { tempfile::tempdir_in(in_memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Small memtables, so that a test of a few hundred records has tables and compactions.
pub fn small() -> Options {
    Options {
        memtable_bytes: 64 * 1024,
        table_bytes: 32 * 1024,
        wal_segment_bytes: 32 * 1024,
        store_id: Some(StoreId([7; 16])),
        background: false,
        ..Options::default()
    }
}

pub fn put(db: &Db, key: &str, value: &str) -> Seq {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), value.as_bytes()).unwrap();
    db.commit(batch, Durability::Disk).unwrap()
}

pub fn delete(db: &Db, key: &str) -> Seq {
    let mut batch = WriteBatch::new();
    batch.delete(key.as_bytes()).unwrap();
    db.commit(batch, Durability::Disk).unwrap()
}

pub fn get(db: &Db, key: &str) -> Option<String> {
    let value = db.get_newest(key.as_bytes(), ReadTier::Disk).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

pub fn get_at(db: &Db, key: &str, at: Seq) -> Option<String> {
    let value = db.get(key.as_bytes(), at, ReadTier::Disk).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// All records of a range as of a sequence.
pub fn scan(db: &Db, range: KeyRange, at: Seq, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = db.cursor(range, at, direction, ReadTier::Disk).unwrap();
    let mut records = Vec::new();
    while cursor.next().unwrap() {
        records.push((cursor.key().to_vec(), cursor.value().to_vec()));
    }
    records
}

/// All records as of a sequence.
pub fn all(db: &Db, at: Seq) -> Vec<(Vec<u8>, Vec<u8>)> {
    scan(db, KeyRange::default(), at, Direction::Forward)
}

/// Records to be ingested, in order.
pub fn records(keys: std::ops::Range<u32>, value: &str) -> Vec<(String, String)> {
    keys.map(|key| (format!("key {key:06}"), format!("{value} {key}"))).collect()
}

/// Copies a store as a kill of its process would leave it: everything handed to the operating system is there.
pub fn killed(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            killed(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Paths of the files in a directory of a store, by name.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// One thing a store asked of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Can be made to fail, but is not remembered.
    Open(String),
    Create(String),
    Write(String),
    SetLen(String),
    Sync(String),
    SyncDir(String),
    Rename(String),
    Link(String),
    Remove(String),
    CreateDir(String),
    RemoveDir(String),
}

impl Asked {
    /// Name of the file or directory.
    pub fn name(&self) -> &str {
        match self {
            Self::Open(name)
            | Self::Create(name)
            | Self::Write(name)
            | Self::SetLen(name)
            | Self::Sync(name)
            | Self::SyncDir(name)
            | Self::Rename(name)
            | Self::Link(name)
            | Self::Remove(name)
            | Self::CreateDir(name)
            | Self::RemoveDir(name) => name,
        }
    }
}

/// Decides which requests fail, and with what.
pub type Fault = Arc<dyn Fn(&Asked) -> Option<io::Error> + Send + Sync>;

/// The real disk, with a memory and a will of its own.
#[derive(Default)]
pub struct TestFs {
    asked: Arc<Mutex<Vec<Asked>>>,
    fault: Arc<Mutex<Option<Fault>>>,
    armed: Arc<AtomicBool>,
}

impl TestFs {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// What has been asked since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Makes the request number `nth` from now, counted from 0, fail; returns how many requests there have been.
    pub fn fail_at(&self, nth: usize, kind: io::ErrorKind) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        self.fail_when(move |_| (counted.fetch_add(1, Ordering::SeqCst) == nth).then_some(kind));
        count
    }

    /// As [`TestFs::fail_at`], with all requests from that number on.
    pub fn fail_from(&self, first: usize, kind: io::ErrorKind) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        self.fail_when(move |_| (counted.fetch_add(1, Ordering::SeqCst) >= first).then_some(kind));
        count
    }

    /// Makes requests fail from now on.
    pub fn fail_when(&self, fault: impl Fn(&Asked) -> Option<io::ErrorKind> + Send + Sync + 'static) {
        self.fail_with(move |asked| fault(asked).map(io::Error::from));
    }

    /// As [`TestFs::fail_when`], for errors that have no kind.
    pub fn fail_with(&self, fault: impl Fn(&Asked) -> Option<io::Error> + Send + Sync + 'static) {
        *self.fault.lock().unwrap() = Some(Arc::new(fault));
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.armed.store(false, Ordering::SeqCst);
        *self.fault.lock().unwrap() = None;
    }

    fn ask(&self, asked: Asked) -> io::Result<()> {
        Watch {
            asked: Arc::clone(&self.asked),
            fault: Arc::clone(&self.fault),
            armed: Arc::clone(&self.armed),
        }
        .ask(asked)
    }

    fn wrap(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        let watch = Watch {
            asked: Arc::clone(&self.asked),
            fault: Arc::clone(&self.fault),
            armed: Arc::clone(&self.armed),
        };
        Box::new(TestFile { file, name: name(path), watch })
    }
}

#[derive(Clone)]
struct Watch {
    asked: Arc<Mutex<Vec<Asked>>>,
    fault: Arc<Mutex<Option<Fault>>>,
    armed: Arc<AtomicBool>,
}

impl Watch {
    fn ask(&self, asked: Asked) -> io::Result<()> {
        // Not under the lock: the fault may be a panic.
        let fault = if self.armed.load(Ordering::SeqCst) { self.fault.lock().unwrap().clone() } else { None };
        let fault = fault.and_then(|fault| fault(&asked));
        if !matches!(asked, Asked::Open(_)) {
            self.asked.lock().unwrap().push(asked);
        }
        fault.map_or(Ok(()), Err)
    }
}

struct TestFile {
    file: Box<dyn File>,
    name: String,
    watch: Watch,
}

impl File for TestFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.watch.ask(Asked::Write(self.name.clone())) {
            // A failed write may have written a part.
            self.file.write_at(offset, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.watch.ask(Asked::Sync(self.name.clone()))?;
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch.ask(Asked::SetLen(self.name.clone()))?;
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl Fs for TestFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.ask(Asked::Create(name(path)))?;
        RealFs.create_new(path).map(|file| self.wrap(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.ask(Asked::Open(name(path)))?;
        RealFs.open(path).map(|file| self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Asked::Rename(name(to)))?;
        RealFs.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Asked::Link(name(to)))?;
        RealFs.hard_link(from, to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.ask(Asked::RemoveDir(name(dir)))?;
        RealFs.remove_dir(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Asked::Remove(name(path)))?;
        RealFs.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealFs.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.ask(Asked::CreateDir(name(dir)))?;
        RealFs.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.ask(Asked::SyncDir(name(dir)))?;
        RealFs.sync_dir(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        RealFs.try_lock(path)
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
