//! What can go wrong with one request to the disk, and what has to follow from it.

use std::io;
use std::path::Path;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A new file.
    Create,
    /// An existing file is opened.
    Open,
    /// Another name instead of the old one.
    Rename,
    /// Another name beside the old one.
    Link,
    /// A file goes.
    Remove,
    /// A directory goes.
    RemoveDir,
    /// The names in a directory.
    List,
    /// A new directory.
    CreateDir,
    /// Names made durable.
    SyncDir,
    /// The lock of a store.
    Lock,
    /// Whether the lock is still the one that was taken.
    CheckLock,
    /// Bytes read.
    Read,
    /// Bytes written.
    Write,
    /// Bytes made durable.
    Sync,
    /// Another length.
    SetLen,
    /// The length asked for.
    Len,
}

impl Kind {
    /// Whether it may change the disk.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Lock | Self::CheckLock | Self::Read | Self::Len)
    }
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A segment of the log.
    Log,
    /// A table.
    Table,
    /// A manifest, `CURRENT`, or what becomes that.
    Manifest,
    /// Everything else: directories and the lock.
    Other,
}

impl Class {
    /// What the file with this path is for.
    pub fn of(path: &Path) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.ends_with(".wal") {
            Self::Log
        } else if name.ends_with(".sst") {
            Self::Table
        } else if name.starts_with("MANIFEST") || name.starts_with("CURRENT") {
            Self::Manifest
        } else {
            Self::Other
        }
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The disk fails, and nothing has happened; of a write, a part.
    Io,
    /// The disk fails, but what was asked for has happened.
    IoAfter,
    /// No space; of a write, a part is there.
    Full,
    /// No space, after all but the last byte.
    FullAtTheEnd,
    /// The quota is used up.
    Quota,
    /// The file may not grow.
    FileTooLarge,
    /// No handle is left.
    Handles,
    /// Nothing may be written.
    ReadOnly,
    /// The call was interrupted, and whoever is below did not go on.
    Interrupted,
    /// Fewer bytes come than there are.
    ShortRead,
    /// The directory was replaced.
    Replaced,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 11] = [
        Self::Io,
        Self::IoAfter,
        Self::Full,
        Self::FullAtTheEnd,
        Self::Quota,
        Self::FileTooLarge,
        Self::Handles,
        Self::ReadOnly,
        Self::Interrupted,
        Self::ShortRead,
        Self::Replaced,
    ];

    /// Whether a request can go wrong in this way.
    pub fn fits(self, kind: Kind) -> bool {
        use Kind::{
            CheckLock, Create, CreateDir, Link, List, Lock, Open, Read, Remove, Rename, SetLen, Sync,
            SyncDir, Write,
        };
        match self {
            Self::Io => true,
            Self::IoAfter => matches!(kind, Create | Rename | Link | Remove | CreateDir | Write | SetLen),
            Self::Full => {
                matches!(kind, Create | Rename | Link | CreateDir | Write | SetLen | Sync | SyncDir)
            }
            Self::FullAtTheEnd => kind == Write,
            Self::Quota => matches!(kind, Create | Write | Sync),
            Self::FileTooLarge => matches!(kind, Write | SetLen),
            Self::Handles => matches!(kind, Create | Open | List | SyncDir | Lock),
            Self::ReadOnly => {
                matches!(kind, Create | Rename | Link | Remove | CreateDir | Write | SetLen | Lock)
            }
            Self::Interrupted => matches!(kind, Read | Write | Sync),
            Self::ShortRead => kind == Read,
            Self::Replaced => kind == CheckLock,
        }
    }

    /// What the request answers.
    pub fn error(self) -> io::Error {
        let kind = match self {
            Self::Io | Self::IoAfter | Self::ShortRead | Self::Replaced => {
                return io::Error::other("the disk failed");
            }
            Self::Handles => return io::Error::from_raw_os_error(24),
            Self::Full | Self::FullAtTheEnd => io::ErrorKind::StorageFull,
            Self::Quota => io::ErrorKind::QuotaExceeded,
            Self::FileTooLarge => io::ErrorKind::FileTooLarge,
            Self::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            Self::Interrupted => io::ErrorKind::Interrupted,
        };
        kind.into()
    }

    /// How much of a write of `len` bytes is there all the same.
    pub fn written(self, len: usize) -> usize {
        match self {
            Self::IoAfter => len,
            Self::FullAtTheEnd => len.saturating_sub(1),
            _ => len / 2,
        }
    }

    /// Whether it is for want of space.
    pub fn is_want(self) -> bool {
        matches!(self, Self::Full | Self::FullAtTheEnd | Self::Quota | Self::FileTooLarge)
    }
}

/// What a store must be after a request of it went wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No more writes until it is opened again.
    Poisoned,
    /// Everything goes on.
    Alive,
}

/// The table of faults: what follows from one, for a request of an open store about a file in its own directory.
pub fn expected(kind: Kind, class: Class, fault: Fault) -> Expected {
    let poisons = match kind {
        Kind::SetLen | Kind::CheckLock => true,
        // Without a handle for the directory nothing was synced.
        Kind::SyncDir => fault != Fault::Handles,
        Kind::Sync => class != Class::Table,
        Kind::Write | Kind::Rename => class != Class::Table && !fault.is_want(),
        Kind::Create => class != Class::Table && !fault.is_want() && fault != Fault::Handles,
        _ => false,
    };
    if poisons { Expected::Poisoned } else { Expected::Alive }
}
