//! The order in which the engine may do things to a disk, checked on every change it makes.
//!
//! A crash finds a violation only if it comes at the right moment; this finds it whenever it happens. The rules are
//! those of `docs/engine.md`; manifests are read here by the words of `docs/format.md`, with no code of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disk::{Disk, FileId, Name, Op, ROOT};

mod manifest;

use manifest::Described;

/// Where a file lies and what it is.
#[derive(Clone, Debug)]
struct Known {
    dir: FileId,
    name: Name,
    class: Class,
    /// It was synced once.
    synced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Table(u64),
    Segment(u64),
    Manifest(u64),
    Current,
    Other,
}

/// What has been seen so far on one disk.
#[derive(Clone, Debug, Default)]
pub struct Protocol {
    files: BTreeMap<FileId, Known>,
    /// Numbers of files that were there or were created, for each directory of a store.
    numbers: BTreeMap<FileId, BTreeSet<u64>>,
    /// The directory above, of every directory.
    parents: BTreeMap<FileId, FileId>,
}

impl Protocol {
    /// Begins to watch a disk.
    pub fn new(disk: &Disk) -> Self {
        let mut protocol = Self::default();
        let mut dirs = vec![ROOT];
        while let Some(dir) = dirs.pop() {
            for (name, file) in disk.entries(dir) {
                if disk.is_dir(file) {
                    protocol.parents.insert(file, dir);
                    dirs.push(file);
                } else {
                    protocol.learn(file, dir, name, true);
                }
            }
        }
        protocol
    }

    fn learn(&mut self, file: FileId, dir: FileId, name: &Name, synced: bool) {
        let class = class_of(name);
        if let Class::Table(number) | Class::Segment(number) | Class::Manifest(number) = class {
            let store = self.store_of(dir, class);
            self.numbers.entry(store).or_default().insert(number);
        }
        self.files.insert(file, Known { dir, name: Name::clone(name), class, synced });
    }

    /// The directory of the store that a file of this class in `dir` belongs to.
    fn store_of(&self, dir: FileId, class: Class) -> FileId {
        match class {
            Class::Table(_) | Class::Segment(_) => self.parents.get(&dir).copied().unwrap_or(dir),
            _ => dir,
        }
    }

    /// Checks a change before it is made.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn check(&mut self, disk: &Disk, op: &Op) -> Result<(), String> {
        match op {
            Op::Create { dir, name } => self.create(disk, *dir, name),
            Op::MakeDir { dir, .. } => {
                self.parents.insert(disk.next_id(), *dir);
                Ok(())
            }
            Op::Rename { from_dir, from, to_dir, to } => self.rename(disk, (*from_dir, from), (*to_dir, to)),
            Op::Remove { dir, name } => self.remove(disk, *dir, name),
            Op::Write { file, at, bytes } => self.write(disk, *file, *at, bytes),
            Op::SetLen { file, .. } => self.unfinished(*file),
            Op::Sync { file } => {
                self.files.entry(*file).and_modify(|known| known.synced = true);
                Ok(())
            }
            Op::Link { .. } | Op::FailedSync { .. } | Op::SyncDir { .. } | Op::FailedSyncDir { .. } => Ok(()),
        }
    }

    fn create(&mut self, disk: &Disk, dir: FileId, name: &Name) -> Result<(), String> {
        let class = class_of(name);
        if let Class::Table(number) | Class::Segment(number) | Class::Manifest(number) = class {
            let store = self.store_of(dir, class);
            if self.numbers.get(&store).is_some_and(|numbers| numbers.contains(&number)) {
                return Err(format!("the number of {name} was used before"));
            }
        }
        self.learn(disk.next_id(), dir, name, false);
        Ok(())
    }

    fn rename(&mut self, disk: &Disk, from: (FileId, &Name), to: (FileId, &Name)) -> Result<(), String> {
        let Some(file) = disk.entry(from.0, from.1) else { return Ok(()) };
        if class_of(to.1) == Class::Current {
            point_to_manifest(disk, to.0, file)?;
        }
        if disk.is_dir(file) {
            self.parents.insert(file, to.0);
        } else if let Some(known) = self.files.get_mut(&file) {
            (known.dir, known.name, known.class) = (to.0, Name::clone(to.1), class_of(to.1));
        }
        Ok(())
    }

    fn write(&self, disk: &Disk, file: FileId, at: u64, bytes: &[u8]) -> Result<(), String> {
        let Some(known) = self.files.get(&file) else { return Ok(()) };
        match known.class {
            Class::Table(_) => self.unfinished(file),
            Class::Segment(_) if at == 0 => continues(disk, known.dir, bytes),
            Class::Segment(number) if at >= manifest::PREAMBLE_BYTES as u64 => {
                let named = disk.durable_entry(known.dir, &known.name) == Some(file);
                if known.synced && named {
                    Ok(())
                } else {
                    Err(format!("segment {number} is used before its beginning and its name are on disk"))
                }
            }
            Class::Manifest(number) if current(disk, known.dir) == Some(number) => {
                described_is_there(disk, known.dir, &Described::read_frames(bytes, at))
            }
            Class::Manifest(number) if at > 0 => {
                Err(format!("manifest {number} is appended to, but is not the current one"))
            }
            _ => Ok(()),
        }
    }

    /// A finished table is never changed.
    fn unfinished(&self, file: FileId) -> Result<(), String> {
        match self.files.get(&file) {
            Some(Known { class: Class::Table(number), synced: true, .. }) => {
                Err(format!("table {number} is changed after it was finished"))
            }
            _ => Ok(()),
        }
    }

    /// What the manifest that a crash would certainly find needs may not be removed.
    fn remove(&self, disk: &Disk, dir: FileId, name: &Name) -> Result<(), String> {
        let Some(file) = disk.entry(dir, name) else { return Ok(()) };
        let class = self.files.get(&file).map_or(Class::Other, |known| known.class);
        let store = self.store_of(dir, class);
        let Some((number, described)) = durable_manifest(disk, store) else { return Ok(()) };
        if is_piece(disk, store) {
            return Ok(());
        }
        let needed = match class {
            Class::Table(table) => described.live().contains(&table),
            Class::Segment(segment) => described.log_number.is_some_and(|oldest| segment >= oldest),
            Class::Manifest(manifest) => manifest == number,
            Class::Current => true,
            Class::Other => false,
        };
        if needed { Err(format!("{name} is removed, but the manifest on disk needs it")) } else { Ok(()) }
    }
}

/// A segment continues another only when that is on disk to its end: what comes after could otherwise survive what
/// came before.
fn continues(disk: &Disk, dir: FileId, preamble: &[u8]) -> Result<(), String> {
    let Some(number) = manifest::continued_segment(preamble) else { return Ok(()) };
    match disk.entry(dir, &format!("{number:06}.wal")) {
        Some(before) if disk.is_synced(before) => Ok(()),
        _ => Err(format!("a segment continues segment {number} before that is synced to its end")),
    }
}

/// Number of the manifest that `CURRENT` names for the running machine.
fn current(disk: &Disk, dir: FileId) -> Option<u64> {
    let bytes = disk.bytes(disk.entry(dir, "CURRENT")?)?;
    let text = String::from_utf8_lossy(bytes);
    match class_of(text.split(' ').next()?) {
        Class::Manifest(number) => Some(number),
        _ => None,
    }
}

/// Whatever a manifest names is on disk before the manifest says so.
fn described_is_there(disk: &Disk, dir: FileId, described: &Described) -> Result<(), String> {
    if let Some(tag) = described.unknown {
        return Err(format!("the manifest has field {tag}, which this check does not know"));
    }
    let on_disk = |dir: Option<FileId>, name: String| {
        let file = dir.and_then(|dir| disk.durable_entry(dir, &name));
        match file {
            Some(file) if disk.is_synced(file) => Ok(()),
            Some(_) => Err(format!("the manifest names {name}, which is not synced")),
            None => Err(format!("the manifest names {name}, whose name is not on disk")),
        }
    };
    let (tables, segments) = (disk.durable_entry(dir, "tables"), disk.durable_entry(dir, "wal"));
    for number in described.live() {
        on_disk(tables, format!("{number:06}.sst"))?;
    }
    match described.log_number {
        // The newest segment takes commits meanwhile; that its name is on disk is what counts.
        Some(number)
            if segments.and_then(|dir| disk.durable_entry(dir, &format!("{number:06}.wal"))).is_none() =>
        {
            Err(format!("the manifest names segment {number}, whose name is not on disk"))
        }
        _ => Ok(()),
    }
}

/// `CURRENT` may be replaced only by a file that is on disk and names a manifest that is, name included.
fn point_to_manifest(disk: &Disk, dir: FileId, temp: FileId) -> Result<(), String> {
    if !disk.is_synced(temp) {
        return Err("CURRENT is replaced by a file that is not synced".to_owned());
    }
    let text = disk.bytes(temp).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let name = text.as_deref().and_then(|text| text.split(' ').next()).unwrap_or_default();
    match disk.durable_entry(dir, name) {
        Some(manifest) if disk.is_synced(manifest) => {
            let described = Described::read(disk.bytes(manifest).map_or(&[], |bytes| bytes));
            described_is_there(disk, dir, &described)
        }
        Some(_) => Err(format!("CURRENT names {name}, which is not synced")),
        None => Err(format!("CURRENT names {name}, whose name is not on disk")),
    }
}

/// The manifest that `CURRENT` on disk names, as far as it is on disk for certain.
fn durable_manifest(disk: &Disk, store: FileId) -> Option<(u64, Described)> {
    let current = disk.durable_bytes(disk.durable_entry(store, "CURRENT")?)?;
    let text = String::from_utf8_lossy(current);
    let name = text.split(' ').next()?;
    let Class::Manifest(number) = class_of(name) else { return None };
    let bytes = disk.durable_bytes(disk.durable_entry(store, name)?)?;
    Some((number, Described::read(bytes)))
}

fn class_of(name: &str) -> Class {
    let number = |digits: Option<&str>| digits.and_then(|digits| digits.parse().ok());
    if name == "CURRENT" {
        Class::Current
    } else if let Some(table) = number(name.strip_suffix(".sst")) {
        Class::Table(table)
    } else if let Some(segment) = number(name.strip_suffix(".wal")) {
        Class::Segment(segment)
    } else {
        number(name.strip_prefix("MANIFEST-")).map_or(Class::Other, Class::Manifest)
    }
}
/// Whether a directory is what a checkpoint that died has left: it may be cleared away in any order.
fn is_piece(disk: &Disk, dir: FileId) -> bool {
    let Some(parent) = disk.lookup(Path::new("/data")) else { return false };
    disk.entries(parent).any(|(name, file)| file == dir && name.ends_with(".tmp"))
}
