//! The operating system's files.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use super::at_once::AtOnce;
use super::{File, Fs, Lock, LockAttempt};

/// The operating system's file system. `sync` is `fdatasync` on Linux, `F_FULLFSYNC` on macOS and
/// `FlushFileBuffers` on Windows.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

struct RealFile {
    file: fs::File,
    #[cfg(target_os = "linux")]
    at_once: AtOnce,
}

impl RealFile {
    fn new(file: fs::File) -> Self {
        Self {
            file,
            #[cfg(target_os = "linux")]
            at_once: AtOnce::default(),
        }
    }
}

impl File for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_all(buf, |done, rest| read_once(&self.file, offset + done as u64, rest))
    }

    #[cfg(target_os = "linux")]
    fn read_at_once(&self, offset: u64, buf: &mut [u8]) -> bool {
        self.at_once.read(&self.file, offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all(bytes, |done, rest| write_once(&self.file, offset + done as u64, rest))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Fills `buf` as far as there is something to read. `read` is told how much there is already; it may read less than
/// there is room for, or be interrupted.
fn read_all(
    buf: &mut [u8],
    mut read: impl FnMut(usize, &mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match read(done, &mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`. `write` is told how much is written already; it may write less than is left, or be interrupted.
fn write_all(bytes: &[u8], mut write: impl FnMut(usize, &[u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write(done, &bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn read_once(file: &fs::File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn read_once(file: &fs::File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

#[cfg(unix)]
fn write_once(file: &fs::File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_once(file: &fs::File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

/// Held by the open file: the operating system releases it when the process dies.
struct RealLock {
    file: fs::File,
    path: PathBuf,
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing the file is not enough: between fork and exec of a child process of ours, that has the file, too. If
        // this fails, closing still does it, a moment later.
        let _ = self.file.unlock();
    }
}

impl Lock for RealLock {
    #[cfg(unix)]
    fn is_intact(&self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let held = self.file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Windows lets nobody remove or rename the directory of a file that is held open.
    #[cfg(not(unix))]
    fn is_intact(&self) -> io::Result<bool> {
        self.file.metadata()?;
        self.path.try_exists()
    }
}

impl Fs for RealFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(RealFile::new(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(RealFile::new(fs::File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not Unicode is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    /// Windows has no way to sync a directory; NTFS journals its names.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
                Ok(LockAttempt::Held(Box::new(RealLock { file, path: path.to_path_buf() })))
            }
            Err(fs::TryLockError::WouldBlock) => Ok(LockAttempt::Busy(owner(&mut file))),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    fn lock_holder(&self, path: &Path) -> io::Result<Option<Option<u32>>> {
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(fs::TryLockError::WouldBlock) => Ok(Some(owner(&mut file))),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

/// The process id in a lock file. Windows does not let others read a locked file; there is none then.
fn owner(file: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_just_written_can_be_read_at_once_and_nothing_behind_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFs.create_new(&dir.path().join("f")).unwrap();
        file.write_at(0, &[7; 10_000]).unwrap();
        let mut buf = [0; 100];
        // Not every file system can be asked; then the answer is always no.
        if file.read_at_once(5_000, &mut buf) {
            assert_eq!(buf, [7; 100]);
            for beyond in [9_901, 10_000, 1 << 40, u64::MAX] {
                assert!(!file.read_at_once(beyond, &mut buf), "{beyond}");
            }
        }
        assert_eq!(file.read_at(5_000, &mut buf).unwrap(), 100);
    }

    /// Answers of an operating system that does as little as it may.
    fn answers() -> impl FnMut(usize) -> io::Result<usize> {
        let mut turn = 0;
        move |room| {
            turn += 1;
            if turn % 2 == 1 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(room.min(3)) }
        }
    }

    #[test]
    fn interrupted_and_short_reads_are_continued_to_the_end_of_the_file() {
        let file: Vec<u8> = (0..20).collect();
        for room in [0, 1, 19, 20, 25] {
            let mut buf = vec![0xFF; room];
            let mut answer = answers();
            let read = read_all(&mut buf, |done, rest| {
                let left = &file[done..];
                let count = answer(rest.len().min(left.len()))?;
                rest[..count].copy_from_slice(&left[..count]);
                Ok(count)
            });
            let expected = room.min(file.len());
            assert_eq!(read.unwrap(), expected);
            assert_eq!(buf[..expected], file[..expected]);
        }
    }

    #[test]
    fn interrupted_and_short_writes_are_continued_and_one_that_makes_no_way_is_an_error() {
        let bytes: Vec<u8> = (0..20).collect();
        let mut file = Vec::new();
        let mut answer = answers();
        let written = write_all(&bytes, |done, rest| {
            assert_eq!(done, file.len());
            let count = answer(rest.len())?;
            file.extend_from_slice(&rest[..count]);
            Ok(count)
        });
        written.unwrap();
        assert_eq!(file, bytes);
        let stuck = write_all(&bytes, |_, _| Ok(0)).unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::WriteZero);
        let full = write_all(&bytes, |done, rest| {
            if done == 0 { Ok(rest.len() / 2) } else { Err(io::ErrorKind::StorageFull.into()) }
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_notices_that_its_file_was_removed_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let Ok(LockAttempt::Held(lock)) = RealFs.try_lock(&path) else { panic!("not locked") };
        assert!(lock.is_intact().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!lock.is_intact().unwrap());
        fs::write(&path, "another").unwrap();
        assert!(!lock.is_intact().unwrap());
    }

    #[test]
    fn a_lock_ends_when_it_is_dropped_even_if_a_child_process_still_has_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let file = fs::File::create(&path).unwrap();
        file.try_lock().unwrap();
        let inherited = file.try_clone().unwrap();
        let lock = RealLock { file, path: path.clone() };
        assert!(matches!(RealFs.try_lock(&path).unwrap(), LockAttempt::Busy(_)));
        drop(lock);
        assert!(matches!(RealFs.try_lock(&path).unwrap(), LockAttempt::Held(_)));
        drop(inherited);
    }
}
