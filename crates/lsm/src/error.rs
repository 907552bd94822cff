//! The closed list of ways in which storage can fail. Each error names what, where and what was expected.

use std::fmt;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Seq;
use crate::fault::FaultCode;
use crate::planted::{self, Bug};
use crate::sites;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a storage operation failed. Cheap to clone, so that one failure can answer a whole group of commits.
#[derive(Clone, Debug)]
pub enum Error {
    /// The operating system refused an operation on a file.
    Io {
        /// What was attempted, for example `"write"`.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// No space left on the device, or a quota or file-size limit was reached. Nothing was half-done; writing may
    /// succeed again once there is space.
    DiskFull {
        /// What was attempted.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// Bytes on disk are not what was written.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// Which rule of the format does not hold.
        code: FaultCode,
        /// What was found and what was expected.
        what: String,
    },
    /// Another handle or process has the store open.
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// The owner's process id, when it could be read.
        pid: Option<u32>,
    },
    /// The directory exists, but is not a store.
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found instead.
        what: String,
    },
    /// There is no store, and creating one was not asked for.
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The store was written by a newer version in a format that this one does not know.
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// Which version or feature it needs.
        what: String,
    },
    /// An earlier write or sync failed, so what is on disk is not known. No more writes until the store is reopened.
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// The store was closed.
    Closed,
    /// The sequence lies before the history that is kept.
    HistoryTruncated {
        /// What was asked for.
        requested: Seq,
        /// The oldest sequence that can be read.
        floor: Seq,
    },
    /// The sequence has not happened yet.
    FutureSequence {
        /// What was asked for.
        requested: Seq,
        /// The newest sequence.
        newest: Seq,
    },
    /// A key, value or commit is over its limit.
    TooLarge {
        /// `"key"`, `"value"`, `"commit"` or something larger.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Records for a bulk ingest did not come in ascending order of their keys.
    Unsorted {
        /// Which record, counted from 0.
        position: u64,
        /// Whether its key is that of the record before, rather than one that sorts before it.
        duplicate: bool,
    },
    /// A read limited to memory would have needed the disk.
    WouldBlock,
}

impl Error {
    /// An I/O error for `op` on `path`; out-of-space conditions become [`Error::DiskFull`]. Each request to the disk
    /// has a call of this, of [`Error::sync`] or of [`crate::fs::tolerate`] of its own: see [`crate::sites`].
    #[track_caller]
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        sites::surfaced(Location::caller());
        Self::system(op, path, source)
    }

    /// As [`Error::io`], for what is not a request to the disk.
    pub(crate) fn system(op: &'static str, path: &Path, source: io::Error) -> Self {
        let full = is_no_space(&source);
        let (path, source) = (path.to_path_buf(), Arc::new(source));
        if full { Self::DiskFull { op, path, source } } else { Self::Io { op, path, source } }
    }

    /// A failed sync of `path`. Never [`Error::DiskFull`]: once a sync has failed, what is on disk is not known, and
    /// more space does not change that.
    #[track_caller]
    pub(crate) fn sync(path: &Path, source: io::Error) -> Self {
        sites::surfaced(Location::caller());
        if planted::active(Bug::FullSyncIsHarmless) {
            return Self::system("sync", path, source);
        }
        Self::Io { op: "sync", path: path.to_path_buf(), source: Arc::new(source) }
    }

    /// A failed sync of the names in a directory that nothing on disk counts on yet. It has to be opened for that; where
    /// no handle was left to do so, nothing was synced and it may be tried again.
    #[track_caller]
    pub(crate) fn sync_dir(dir: &Path, source: io::Error) -> Self {
        if !is_out_of_handles(&source) {
            return Self::sync(dir, source);
        }
        Self::io("open", dir, source)
    }

    /// A failed attempt to cut off the end of a log. Never [`Error::DiskFull`], as with [`Error::sync`].
    #[track_caller]
    pub(crate) fn truncate(path: &Path, source: io::Error) -> Self {
        sites::surfaced(Location::caller());
        Self::Io { op: "truncate", path: path.to_path_buf(), source: Arc::new(source) }
    }

    /// Whether everything that counts on disk is as it was before: there was no space, or no handle to open a file
    /// with, or it was refused before anything was written. Then the same may be tried again. A sync never fails so.
    pub(crate) fn changed_nothing(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::TooLarge { .. } => true,
            Self::Io { op, source, .. } => matches!(*op, "create" | "open") && is_out_of_handles(source),
            _ => false,
        }
    }

    /// Where the damage is, if this is damage.
    pub(crate) fn offset(&self) -> Option<u64> {
        if let Self::Corrupt { offset, .. } = self { Some(*offset) } else { None }
    }

    /// The file or directory that it is about, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::DiskFull { path, .. }
            | Self::Corrupt { path, .. }
            | Self::Locked { path, .. }
            | Self::NotAStore { path, .. }
            | Self::Missing { path }
            | Self::Newer { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Damage at `offset` of `path`; of a block, unless [`Self::coded`] says otherwise.
    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), offset, code: FaultCode::Block, what: what.into() }
    }

    /// The same error; if it is damage, with another code.
    #[must_use]
    pub(crate) fn coded(mut self, as_code: FaultCode) -> Self {
        if let Self::Corrupt { code, .. } = &mut self {
            *code = as_code;
        }
        self
    }
}

/// Whether the process or the system has as many files open as it may.
fn is_out_of_handles(error: &io::Error) -> bool {
    // `io::ErrorKind` has no name for these: `EMFILE` and `ENFILE`, and `ERROR_TOO_MANY_OPEN_FILES` on Windows.
    let codes: &[i32] = if cfg!(windows) { &[4] } else { &[24, 23] };
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { op, path, source } => write!(f, "cannot {op} {}: {source}", path.display()),
            Self::DiskFull { op, path, source } => {
                write!(f, "disk full: cannot {op} {}: {source}", path.display())
            }
            Self::Corrupt { path, offset, what, .. } => {
                write!(f, "damage in {} at offset {offset}: {what}", path.display())
            }
            Self::Locked { path, pid: Some(pid) } => {
                write!(f, "{} is already open in process {pid}", path.display())
            }
            Self::Locked { path, pid: None } => write!(f, "{} is already open", path.display()),
            Self::NotAStore { path, what } => write!(f, "{} is not a store: {what}", path.display()),
            Self::Missing { path } => write!(f, "there is no store at {}", path.display()),
            Self::Newer { path, what } => {
                write!(f, "{} was written by a newer version: {what}", path.display())
            }
            Self::Poisoned { cause } => {
                write!(
                    f,
                    "no more writes until the store is reopened, because of an earlier failure: {cause}"
                )
            }
            Self::Closed => f.write_str("the store is closed"),
            Self::HistoryTruncated { requested, floor } => {
                write!(f, "sequence {requested} is no longer kept; the oldest that can be read is {floor}")
            }
            Self::FutureSequence { requested, newest } => {
                write!(f, "sequence {requested} has not happened yet; the newest is {newest}")
            }
            Self::TooLarge { what, size, limit } => {
                write!(f, "{what} of {size} bytes is over the limit of {limit} bytes")
            }
            Self::Unsorted { position, duplicate: true } => {
                write!(f, "record {position} has the same key as the record before it")
            }
            Self::Unsorted { position, duplicate: false } => {
                write!(f, "record {position} sorts before the record before it; keys must ascend")
            }
            Self::WouldBlock => f.write_str("the answer is not in memory"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::DiskFull { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// Whether a request failed because there is no room for what was to be written.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
