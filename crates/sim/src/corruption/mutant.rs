//! Everything that can happen to the files of a store, numbered.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::table::data_blocks;
use crate::frames::{CHECKSUM, Frame, frames};
use crate::golden::{Base, Image};
use crate::random::Random;

/// A store and its numbered faults.
pub(super) struct Plan {
    base: Base,
    /// Kinds of faults with the number of the first fault behind each.
    kinds: Vec<(Kind, u64)>,
}

/// What the files of a store have become.
#[derive(Clone, Debug)]
pub(super) struct Damaged {
    pub(super) files: Image,
    /// A checksum was made right again after the fault: whoever can do that can write anything, so only that nothing
    /// breaks can be promised.
    pub(super) forged: bool,
    /// How many files of other stores were put in the place of files.
    foreign: usize,
}

/// A kind of fault of one file; each has as many members as fit the file.
#[derive(Clone, Debug)]
enum Kind {
    /// A byte is changed by one of [`MASKS`], or becomes 0.
    Byte(PathBuf),
    /// Four bytes, as one number, become 0 or the greatest, or change by 1.
    Word(PathBuf),
    /// As `Word`, and the checksum of the structure around it is made right again.
    Forged(PathBuf),
    /// A frame says that it holds [`MANY`] operations, and is the last one. Its checksums are right.
    Counted(PathBuf),
    /// The file is cut off.
    Cut(PathBuf),
    /// Something is appended.
    Longer(PathBuf),
    /// A block of this many bytes becomes zeros.
    Zeros(PathBuf, usize),
    /// Two blocks of this many bytes change places.
    Swapped(PathBuf, usize),
    /// Two data blocks of a table that are equally long change places.
    Reordered(PathBuf),
    /// A block of this many bytes is what it was at an earlier moment.
    Stale(PathBuf, usize),
    /// All of the file is what it was at an earlier moment.
    Old(PathBuf),
    /// The file is not there.
    Gone(PathBuf),
    /// The file is empty.
    Empty(PathBuf),
    /// The file is also there under the next number.
    Twice(PathBuf),
    /// The file has changed places with another one of the store.
    Exchanged(PathBuf),
    /// The file is that of another store.
    Foreign(PathBuf, Vec<(PathBuf, Arc<Vec<u8>>)>),
}

impl Damaged {
    /// Files that nothing has happened to yet.
    pub(super) fn new(files: Image) -> Self {
        Self { files, forged: false, foreign: 0 }
    }

    /// Whether as many files were put there from other stores as are left of this one: whose store it is, is not to be
    /// known then.
    pub(super) fn is_mostly_foreign(&self, base: &Base) -> bool {
        let of_store = |path: &&PathBuf| path.as_path() != Path::new("CURRENT");
        let own = self.files.iter().filter(|(path, bytes)| base.files.get(*path) == Some(bytes));
        self.foreign >= own.map(|(path, _)| path).filter(of_store).count()
    }
}

const MASKS: [u8; 3] = [0x01, 0x80, 0xFF];
/// How many bytes are appended.
const TAILS: [usize; 9] = [1, 7, 8, 40, 96, 512, 1000, 4096, 70_000];
/// Zeros, ones, noise.
const TAIL_KINDS: usize = 3;
const WORD_CHANGES: usize = 4;
/// More operations than a frame can hold, as a number in its head: 2^28 - 1.
const MANY: [u8; 4] = [0xFF, 0xFF, 0xFF, 0x7F];
/// Bytes of a preamble, and of a footer.
const FIXED: usize = 96;

impl Plan {
    /// Of the store number `index` of `bases`, the others being those from which foreign files come.
    pub(super) fn new(bases: &[Base], index: usize) -> Self {
        let base = &bases[index];
        let strangers: Vec<_> = bases.iter().filter(|other| other.name != base.name).collect();
        let mut kinds = Vec::new();
        for path in base.files.keys() {
            let of = |kind: fn(PathBuf) -> Kind| kind(path.clone());
            let sized = |kind: fn(PathBuf, usize) -> Kind, size| kind(path.clone(), size);
            kinds.extend([
                of(Kind::Byte),
                of(Kind::Word),
                of(Kind::Forged),
                of(Kind::Cut),
                of(Kind::Longer),
                of(Kind::Old),
                of(Kind::Gone),
                of(Kind::Empty),
                of(Kind::Twice),
                of(Kind::Exchanged),
            ]);
            // Files here are small; 64 bytes do to them what 512 and 4096 do to large ones, too.
            for size in [64, 512, 4096] {
                kinds.extend([Kind::Zeros, Kind::Swapped, Kind::Stale].map(|kind| sized(kind, size)));
            }
            let similar =
                |other: &&Path| other.parent() == path.parent() && other.extension() == path.extension();
            let files = strangers.iter().flat_map(|base| &base.files);
            let files = files.filter(|(other, _)| similar(&other.as_path()));
            kinds.push(Kind::Foreign(
                path.clone(),
                files.map(|(path, bytes)| (path.clone(), Arc::clone(bytes))).collect(),
            ));
        }
        // Behind all others: a fault is known by its number.
        kinds.extend(base.files.keys().cloned().map(Kind::Reordered));
        kinds.extend(base.files.keys().cloned().map(Kind::Counted));
        let mut end = 0;
        let kinds = kinds.into_iter().map(|kind| {
            end += kind.count(base) as u64;
            (kind, end)
        });
        Self { kinds: kinds.collect(), base: base.clone() }
    }

    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Number of faults.
    pub(super) fn len(&self) -> u64 {
        self.kinds.last().map_or(0, |(_, end)| *end)
    }

    /// The number of a fault of a kind by chance.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        loop {
            let index = random.below(self.kinds.len());
            let count = self.kinds[index].1 - self.begin(index);
            if count > 0 {
                return self.begin(index) + random.below(count as usize) as u64;
            }
        }
    }

    /// The store after these faults, one after the other.
    pub(super) fn damage(&self, faults: &[u64]) -> Damaged {
        let mut damaged = Damaged::new(self.base.files.clone());
        for &fault in faults {
            let (kind, number) = self.find(fault);
            kind.apply(&self.base, number, &mut damaged);
        }
        damaged
    }

    /// What a fault is, in words.
    pub(super) fn describe(&self, fault: u64) -> String {
        let (kind, number) = self.find(fault);
        match kind {
            Kind::Foreign(path, from) => {
                format!("Foreign({}) {number}: {}", path.display(), from[number].0.display())
            }
            kind => format!("{kind:?} {number}"),
        }
    }

    /// The number of the first fault of a kind.
    fn begin(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |before| self.kinds[before].1)
    }

    fn find(&self, fault: u64) -> (&Kind, usize) {
        let index = self.kinds.partition_point(|(_, end)| *end <= fault).min(self.kinds.len() - 1);
        (&self.kinds[index].0, (fault - self.begin(index)) as usize)
    }
}

impl Kind {
    fn path(&self) -> &PathBuf {
        match self {
            Self::Byte(path)
            | Self::Word(path)
            | Self::Forged(path)
            | Self::Counted(path)
            | Self::Cut(path)
            | Self::Longer(path)
            | Self::Reordered(path)
            | Self::Zeros(path, _)
            | Self::Swapped(path, _)
            | Self::Stale(path, _)
            | Self::Old(path)
            | Self::Gone(path)
            | Self::Empty(path)
            | Self::Twice(path)
            | Self::Exchanged(path)
            | Self::Foreign(path, _) => path,
        }
    }

    /// How many members the kind has for a store.
    fn count(&self, base: &Base) -> usize {
        let len = base.files[self.path()].len();
        match self {
            Self::Byte(_) => len * (MASKS.len() + 1),
            Self::Word(_) => len / 4 * WORD_CHANGES,
            Self::Forged(_) => {
                structures(self.path(), &base.files[self.path()]).len() * FIXED / 4 * WORD_CHANGES
            }
            Self::Counted(path) => frames_of(path, &base.files[path]).len(),
            Self::Cut(_) => len,
            Self::Longer(_) => TAILS.len() * TAIL_KINDS,
            Self::Zeros(_, size) => len.div_ceil(*size),
            Self::Swapped(_, size) => {
                let blocks = len.div_ceil(*size);
                blocks * blocks.saturating_sub(1) / 2
            }
            Self::Reordered(path) => block_pairs(&base.files[path]).len(),
            Self::Stale(path, size) => {
                let all = base.earlier.iter().filter(|image| image.contains_key(path));
                all.count() * len.div_ceil(*size)
            }
            Self::Old(path) => base.earlier.iter().filter(|image| image.contains_key(path)).count(),
            Self::Gone(_) | Self::Empty(_) => 1,
            Self::Twice(path) => usize::from(next_name(path).is_some()),
            Self::Exchanged(path) => base.files.range(path.clone()..).count() - 1,
            Self::Foreign(_, from) => from.len(),
        }
    }

    fn apply(&self, base: &Base, number: usize, damaged: &mut Damaged) {
        let path = self.path();
        // A first fault may have taken the file away.
        let Some(old) = damaged.files.get(path).cloned() else { return };
        let earlier: Vec<_> = base.earlier.iter().filter_map(|image| image.get(path)).collect();
        let mut bytes = old.to_vec();
        match self {
            Self::Byte(_) => {
                if let Some(byte) = bytes.get_mut(number / (MASKS.len() + 1)) {
                    *byte = MASKS.get(number % (MASKS.len() + 1)).map_or(0, |mask| *byte ^ mask);
                }
            }
            Self::Word(_) => change_word(&mut bytes, number / WORD_CHANGES * 4, number % WORD_CHANGES),
            Self::Forged(_) => {
                damaged.forged = true;
                let per_structure = FIXED / 4 * WORD_CHANGES;
                let found = structures(path, &bytes);
                let Some(structure) = found.get(number / per_structure) else { return };
                let number = number % per_structure;
                let at = number / WORD_CHANGES * 4;
                if at < structure.covered {
                    change_word(&mut bytes, structure.at + at, number % WORD_CHANGES);
                    structure.seal(&mut bytes);
                }
            }
            Self::Counted(path) => {
                damaged.forged = true;
                if let Some(frame) = frames_of(path, &bytes).get(number) {
                    say_many(frame, &mut bytes);
                }
            }
            Self::Cut(_) => bytes.truncate(number),
            Self::Longer(_) => {
                let end = bytes.len() + TAILS[number / TAIL_KINDS];
                let from = bytes.len();
                bytes.resize(end, if number % TAIL_KINDS == 1 { 0xFF } else { 0 });
                if number % TAIL_KINDS == 2 {
                    Random::new(number as u64).fill(&mut bytes[from..]);
                }
            }
            Self::Zeros(_, size) => {
                let range = block(&bytes, number, *size);
                bytes[range].fill(0);
            }
            Self::Swapped(_, size) => swap_blocks(&mut bytes, number, *size),
            Self::Reordered(path) => {
                if let Some((a, b)) = block_pairs(&base.files[path]).get(number).cloned()
                    && b.end <= bytes.len()
                {
                    let (left, right) = bytes.split_at_mut(b.start);
                    left[a].swap_with_slice(&mut right[..b.len()]);
                }
            }
            Self::Stale(_, size) => {
                let blocks = base.files[path].len().div_ceil(*size);
                let range = block(&bytes, number % blocks, *size);
                let old = earlier[number / blocks];
                // What was not written yet then may have been zeros.
                for at in range {
                    bytes[at] = old.get(at).copied().unwrap_or(0);
                }
            }
            Self::Old(_) => bytes = earlier[number].to_vec(),
            Self::Gone(_) => {
                damaged.files.remove(path);
                return;
            }
            Self::Empty(_) => bytes.clear(),
            Self::Twice(_) => {
                damaged.files.extend(next_name(path).map(|next| (next, Arc::new(bytes))));
                return;
            }
            Self::Exchanged(_) => {
                let other = base.files.range(path.clone()..).nth(number + 1);
                let Some((other, theirs)) = other.and_then(|(path, _)| damaged.files.get_key_value(path))
                else {
                    return;
                };
                let (other, theirs) = (other.clone(), Arc::clone(theirs));
                damaged.files.insert(other, old);
                damaged.files.insert(path.clone(), theirs);
                return;
            }
            Self::Foreign(_, from) => {
                damaged.foreign += 1;
                bytes = from[number].1.to_vec();
            }
        }
        damaged.files.insert(path.clone(), Arc::new(bytes));
    }
}

/// The pairs of data blocks of a table that are equally long and differ.
pub(super) fn block_pairs(bytes: &[u8]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut blocks = data_blocks(bytes);
    blocks.sort_by_key(|block| block.start);
    let after = |index: usize| blocks[index + 1..].iter();
    let pairs =
        blocks.iter().enumerate().flat_map(|(index, a)| after(index).map(move |b| (a.clone(), b.clone())));
    pairs.filter(|(a, b)| a.len() == b.len() && bytes.get(a.clone()) != bytes.get(b.clone())).collect()
}

fn block(bytes: &[u8], number: usize, size: usize) -> Range<usize> {
    let start = (number * size).min(bytes.len());
    start..(start + size).min(bytes.len())
}

/// Exchanges the pair of blocks with this number, counting all pairs.
fn swap_blocks(bytes: &mut [u8], mut number: usize, size: usize) {
    let mut first = 0;
    let blocks = bytes.len().div_ceil(size);
    while number >= blocks - first - 1 {
        number -= blocks - first - 1;
        first += 1;
        if first + 1 >= blocks {
            return;
        }
    }
    let (a, b) = (block(bytes, first, size), block(bytes, first + 1 + number, size));
    // The last block may be shorter.
    let (left, right) = bytes.split_at_mut(b.start);
    let len = b.len();
    left[a.start..a.start + len].swap_with_slice(&mut right[..len]);
}

fn change_word(bytes: &mut [u8], at: usize, change: usize) {
    if let Some(word) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
        let value = u32::from_le_bytes(*word);
        let changed = [0, u32::MAX, value.wrapping_add(1), value.wrapping_sub(1)];
        *word = changed[change].to_le_bytes();
    }
}

/// The path of the file with the next number, for files that have one.
fn next_name(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let at = name.find(|c: char| c.is_ascii_digit())?;
    let (digits, rest) =
        name[at..].split_at(name[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len() - at));
    let next = digits.parse::<u64>().ok()? + 1;
    Some(path.with_file_name(format!("{}{next:06}{rest}", &name[..at])))
}

/// A structure of fixed layout with a checksum of its own.
struct Structure {
    at: usize,
    /// Bytes under the checksum, which follows them.
    covered: usize,
    /// What the checksum begins with: store id and file number.
    salt: [u8; 24],
}

impl Structure {
    /// Makes the checksum right: CRC-32C of salt, offset and bytes.
    fn seal(&self, bytes: &mut [u8]) {
        let covered = &bytes[self.at..self.at + self.covered];
        let crc = crc32c::crc32c(&[&self.salt, &(self.at as u64).to_le_bytes()[..], covered].concat());
        bytes[self.at + self.covered..][..CHECKSUM].copy_from_slice(&crc.to_le_bytes());
    }
}

/// What salts the checksums of a log or a manifest.
fn salt_of(bytes: &[u8]) -> Option<[u8; 24]> {
    bytes.get(16..)?.first_chunk().copied()
}

/// The frames of a file that has some.
fn frames_of(path: &Path, bytes: &[u8]) -> Vec<Frame> {
    let is_log = path.starts_with("wal") || path.to_string_lossy().starts_with("MANIFEST");
    if is_log { frames(bytes) } else { Vec::new() }
}

/// Writes [`MANY`] into the head of a frame, whose last number is the count, and ends the file behind it.
fn say_many(frame: &Frame, bytes: &mut Vec<u8>) {
    let Some(salt) = salt_of(bytes) else { return };
    bytes.truncate(frame.end);
    let end = frame.at + frame.head;
    let digits = (64 - (frame.count | 1).leading_zeros() as usize).div_ceil(7);
    bytes.splice(end - digits..end, MANY);
    let head = frame.head - digits + MANY.len();
    let whole = bytes.len() - frame.at - CHECKSUM;
    for covered in [head, whole] {
        Structure { at: frame.at, covered, salt }.seal(bytes);
    }
}

/// The structures of a file: preamble and heads of frames, or footer.
fn structures(path: &Path, bytes: &[u8]) -> Vec<Structure> {
    let is_table = path.extension().is_some_and(|extension| extension == "sst");
    if path == Path::new("CURRENT") || bytes.len() < FIXED {
        return Vec::new();
    }
    if is_table {
        let at = bytes.len() - FIXED;
        // Its properties begin with store id and file number.
        let properties =
            bytes[at + 48..].first_chunk().map_or(0, |offset| u64::from_le_bytes(*offset)) as usize;
        let salt = bytes.get(properties..).and_then(<[u8]>::first_chunk::<24>);
        return salt.map(|salt| Structure { at, covered: 84, salt: *salt }).into_iter().collect();
    }
    let Some(salt) = salt_of(bytes) else { return Vec::new() };
    let heads = frames(bytes).into_iter().map(|frame| Structure { at: frame.at, covered: frame.head, salt });
    std::iter::once(Structure { at: 0, covered: 92, salt }).chain(heads).collect()
}
