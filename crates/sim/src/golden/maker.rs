//! Makes a store in memory and writes down what was committed to it. The same recipe gives the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fountain_lsm::{
    Compression, Db, Durability, KeyRange, ManualClock, Options, Retention, StoreId, Timestamp, WriteBatch,
};

use super::truth::{Change, Truth};
use crate::Outcome;
use crate::disk::{Disk, ROOT, SimFs};

/// Where the store lies on its disk.
pub const STORE: &str = "/store";
/// When all stores are made.
const BIRTH: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The files of a store by their paths in its directory, without the lock.
pub type Image = BTreeMap<PathBuf, Arc<Vec<u8>>>;

/// A finished store.
#[derive(Clone, Debug)]
pub struct Base {
    /// What it is called.
    pub name: String,
    /// Its files.
    pub files: Image,
    /// Its files at earlier moments.
    pub earlier: Vec<Image>,
    /// What it must say.
    pub truth: Truth,
    /// Whether it was closed in good order.
    pub clean: bool,
}

impl Base {
    /// The id of the store, which its manifest has behind 16 bytes.
    pub fn store(&self) -> StoreId {
        let is_manifest = |path: &Path| path.to_string_lossy().starts_with("MANIFEST");
        let manifest = self.files.iter().find(|(path, _)| is_manifest(path));
        let id = manifest.and_then(|(_, bytes)| bytes.get(16..)?.first_chunk().copied());
        StoreId(id.unwrap_or_default())
    }
}

/// A store under construction.
pub struct Maker {
    fs: SimFs,
    clock: Arc<ManualClock>,
    options: Options,
    db: Option<Db>,
    /// What was committed.
    pub truth: Truth,
    earlier: Vec<Image>,
}

impl Maker {
    /// A new store with this id, tiny in every respect, changed by `adjust`.
    pub fn new(id: u8, adjust: impl FnOnce(&mut Options)) -> Outcome<Self> {
        let fs = SimFs::default();
        let clock = Arc::new(ManualClock::new(BIRTH));
        let mut options = Options {
            fs: Arc::new(fs.clone()),
            clock: Arc::clone(&clock) as _,
            store_id: Some(StoreId([id; 16])),
            memtable_bytes: 64 << 10,
            wal_segment_bytes: 64 << 10,
            table_bytes: 4 << 10,
            cache_bytes: 0,
            compression: Compression::None,
            background: false,
            ..Options::default()
        };
        adjust(&mut options);
        let mut maker = Self { fs, clock, options, db: None, truth: Truth::default(), earlier: Vec::new() };
        maker.open()?;
        Ok(maker)
    }

    /// Opens the store again.
    pub fn open(&mut self) -> Outcome<()> {
        self.db = Some(Db::open(Path::new(STORE), self.options.clone())?);
        Ok(())
    }

    /// The store.
    pub fn db(&self) -> Outcome<&Db> {
        self.db.as_ref().ok_or_else(|| "the store is closed".into())
    }

    /// Commits, as durable as asked.
    pub fn commit(&mut self, changes: Vec<Change>, durability: Durability) -> Outcome<()> {
        let seq = self.db()?.commit(batch(&changes)?, durability)?;
        self.truth.commit(changes);
        if seq.get() == self.truth.newest() { Ok(()) } else { Err(format!("commit {seq}?").into()) }
    }

    /// Puts one record durably.
    pub fn put(&mut self, key: &str, value: &str) -> Outcome<()> {
        self.commit(vec![Change::Put(key.into(), value.into())], Durability::Disk)
    }

    /// Deletes one key durably.
    pub fn delete(&mut self, key: &str) -> Outcome<()> {
        self.commit(vec![Change::Delete(key.into())], Durability::Disk)
    }

    /// Deletes a range of keys durably.
    pub fn delete_range(&mut self, start: &str, end: &str) -> Outcome<()> {
        self.commit(vec![Change::DeleteRange(start.into(), end.into())], Durability::Disk)
    }

    /// Takes records straight into tables.
    pub fn ingest(&mut self, records: &[(String, String)]) -> Outcome<()> {
        self.db()?.ingest(records.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())))?;
        let put = |(key, value): &(String, String)| Change::Put(key.clone().into(), value.clone().into());
        self.truth.commit(records.iter().map(put).collect());
        Ok(())
    }

    /// Writes what is in memory out as a table.
    pub fn flush(&mut self) -> Outcome<()> {
        Ok(self.db()?.flush()?)
    }

    /// Merges all tables.
    pub fn compact(&mut self) -> Outcome<()> {
        Ok(self.db()?.compact()?)
    }

    /// Lets go of the store as a process does that is killed, and opens it again.
    pub fn kill(&mut self) -> Outcome<()> {
        self.db = None;
        self.open()
    }

    /// Closes the store in good order.
    pub fn close(&mut self) -> Outcome<()> {
        Ok(self.db.take().ok_or("the store is closed")?.close()?)
    }

    /// Keeps the files as they are now, to be mixed up with later ones.
    pub fn remember(&mut self) {
        let image = image(&self.fs.disk(), Path::new(STORE));
        self.earlier.push(image);
    }

    /// Lets time pass.
    pub fn wait(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    /// The store as it is, whether it is open or not.
    pub fn finish(self, name: impl Into<String>) -> Base {
        let clean = self.db.is_none();
        let files = image(&self.fs.disk(), Path::new(STORE));
        Base { name: name.into(), files, earlier: self.earlier, truth: self.truth, clean }
    }

    /// A copy of the store made while it is open.
    pub fn checkpoint(mut self, name: impl Into<String>) -> Outcome<Base> {
        let copy = Path::new("/copy");
        self.db()?.checkpoint(copy)?;
        let files = image(&self.fs.disk(), copy);
        self.db = None;
        Ok(Base { name: name.into(), files, earlier: self.earlier, truth: self.truth, clean: true })
    }
}

/// A disk with a store on it.
pub fn disk_with(files: &Image) -> Disk {
    let mut disk = Disk::default();
    for (path, bytes) in files {
        disk.put(&Path::new(STORE).join(path), bytes.to_vec());
    }
    disk
}

/// Options to open a finished store with.
pub fn options(fs: &SimFs) -> Options {
    Options {
        fs: Arc::new(fs.clone()),
        clock: Arc::new(ManualClock::new(BIRTH)),
        create_if_missing: false,
        memtable_bytes: 64 << 10,
        wal_segment_bytes: 64 << 10,
        table_bytes: 4 << 10,
        cache_bytes: 0,
        background: false,
        retention: Retention::Unbounded,
        ..Options::default()
    }
}

/// A batch of the engine.
///
/// # Errors
/// When a change is over a limit.
pub fn batch(changes: &[Change]) -> Outcome<WriteBatch> {
    let mut batch = WriteBatch::new();
    for change in changes {
        match change {
            Change::Put(key, value) => batch.put(key, value)?,
            Change::Delete(key) => batch.delete(key)?,
            Change::DeleteRange(start, end) => {
                batch.delete_range(&KeyRange { start: start.clone(), end: Some(end.clone()) })?;
            }
        }
    }
    Ok(batch)
}

/// The files below a directory.
pub fn image(disk: &Disk, root: &Path) -> Image {
    let mut files = Image::new();
    let mut dirs = vec![(disk.lookup(root).unwrap_or(ROOT), PathBuf::new())];
    while let Some((dir, path)) = dirs.pop() {
        for (name, file) in disk.entries(dir) {
            let path = path.join(&**name);
            match disk.bytes(file) {
                Some(bytes) if path != Path::new("LOCK") => drop(files.insert(path, Arc::clone(bytes))),
                Some(_) => {}
                None => dirs.push((file, path)),
            }
        }
    }
    files
}
