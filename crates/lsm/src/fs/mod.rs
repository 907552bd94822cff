//! The seam between storage and the disk.
//!
//! Everything this crate does to files goes through [`Fs`] and [`File`], so that tests can put a simulated disk or a
//! fault injector in the place of the real one. The traits are positional and small: no seek state, no paths
//! inferred, and a created file is always new ([`Fs::create_new`] never reuses a name).
//!
//! What an implementation promises: bytes written are durable only after [`File::sync`] returned; a created, renamed
//! or removed name is durable only after [`Fs::sync_dir`] on its directory returned.

#[cfg(target_os = "linux")]
mod at_once;
mod real;

use std::io;
use std::panic::Location;
use std::path::Path;

use crate::error::{Error, Result};
use crate::planted::{self, Bug};
use crate::sites;
pub use real::RealFs;

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait File: Send + Sync {
    /// Fills `buf` from `offset`; returns fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// What the operating system reports.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Fills `buf` from `offset` if that needs no wait for the disk, because the system has the bytes in memory. Whether
    /// it did; if not, what is in `buf` means nothing. As provided: never, for systems that cannot be asked for that.
    fn read_at_once(&self, offset: u64, buf: &mut [u8]) -> bool {
        let _ = (offset, buf);
        false
    }

    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    ///
    /// # Errors
    /// What the operating system reports.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's bytes and length durable.
    ///
    /// # Errors
    /// What the operating system reports. After an error the state on disk is unknown, and calling again proves
    /// nothing: the caller must not go on with this file.
    fn sync(&self) -> io::Result<()>;

    /// Sets the length.
    ///
    /// # Errors
    /// What the operating system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// What the operating system reports.
    fn len(&self) -> io::Result<u64>;
}

/// A held lock; dropping it releases it.
pub trait Lock: Send + Sync {
    /// Whether the lock file at the path where it was taken is still the one that is held: false when somebody removed
    /// or replaced it, or the directory around it.
    ///
    /// # Errors
    /// What the operating system reports.
    fn is_intact(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Outcome of [`Fs::try_lock`].
pub enum LockAttempt {
    /// The lock is held until the value is dropped.
    Held(Box<dyn Lock>),
    /// Somebody else holds it; the process id is what the lock file says, if it could be read.
    Busy(Option<u32>),
}

/// A file system.
pub trait Fs: Send + Sync {
    /// Creates a file for reading and writing. Fails if the name exists.
    ///
    /// # Errors
    /// What the operating system reports, `AlreadyExists` included.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// What the operating system reports.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Replaces `to` by `from` atomically.
    ///
    /// # Errors
    /// What the operating system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name. Fails if that exists, and where the file system has no such thing.
    ///
    /// # Errors
    /// What the operating system reports.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the operating system reports.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names in a directory, in no order.
    ///
    /// # Errors
    /// What the operating system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a directory and its parents; fine if it exists.
    ///
    /// # Errors
    /// What the operating system reports.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the operating system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock at `path`, writing this process's id into the file.
    ///
    /// # Errors
    /// What the operating system reports; a lock held elsewhere is not an error.
    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt>;

    /// Whether somebody holds the exclusive lock at `path`: the outer `Option` says so, the inner one has the process
    /// id if it could be read. Takes nothing, creates nothing and writes nothing. As provided: nobody, for file systems
    /// that only one owner can see.
    ///
    /// # Errors
    /// What the operating system reports; that there is no such file is not an error.
    fn lock_holder(&self, path: &Path) -> io::Result<Option<Option<u32>>> {
        let _ = path;
        Ok(None)
    }
}

/// Lets an error of the disk pass where nothing depends on what was asked for; `None` if there was one.
#[track_caller]
pub(crate) fn tolerate<T>(outcome: io::Result<T>) -> Option<T> {
    if outcome.is_err() {
        sites::tolerated(Location::caller());
    }
    outcome.ok()
}

/// The whole content of a file.
pub(crate) fn read_whole(fs: &dyn Fs, path: &Path) -> Result<Vec<u8>> {
    read_head(fs, path, usize::MAX)
}

/// The first `limit` bytes of a file, or all if there are fewer.
pub(crate) fn read_head(fs: &dyn Fs, path: &Path, limit: usize) -> Result<Vec<u8>> {
    let file = fs.open(path).map_err(|e| Error::io("open", path, e))?;
    head_of(file.as_ref(), path, limit)
}

fn head_of(file: &dyn File, path: &Path, limit: usize) -> Result<Vec<u8>> {
    let len = file.len().map_err(|e| Error::io("measure", path, e))?;
    let mut bytes = zeros(path, usize::try_from(len).unwrap_or(usize::MAX).min(limit))?;
    let read = file.read_at(0, &mut bytes).map_err(|e| Error::io("read", path, e))?;
    if planted::active(Bug::ShortReadIsTheEnd) {
        bytes.truncate(read);
    }
    if read < bytes.len() {
        // A log that seemed to end here would seem to hold no more than this.
        let what = format!("only {read} of {} bytes came", bytes.len());
        return Err(Error::system("read", path, io::Error::new(io::ErrorKind::UnexpectedEof, what)));
    }
    Ok(bytes)
}

/// Memory for bytes of a file. A file may pretend to any length, so that there is not enough is an error.
pub(crate) fn zeros(path: &Path, len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(len);
    reserved.map_err(|e| Error::system("read", path, io::Error::new(io::ErrorKind::OutOfMemory, e)))?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Copies a file to a new one, whose bytes are on disk when this returns.
pub(crate) fn copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<()> {
    let source = fs.open(from).map_err(|e| Error::io("open", from, e))?;
    let target = fs.create_new(to).map_err(|e| Error::io("create", to, e))?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        let read = source.read_at(offset, &mut buffer).map_err(|e| Error::io("read", from, e))?;
        if read == 0 {
            return target.sync().map_err(|e| Error::sync(to, e));
        }
        target.write_at(offset, &buffer[..read]).map_err(|e| Error::io("write", to, e))?;
        offset += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of any length with nothing in it.
    struct Hole(u64);

    impl File for Hole {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(0);
            Ok(buf.len().min(usize::try_from(self.0.saturating_sub(offset)).unwrap_or(usize::MAX)))
        }

        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.0)
        }
    }

    #[test]
    fn a_file_that_is_longer_than_there_is_memory_is_an_error_and_its_head_can_be_read() {
        for len in [1 << 62, u64::MAX] {
            let error = head_of(&Hole(len), Path::new("long"), usize::MAX).unwrap_err();
            assert!(matches!(&error, Error::Io { op: "read", .. }), "{error}");
            assert_eq!(head_of(&Hole(len), Path::new("long"), 64).unwrap().len(), 64);
        }
        assert_eq!(head_of(&Hole(10), Path::new("short"), 64).unwrap(), [0; 10]);
    }
}
