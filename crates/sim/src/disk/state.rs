//! A disk as a value: it can be copied, changed step by step, and asked what a crash would leave.
//!
//! What always holds: bytes are on disk when the file was synced after they were written, and only then for certain; a
//! name is on disk when its directory was synced after it was made. A rename is one step, but not durable by itself. After
//! a sync that failed, nobody knows what is on disk, and no later sync changes that.

use std::path::{Component, Path};
use std::sync::Arc;

use super::node::{DirChange, DirNode, FileChange, FileNode, Node};
use super::op::{FileId, Name, Op, ROOT};

/// The disk. A copy shares the bytes of files until they are changed.
#[derive(Clone, Debug)]
pub struct Disk {
    pub(super) nodes: Vec<Node>,
    /// Operations so far; numbers the changes that are not yet on disk.
    pub(super) steps: u32,
}

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![Node::Dir(DirNode::default())], steps: 0 }
    }
}

impl Disk {
    /// The file or directory with this path, as the running machine sees it. Relative paths begin at the root, too.
    pub fn lookup(&self, path: &Path) -> Option<FileId> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => at = self.dir(at)?.now.get(name.to_str()?)?,
                Component::Prefix(_) | Component::ParentDir => return None,
            }
        }
        Some(at)
    }

    /// The bytes of a file as the running machine sees them; `None` for a directory.
    pub fn bytes(&self, file: FileId) -> Option<&Arc<Vec<u8>>> {
        self.file(file).map(|node| &node.now)
    }

    /// The bytes of a file that are on disk for certain; `None` for a directory.
    pub fn durable_bytes(&self, file: FileId) -> Option<&Arc<Vec<u8>>> {
        self.file(file).map(|node| &node.durable)
    }

    /// Whether everything written to a file is on disk.
    pub fn is_synced(&self, file: FileId) -> bool {
        self.file(file).is_some_and(|node| node.pending.is_empty())
    }

    /// Whether a sync of a directory has failed, and it has left names of which nobody knows whether they are on disk.
    pub fn has_names_in_doubt(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node, Node::Dir(dir) if dir.is_in_doubt()))
    }

    /// Whether it is a directory.
    pub fn is_dir(&self, file: FileId) -> bool {
        self.dir(file).is_some()
    }

    /// Names in a directory and what they stand for, as the running machine sees them.
    pub fn entries(&self, dir: FileId) -> impl Iterator<Item = (&Name, FileId)> {
        self.dir(dir).into_iter().flat_map(|node| node.now.iter())
    }

    /// What a name in a directory stands for on disk, for certain.
    pub fn durable_entry(&self, dir: FileId, name: &str) -> Option<FileId> {
        self.dir(dir)?.durable.get(name)
    }

    /// What a name in a directory stands for, as the running machine sees it.
    pub fn entry(&self, dir: FileId, name: &str) -> Option<FileId> {
        self.dir(dir)?.now.get(name)
    }

    /// Whether a directory is empty for the running machine.
    pub fn is_empty(&self, dir: FileId) -> bool {
        self.dir(dir).is_none_or(|node| node.now.is_empty())
    }

    /// The id that the next created file or directory gets.
    pub const fn next_id(&self) -> FileId {
        FileId(self.nodes.len() as u32)
    }

    /// Writes a file whole, making its directories; everything is on disk at once. For preparing a disk by hand.
    pub fn put(&mut self, path: &Path, bytes: Vec<u8>) {
        let mut dir = ROOT;
        for component in path.parent().into_iter().flat_map(Path::components) {
            if let Component::Normal(name) = component {
                dir = self.put_dir(dir, &Name::from(name.to_string_lossy()));
            }
        }
        let name = Name::from(path.file_name().unwrap_or_default().to_string_lossy());
        let file = self.add(Node::File(FileNode::durable(Arc::new(bytes))));
        self.put_entry(dir, &name, file);
    }

    fn put_dir(&mut self, parent: FileId, name: &Name) -> FileId {
        if let Some(known) = self.entry(parent, name) {
            return known;
        }
        let dir = self.add(Node::Dir(DirNode::default()));
        self.put_entry(parent, name, dir);
        dir
    }

    pub(super) fn put_entry(&mut self, dir: FileId, name: &Name, file: FileId) {
        if let Some(node) = self.dir_mut(dir) {
            node.now.set(name, file);
            node.durable.set(name, file);
        }
    }

    /// Carries out an operation. One that cannot be, such as on a name that is not there, changes nothing.
    pub fn apply(&mut self, op: &Op) {
        self.steps += 1;
        let number = self.steps;
        match op {
            Op::Create { dir, name } => self.create(number, *dir, name, Node::File(FileNode::default())),
            Op::MakeDir { dir, name } => self.create(number, *dir, name, Node::Dir(DirNode::default())),
            Op::Link { file, dir, name } => {
                self.change_dir(number, *dir, DirChange::Add(Arc::clone(name), *file));
            }
            Op::Rename { from_dir, from, to_dir, to } => {
                self.rename(number, (*from_dir, from), (*to_dir, to));
            }
            Op::Remove { dir, name } => self.change_dir(number, *dir, DirChange::Remove(Arc::clone(name))),
            Op::Write { file, at, bytes } => {
                let change = FileChange::Write { at: *at as usize, bytes: Arc::clone(bytes) };
                self.change_file(number, *file, change);
            }
            Op::SetLen { file, len } => self.change_file(number, *file, FileChange::SetLen(*len as usize)),
            Op::Sync { file } => {
                if let Some(node) = self.file_mut(*file) {
                    node.sync();
                }
            }
            Op::FailedSync { file } => {
                if let Some(node) = self.file_mut(*file) {
                    node.fail_sync();
                }
            }
            Op::SyncDir { dir } => {
                if let Some(node) = self.dir_mut(*dir) {
                    node.sync();
                }
            }
            Op::FailedSyncDir { dir } => {
                if let Some(node) = self.dir_mut(*dir) {
                    node.fail_sync();
                }
            }
        }
    }

    fn create(&mut self, number: u32, dir: FileId, name: &Name, node: Node) {
        let file = self.add(node);
        self.change_dir(number, dir, DirChange::Add(Arc::clone(name), file));
    }

    /// Across directories, both halves have the number of the one operation: a crash keeps both or none.
    fn rename(&mut self, number: u32, (from_dir, from): (FileId, &Name), (to_dir, to): (FileId, &Name)) {
        let Some(file) = self.entry(from_dir, from) else { return };
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        if from_dir == to_dir {
            self.change_dir(number, from_dir, DirChange::Rename { from, to, file });
        } else {
            self.change_dir(number, to_dir, DirChange::Add(to, file));
            self.change_dir(number, from_dir, DirChange::Remove(from));
        }
    }

    fn change_dir(&mut self, number: u32, dir: FileId, change: DirChange) {
        if let Some(node) = self.dir_mut(dir) {
            node.change(number, change);
        }
    }

    fn change_file(&mut self, number: u32, file: FileId, change: FileChange) {
        if let Some(node) = self.file_mut(file) {
            node.change(number, change);
        }
    }

    pub(super) fn add(&mut self, node: Node) -> FileId {
        let id = self.next_id();
        self.nodes.push(node);
        id
    }

    pub(super) fn file(&self, file: FileId) -> Option<&FileNode> {
        if let Some(Node::File(node)) = self.nodes.get(file.index()) { Some(node) } else { None }
    }

    pub(super) fn dir(&self, dir: FileId) -> Option<&DirNode> {
        if let Some(Node::Dir(node)) = self.nodes.get(dir.index()) { Some(node) } else { None }
    }

    fn file_mut(&mut self, file: FileId) -> Option<&mut FileNode> {
        if let Some(Node::File(node)) = self.nodes.get_mut(file.index()) { Some(node) } else { None }
    }

    fn dir_mut(&mut self, dir: FileId) -> Option<&mut DirNode> {
        if let Some(Node::Dir(node)) = self.nodes.get_mut(dir.index()) { Some(node) } else { None }
    }
}
