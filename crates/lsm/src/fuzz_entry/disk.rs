//! A disk in memory, just enough to write seeds to and to read inputs from.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::fs::{File, Fs, LockAttempt, read_whole};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// The disk. Directories are not kept: a file's name is its whole path.
#[derive(Default)]
pub(crate) struct Disk {
    files: Mutex<BTreeMap<PathBuf, Bytes>>,
}

struct DiskFile(Bytes);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// A disk with one file.
    pub(crate) fn with(path: PathBuf, bytes: &[u8]) -> Self {
        let disk = Self::default();
        disk.put(path, bytes);
        disk
    }

    /// Writes a file whole.
    pub(crate) fn put(&self, path: PathBuf, bytes: &[u8]) {
        locked(&self.files).insert(path, Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// Reads a file whole.
    pub(crate) fn get(&self, path: &Path) -> Result<Vec<u8>> {
        read_whole(self, path)
    }
}

impl File for DiskFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = locked(&self.0);
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, written: &[u8]) -> io::Result<()> {
        let bytes = &mut *locked(&self.0);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        bytes.resize(bytes.len().max(start + written.len()), 0);
        bytes[start..start + written.len()].copy_from_slice(written);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.0).resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }
}

impl Fs for Disk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let bytes = Bytes::default();
        locked(&self.files).insert(path.to_path_buf(), Arc::clone(&bytes));
        Ok(Box::new(DiskFile(bytes)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let bytes = locked(&self.files).get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(DiskFile(bytes)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let files = &mut *locked(&self.files);
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_path_buf(), bytes);
        Ok(())
    }

    fn hard_link(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        locked(&self.files).remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = locked(&self.files);
        let inside = files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, _: &Path) -> io::Result<LockAttempt> {
        Ok(LockAttempt::Busy(None))
    }
}
