//! Files and directories: what the running machine sees of them, what is on disk, and the changes in between.

use std::sync::Arc;

use super::op::{FileId, Name};

/// A change that may or may not be on disk.
#[derive(Clone, Debug)]
pub(super) struct Pending<T> {
    /// Number of the operation that made it.
    pub(super) number: u32,
    pub(super) change: T,
    pub(super) standing: Standing,
}

/// What is to become of a change that the running machine shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The next sync writes it.
    Open,
    /// A sync of it failed, so the machine takes it for written: it may be on disk or not, and no later sync writes it.
    InDoubt,
    /// It was in doubt, and a later sync of the same file has settled that it is not on disk.
    Gone,
}

impl<T> Pending<T> {
    const fn new(number: u32, change: T) -> Self {
        Self { number, change, standing: Standing::Open }
    }

    /// Whether a crash may find it on disk.
    pub(super) fn may_be_kept(&self) -> bool {
        self.standing != Standing::Gone
    }

    fn fail_sync(&mut self) {
        if self.standing == Standing::Open {
            self.standing = Standing::InDoubt;
        }
    }
}

/// A change to the bytes of a file.
#[derive(Clone, Debug)]
pub(super) enum FileChange {
    Write { at: usize, bytes: Arc<[u8]> },
    SetLen(usize),
}

impl FileChange {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: written } => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(written);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }

    /// The length of the file after this change, if it was `len`.
    pub(super) fn len_after(&self, len: usize) -> usize {
        match self {
            Self::Write { at, bytes } => len.max(at + bytes.len()),
            Self::SetLen(len) => *len,
        }
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pub(super) now: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) pending: Vec<Pending<FileChange>>,
}

impl FileNode {
    /// A file whose bytes are on disk.
    pub(super) fn durable(bytes: Arc<Vec<u8>>) -> Self {
        Self { now: Arc::clone(&bytes), durable: bytes, pending: Vec::new() }
    }

    pub(super) fn change(&mut self, number: u32, change: FileChange) {
        change.apply(Arc::make_mut(&mut self.now));
        self.pending.push(Pending::new(number, change));
    }

    pub(super) fn sync(&mut self) {
        // Of a file that is written, synced and left alone, one copy is enough. One that goes on growing has two, so that a
        // change after a sync costs no more than its own bytes.
        if self.durable.is_empty() && self.pending.iter().all(|pending| pending.standing == Standing::Open) {
            self.durable = Arc::clone(&self.now);
            self.pending.clear();
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for pending in self.pending.iter().filter(|pending| pending.standing == Standing::Open) {
            pending.change.apply(durable);
        }
        self.pending.retain(|pending| pending.standing != Standing::Open);
        self.pending.iter_mut().for_each(|pending| pending.standing = Standing::Gone);
    }

    pub(super) fn fail_sync(&mut self) {
        self.pending.iter_mut().for_each(Pending::fail_sync);
    }

    /// What is on disk when only these changes got there.
    pub(super) fn with(&self, mut kept: impl FnMut(&Pending<FileChange>) -> bool) -> Arc<Vec<u8>> {
        let mut bytes = Arc::clone(&self.durable);
        for pending in &self.pending {
            if pending.may_be_kept() && kept(pending) {
                pending.change.apply(Arc::make_mut(&mut bytes));
            }
        }
        bytes
    }
}

/// A change to the names in a directory.
#[derive(Clone, Debug)]
pub(super) enum DirChange {
    Add(Name, FileId),
    Remove(Name),
    Rename { from: Name, to: Name, file: FileId },
}

impl DirChange {
    fn names(&self) -> [&Name; 2] {
        match self {
            Self::Add(name, _) | Self::Remove(name) => [name, name],
            Self::Rename { from, to, .. } => [from, to],
        }
    }

    fn is_about_a_name_of(&self, other: &Self) -> bool {
        self.names().iter().any(|name| other.names().contains(name))
    }
}

/// Names and what they stand for; short enough to be searched one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<(Name, FileId)>);

impl Entries {
    pub(super) fn get(&self, name: &str) -> Option<FileId> {
        self.0.iter().find(|(known, _)| &**known == name).map(|(_, file)| *file)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, FileId)> {
        self.0.iter().map(|(name, file)| (name, *file))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn set(&mut self, name: &Name, file: FileId) {
        self.remove(name);
        self.0.push((Arc::clone(name), file));
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| &**known != name);
    }

    fn apply(&mut self, change: &DirChange) {
        match change {
            DirChange::Add(name, file) => self.set(name, *file),
            DirChange::Remove(name) => self.remove(name),
            DirChange::Rename { from, to, file } => {
                if self.get(from) == Some(*file) {
                    self.remove(from);
                }
                self.set(to, *file);
            }
        }
    }
}

/// A directory.
#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    pub(super) now: Entries,
    pub(super) durable: Entries,
    pub(super) pending: Vec<Pending<DirChange>>,
}

impl DirNode {
    pub(super) fn change(&mut self, number: u32, change: DirChange) {
        self.now.apply(&change);
        self.pending.push(Pending::new(number, change));
    }

    /// Whether some of its names may be on disk or not, whatever is synced.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.pending.iter().any(|pending| pending.standing == Standing::InDoubt)
    }

    /// What is in doubt stays so for ever, but for names that were changed again since the sync that failed.
    pub(super) fn sync(&mut self) {
        let (open, mut in_doubt): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.standing == Standing::Open);
        if in_doubt.is_empty() {
            self.durable = self.now.clone();
            return;
        }
        for synced in &open {
            self.durable.apply(&synced.change);
            in_doubt.retain(|pending| !pending.change.is_about_a_name_of(&synced.change));
        }
        self.pending = in_doubt;
    }

    pub(super) fn fail_sync(&mut self) {
        self.pending.iter_mut().for_each(Pending::fail_sync);
    }

    /// What is on disk when only these changes got there.
    pub(super) fn with(&self, mut kept: impl FnMut(&Pending<DirChange>) -> bool) -> Entries {
        let mut entries = self.durable.clone();
        for pending in self.pending.iter().filter(|pending| kept(pending)) {
            entries.apply(&pending.change);
        }
        entries
    }
}

/// Either.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}
