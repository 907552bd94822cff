//! The order in which the engine may do things to a disk, checked on every change it makes.
//!
//! A crash finds a violation only if it comes at the right moment; this finds it whenever it happens. The rules are
//! those of `docs/engine.md`; manifests are read here by the words of `docs/format.md`, with no code of the engine.
//!
//! What always holds: an edit that cannot be read breaks a rule, and what was judged is counted, so that a change of the
//! format cannot leave rules with nothing to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use manifest::Described;

use crate::disk::{Disk, FileId, Name, Op, ROOT};
use crate::frames::PREAMBLE;

mod manifest;
#[cfg(test)]
mod tests;

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

/// How much there was for the rules to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Changes of the disk.
    pub changes: u64,
    /// Files that an edit of a manifest named, looked up on disk.
    pub named: u64,
    /// Files that were removed, looked up in the manifest on disk.
    pub removed: u64,
}

impl AddAssign for Judged {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.named += other.named;
        self.removed += other.removed;
    }
}

/// What has been seen so far on one disk.
#[derive(Clone, Debug, Default)]
pub struct Protocol {
    files: BTreeMap<FileId, Known>,
    /// Numbers of files that were there or were created, for each directory of a store.
    numbers: BTreeMap<FileId, BTreeSet<u64>>,
    /// The directory above, of every directory.
    parents: BTreeMap<FileId, FileId>,
    /// What the rules had to look at.
    pub judged: Judged,
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
        self.judged.changes += 1;
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
            self.point_to_manifest(disk, to.0, file)?;
        }
        if disk.is_dir(file) {
            if is_piece(from.1) {
                self.publish(disk, file, to.1)?;
            }
            self.parents.insert(file, to.0);
        } else if let Some(known) = self.files.get_mut(&file) {
            (known.dir, known.name, known.class) = (to.0, Name::clone(to.1), class_of(to.1));
        }
        Ok(())
    }

    fn write(&mut self, disk: &Disk, file: FileId, at: u64, bytes: &[u8]) -> Result<(), String> {
        let Some(known) = self.files.get(&file) else { return Ok(()) };
        match known.class {
            Class::Table(_) => self.unfinished(file),
            Class::Segment(_) if at == 0 => continues(disk, known.dir, bytes),
            Class::Segment(number) if at >= PREAMBLE as u64 => {
                let named = disk.durable_entry(known.dir, &known.name) == Some(file);
                if known.synced && named {
                    Ok(())
                } else {
                    Err(format!("segment {number} is used before its beginning and its name are on disk"))
                }
            }
            Class::Manifest(number) if current(disk, known.dir) == Some(number) => {
                let (dir, mut whole) = (known.dir, disk.bytes(file).map_or(Vec::new(), |now| now.to_vec()));
                whole.truncate(at as usize);
                whole.extend(bytes);
                let described = Described::written(&whole, at as usize)?;
                self.described_is_there(disk, dir, &described)
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
    fn remove(&mut self, disk: &Disk, dir: FileId, name: &Name) -> Result<(), String> {
        let Some(file) = disk.entry(dir, name) else { return Ok(()) };
        let class = self.files.get(&file).map_or(Class::Other, |known| known.class);
        let store = self.store_of(dir, class);
        let Some((number, described)) = durable_manifest(disk, store)? else { return Ok(()) };
        // What a checkpoint that died has left may be cleared away in any order.
        if self.name_of(disk, store).is_some_and(|name| is_piece(name)) {
            return Ok(());
        }
        self.judged.removed += u64::from(class != Class::Other);
        let needed = match class {
            Class::Table(table) => described.has_table(table),
            // A segment that was made ready for later, and holds nothing, is read by nobody.
            Class::Segment(segment) => described.log_number.is_some_and(|oldest| {
                segment == oldest
                    || (segment > oldest && holds_frames(disk.bytes(file).map_or(&[], |bytes| bytes)))
            }),
            Class::Manifest(manifest) => manifest == number,
            Class::Current => true,
            Class::Other => false,
        };
        if needed { Err(format!("{name} is removed, but the manifest on disk needs it")) } else { Ok(()) }
    }

    /// What a directory is called.
    fn name_of<'a>(&self, disk: &'a Disk, dir: FileId) -> Option<&'a Name> {
        let above = self.parents.get(&dir)?;
        disk.entries(*above).find(|(_, file)| *file == dir).map(|(name, _)| name)
    }

    /// `CURRENT` may be replaced only by a file that is on disk and names a manifest that is, name included.
    fn point_to_manifest(&mut self, disk: &Disk, dir: FileId, temp: FileId) -> Result<(), String> {
        if !disk.is_synced(temp) {
            return Err("CURRENT is replaced by a file that is not synced".to_owned());
        }
        let text = disk.bytes(temp).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let name = text.as_deref().and_then(|text| text.split(' ').next()).unwrap_or_default();
        match disk.durable_entry(dir, name) {
            Some(manifest) if disk.is_synced(manifest) => {
                let described = Described::written(disk.bytes(manifest).map_or(&[], |bytes| bytes), 0)?;
                self.described_is_there(disk, dir, &described)
            }
            Some(_) => Err(format!("CURRENT names {name}, which is not synced")),
            None => Err(format!("CURRENT names {name}, whose name is not on disk")),
        }
    }

    /// A store that was put together under another name gets its own when all of it is on disk.
    fn publish(&mut self, disk: &Disk, dir: FileId, name: &Name) -> Result<(), String> {
        match durable_manifest(disk, dir)? {
            Some((_, described)) => self.described_is_there(disk, dir, &described),
            None => Err(format!("{name} gets its name before its CURRENT and its manifest are on disk")),
        }
    }

    /// Whatever a manifest names is on disk before the manifest says so.
    fn described_is_there(&mut self, disk: &Disk, dir: FileId, described: &Described) -> Result<(), String> {
        let (tables, segments) = (disk.durable_entry(dir, "tables"), disk.durable_entry(dir, "wal"));
        for number in described.live() {
            self.judged.named += 1;
            let name = format!("{number:06}.sst");
            match tables.and_then(|dir| disk.durable_entry(dir, &name)) {
                Some(file) if disk.is_synced(file) => {}
                Some(_) => return Err(format!("the manifest names {name}, which is not synced")),
                None => return Err(format!("the manifest names {name}, whose name is not on disk")),
            }
        }
        let Some(number) = described.log_number else { return Ok(()) };
        self.judged.named += 1;
        let name = format!("{number:06}.wal");
        // The newest segment takes commits meanwhile; that its name is on disk is what counts.
        match segments.and_then(|dir| disk.durable_entry(dir, &name)) {
            Some(_) => Ok(()),
            None => Err(format!("the manifest names {name}, whose name is not on disk")),
        }
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

/// The manifest that `CURRENT` on disk names, as far as it is on disk for certain.
fn durable_manifest(disk: &Disk, store: FileId) -> Result<Option<(u64, Described)>, String> {
    let durable = |name: &str| disk.durable_bytes(disk.durable_entry(store, name)?);
    let Some(current) = durable("CURRENT") else { return Ok(None) };
    let text = String::from_utf8_lossy(current);
    let name = text.split(' ').next().unwrap_or_default();
    match (class_of(name), durable(name)) {
        (Class::Manifest(number), Some(bytes)) => Ok(Some((number, Described::read(bytes)?))),
        _ => Ok(None),
    }
}

/// Whether anything lies behind the beginning of a segment.
fn holds_frames(bytes: &[u8]) -> bool {
    bytes.iter().skip(PREAMBLE).any(|&byte| byte != 0)
}

/// Whether a directory with this name is a store that is being put together, or what is left of one.
fn is_piece(name: &str) -> bool {
    name.ends_with(".tmp")
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
