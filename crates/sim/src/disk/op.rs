//! What can be asked of a disk that changes it.
//!
//! An operation names files by their ids, which a disk gives out in order; so a list of operations means the same on
//! every copy of the disk it was recorded on.

use std::sync::Arc;

/// A file or a directory, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(super) u32);

/// The directory that holds everything.
pub const ROOT: FileId = FileId(0);

impl FileId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Name of an entry in a directory.
pub type Name = Arc<str>;

/// One change. It has happened for whoever looks at the running machine; what of it is on disk is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new empty file with the next id.
    Create {
        /// Where.
        dir: FileId,
        /// Its name.
        name: Name,
    },
    /// A new empty directory with the next id.
    MakeDir {
        /// Where.
        dir: FileId,
        /// Its name.
        name: Name,
    },
    /// Another name for a file.
    Link {
        /// The file.
        file: FileId,
        /// Where the new name is.
        dir: FileId,
        /// The new name.
        name: Name,
    },
    /// Another name instead of this one; whatever had that name loses it.
    Rename {
        /// Where the file was.
        from_dir: FileId,
        /// What it was called.
        from: Name,
        /// Where it is to be.
        to_dir: FileId,
        /// What it is to be called.
        to: Name,
    },
    /// A name, of a file or an empty directory, is gone.
    Remove {
        /// Where it was.
        dir: FileId,
        /// The name.
        name: Name,
    },
    /// Bytes in a file.
    Write {
        /// The file.
        file: FileId,
        /// Offset of the first byte.
        at: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Another length of a file.
    SetLen {
        /// The file.
        file: FileId,
        /// The length in bytes.
        len: u64,
    },
    /// Bytes and length of a file are on disk.
    Sync {
        /// The file.
        file: FileId,
    },
    /// As [`Op::Sync`], but it failed: the machine takes what was written for written, and perhaps it is not on disk.
    FailedSync {
        /// The file.
        file: FileId,
    },
    /// The names in a directory are on disk.
    SyncDir {
        /// The directory.
        dir: FileId,
    },
    /// As [`Op::SyncDir`], but it failed: each name that was changed is on disk as it is now, or as it was.
    FailedSyncDir {
        /// The directory.
        dir: FileId,
    },
}
