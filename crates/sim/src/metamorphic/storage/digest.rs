//! One number for everything that was asked of a simulated disk, and for every byte on it in the end.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

use crate::disk::{Disk, FileId, Op, ROOT, SimFs};

/// A digest that grows.
#[derive(Default)]
pub struct Digest {
    hasher: DefaultHasher,
    /// Changes of the disk so far.
    pub changes: u64,
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hasher.write(text.as_bytes());
        Ok(())
    }
}

impl Digest {
    /// Takes up what was recorded on a disk, and the disk itself.
    pub fn take(&mut self, fs: &SimFs) {
        let recording = fs.take_recording();
        self.changes += recording.len() as u64;
        for op in &recording {
            self.op(op);
        }
        fs.with_disk(|disk| self.directory(disk, ROOT));
    }

    /// The number.
    pub fn finish(&self) -> u64 {
        self.hasher.finish()
    }

    fn op(&mut self, op: &Op) {
        if let Op::Write { file, at, bytes } = op {
            // Bytes as text would be slow.
            let _ = write!(self, "write {file:?} {at}");
            self.hasher.write(bytes);
        } else {
            let _ = write!(self, "{op:?}");
        }
    }

    /// Names and contents of a directory, and of those in it: a store's are not deep.
    fn directory(&mut self, disk: &Disk, dir: FileId) {
        for (name, file) in disk.entries(dir) {
            let _ = write!(self, "/{name}");
            match disk.bytes(file) {
                Some(bytes) => self.hasher.write(bytes),
                None => self.directory(disk, file),
            }
        }
    }
}
