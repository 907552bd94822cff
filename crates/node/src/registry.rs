//! One engine per directory in the whole process, however many environments and handles use it.
//!
//! A directory is known by its canonical path and, on Unix, by device and inode, so that links and different
//! spellings find the same engine. The engine closes when the last handle lets go of it. Opening and closing hold the
//! lock of their own directory only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fountain_engine::{Error, ErrorCode, Result, Retention, Store, StoreOptions};

use crate::errors::{bad_argument, closed};

/// The directories that are open, opening or closing.
static DIRECTORIES: Mutex<Vec<Arc<Directory>>> = Mutex::new(Vec::new());

struct Directory {
    place: Mutex<Place>,
    engine: Mutex<Engine>,
}

#[derive(Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// Device and inode, once the directory exists.
    identity: Option<(u64, u64)>,
}

#[derive(Default)]
struct Engine {
    store: Option<Store>,
    options: StoreOptions,
    handles: usize,
    /// As long as it is open, the system gives its number to no other directory.
    _directory: Option<File>,
}

/// Options as given: what is `None` was left to the default or to whoever opened the store first.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivenOptions {
    pub create_if_missing: Option<bool>,
    pub cache_bytes: Option<usize>,
    pub memtable_bytes: Option<usize>,
    pub wal_segment_bytes: Option<u64>,
    pub read_threads: Option<usize>,
    pub page_cache_reads: Option<bool>,
    pub retention: Option<Retention>,
}

/// A share in the engine of a directory. Dropping the last one closes the engine, which blocks.
pub struct SharedStore {
    store: Store,
    /// `None` once released.
    directory: Option<Arc<Directory>>,
}

impl SharedStore {
    /// Opens the directory, or joins those who have it open. Blocking.
    pub fn open(path: &Path, given: &GivenOptions) -> Result<Self> {
        let directory = find_or_add(Place::of(path));
        let opened = directory.join(path, given);
        if opened.is_err() {
            forget(&directory);
        }
        Ok(Self { store: opened?, directory: Some(directory) })
    }

    /// The engine.
    pub fn engine(&self) -> &Store {
        &self.store
    }

    /// Gives the share back and closes the engine if it was the last one. Blocking.
    pub fn release(mut self) -> Result<()> {
        self.leave()
    }

    fn leave(&mut self) -> Result<()> {
        let Some(directory) = self.directory.take() else { return Ok(()) };
        let result = directory.leave();
        forget(&directory);
        result
    }
}

impl Drop for SharedStore {
    fn drop(&mut self) {
        // Whoever wants to know how closing went calls `release`.
        let _ = self.leave();
    }
}

impl Directory {
    fn join(&self, path: &Path, given: &GivenOptions) -> Result<Store> {
        let mut engine = lock(&self.engine);
        if let Some(store) = engine.store.clone() {
            check_is_there(&lock(&self.place))?;
            given.check_against(&engine.options)?;
            engine.handles += 1;
            return Ok(store);
        }
        let options = given.or_defaults();
        let store = Store::open(path, options.clone())?;
        self.settle(path).or_else(|error| store.close().and(Err(error)))?;
        let held = File::open(path).ok();
        *engine = Engine { store: Some(store.clone()), options, handles: 1, _directory: held };
        Ok(store)
    }

    /// Takes note of the directory that was opened, which may have been created just now and may have got its true name only by
    /// that. The path may lead to another one than when it was looked up, and somebody else may have that open.
    fn settle(&self, path: &Path) -> Result<()> {
        let (opened, mut place) = (Place::of(path), lock(&self.place));
        if identity(&place.path) == opened.identity {
            *place = opened;
            return Ok(());
        }
        Err(gone("the path led to another directory while the store was being opened", path))
    }

    fn leave(&self) -> Result<()> {
        let mut engine = lock(&self.engine);
        engine.handles = engine.handles.saturating_sub(1);
        if engine.handles > 0 {
            return Ok(());
        }
        // Under the lock, so that the next open waits instead of finding the directory locked.
        std::mem::take(&mut *engine).store.ok_or_else(closed)?.close()
    }
}

impl Place {
    fn of(path: &Path) -> Self {
        let path = canonical(path);
        Self { identity: identity(&path), path }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.path == other.path
            || (self.identity.is_some() && self.identity == other.identity && self.is_there())
    }

    /// Whether the path still leads to the directory that was opened. A number that a removed directory had may be given to
    /// another one.
    fn is_there(&self) -> bool {
        identity(&self.path) == self.identity
    }
}

/// An engine whose directory was removed or replaced can keep nothing that is written to it; nobody else may join it.
fn check_is_there(place: &Place) -> Result<()> {
    if place.is_there() {
        return Ok(());
    }
    Err(gone(
        "the directory of the store was removed or replaced while this process has it open",
        &place.path,
    ))
}

fn gone(message: &str, path: &Path) -> Error {
    Error::new(ErrorCode::Io, message).with(|details| details.path = Some(path.display().to_string()))
}

/// The true name of a path, of which the end may not exist yet.
fn canonical(path: &Path) -> PathBuf {
    if let Ok(found) = fs::canonicalize(path) {
        return found;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => canonical(parent).join(name),
        _ => path.to_path_buf(),
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}

fn find_or_add(place: Place) -> Arc<Directory> {
    let mut directories = lock(&DIRECTORIES);
    // Two that let go at once may each have left it to the other.
    directories.retain(|known| Arc::strong_count(known) > 1);
    let known = directories.iter().find(|directory| lock(&directory.place).is_same(&place));
    if let Some(directory) = known {
        return Arc::clone(directory);
    }
    let directory = Arc::new(Directory { place: Mutex::new(place), engine: Mutex::default() });
    directories.push(Arc::clone(&directory));
    directory
}

/// Removes a directory that is not open, unless someone is just opening it: they got it under the same lock.
fn forget(directory: &Arc<Directory>) {
    let mut directories = lock(&DIRECTORIES);
    let unused = Arc::strong_count(directory) == 2 && lock(&directory.engine).store.is_none();
    if unused {
        directories.retain(|known| !Arc::ptr_eq(known, directory));
    }
}

impl GivenOptions {
    fn or_defaults(&self) -> StoreOptions {
        let default = StoreOptions::default();
        StoreOptions {
            create_if_missing: self.create_if_missing.unwrap_or(default.create_if_missing),
            cache_bytes: self.cache_bytes.unwrap_or(default.cache_bytes),
            memtable_bytes: self.memtable_bytes.unwrap_or(default.memtable_bytes),
            wal_segment_bytes: self.wal_segment_bytes.unwrap_or(default.wal_segment_bytes),
            read_threads: self.read_threads.unwrap_or(default.read_threads),
            page_cache_reads: self.page_cache_reads.unwrap_or(default.page_cache_reads),
            retention: self.retention.unwrap_or(default.retention),
            #[cfg(feature = "planted-panics")]
            fs: Arc::new(crate::planted::PanickingFs),
            ..default
        }
    }

    /// Refuses options that the engine, which is open already, does not have.
    fn check_against(&self, options: &StoreOptions) -> Result<()> {
        let differing = [
            ("cacheBytes", self.cache_bytes.is_some_and(|given| given != options.cache_bytes)),
            ("memtableBytes", self.memtable_bytes.is_some_and(|given| given != options.memtable_bytes)),
            (
                "walSegmentBytes",
                self.wal_segment_bytes.is_some_and(|given| given != options.wal_segment_bytes),
            ),
            ("readThreads", self.read_threads.is_some_and(|given| given != options.read_threads)),
            ("pageCacheReads", self.page_cache_reads.is_some_and(|given| given != options.page_cache_reads)),
            ("retention", self.retention.is_some_and(|given| given != options.retention)),
        ];
        match differing.iter().find(|(_, differs)| *differs) {
            Some((name, _)) => Err(bad_argument(format!(
                "options.{name} differs from the one with which this process already has the store open"
            ))),
            None => Ok(()),
        }
    }
}

/// Every change under these locks is a single step, so they are good even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fountain_engine::ErrorCode;

    fn open(path: &Path) -> SharedStore {
        SharedStore::open(path, &GivenOptions::default()).unwrap()
    }

    fn is_known(path: &Path) -> bool {
        let place = Place::of(path);
        lock(&DIRECTORIES).iter().any(|directory| lock(&directory.place).is_same(&place))
    }

    #[test]
    fn every_spelling_of_a_directory_shares_one_engine_which_closes_with_the_last_handle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let first = open(&path);
        let second = open(&dir.path().join(".").join("store"));
        first.release().unwrap();
        second.engine().snapshot().unwrap();
        let engine = second.engine().clone();
        drop(second);
        assert_eq!(engine.snapshot().unwrap_err().code, ErrorCode::Closed);
        assert!(!is_known(&path));
        open(&path).release().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn nobody_joins_an_engine_whose_directory_was_removed_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let first = open(&path);
        fs::remove_dir_all(&path).unwrap();
        for _ in 0..2 {
            let error = SharedStore::open(&path, &GivenOptions::default()).err().unwrap();
            assert_eq!(error.code, ErrorCode::Io, "{error}");
            fs::create_dir_all(&path).unwrap();
        }
        // Its number may be the one that the first had.
        let other = open(&dir.path().join("other"));
        assert!(!Arc::ptr_eq(first.directory.as_ref().unwrap(), other.directory.as_ref().unwrap()));
        other.release().unwrap();
        drop(first);
        open(&path).release().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_leads_elsewhere_by_the_time_it_is_opened_is_an_error_and_neither_directory_stays_open() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let [one, other, link] = ["one", "other", "link"].map(|name| dir.path().join(name));
        for path in [&one, &other] {
            open(path).release().unwrap();
        }
        symlink(&one, &link).unwrap();
        let directory = find_or_add(Place::of(&link));
        fs::remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        let error = directory.join(&link, &GivenOptions::default()).err().unwrap();
        assert_eq!((error.code, error.details.path), (ErrorCode::Io, Some(link.display().to_string())));
        forget(&directory);
        drop(directory);
        let [first, second] = [&one, &other].map(|path| open(path));
        let third = open(&link);
        assert!(Arc::ptr_eq(second.directory.as_ref().unwrap(), third.directory.as_ref().unwrap()));
        for shared in [first, second, third] {
            shared.release().unwrap();
        }
    }

    #[test]
    fn a_failed_open_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let given = GivenOptions { create_if_missing: Some(false), ..GivenOptions::default() };
        let error = SharedStore::open(&path, &given).err().unwrap();
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(!is_known(&path));
    }

    #[test]
    fn options_that_the_open_engine_does_not_have_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let first = open(&path);
        let given = GivenOptions { retention: Some(Retention::LatestOnly), ..GivenOptions::default() };
        let error = SharedStore::open(&path, &given).err().unwrap();
        assert!(error.message.contains("options.retention"), "{error}");
        let same = GivenOptions { retention: Some(Retention::Unbounded), ..GivenOptions::default() };
        SharedStore::open(&path, &same).unwrap().release().unwrap();
        first.release().unwrap();
    }
}
