//! What is left of a table that may be damaged.
//!
//! Opening a table asks for all of its tail, because reads must be able to rely on it. Whoever saves what is left needs
//! only the data blocks. Where the index can be read, it tells where they lie and which keys a bad one held; where it
//! cannot, they are found one behind the other by their checksums, and the properties, or whoever names the table, tell
//! whether all were found. What is missing is told as *gaps*; what is there is sound.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::anatomy::Anatomy;
use super::block::{Block, Origin};
use super::block_cursor::BlockCursor;
use super::envelope::{self, Handle};
use super::index::{IndexEntry, Section};
use super::meta::TableMeta;
use super::reader::Table;
use super::sealed::find_sealed;
use super::tail::read_exact;
use super::version_order;
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::format::FileSalt;
use crate::fs::{File, Fs, tolerate, zeros};
use crate::marks::{Mark, hit};
use crate::range::KeyRange;
use crate::tombstones::RangeTombstones;
use crate::types::{FileNumber, Seq, StoreId};

/// A sound data block.
pub(crate) struct Piece {
    handle: Handle,
    /// Its first key, and the sequence of the version with which it begins.
    pub(crate) first: (Box<[u8]>, Seq),
    pub(crate) last: Box<[u8]>,
    pub(crate) least: Seq,
    pub(crate) greatest: Seq,
    entries: u64,
}

impl Piece {
    /// Where it lies in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.handle.offset
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.handle.stored_bytes() as u64
    }

    /// A range that all of its keys lie in.
    pub(crate) fn keys(&self) -> KeyRange {
        keys_up_to(&self.first.0, &self.last)
    }
}

/// What a stretch of a table held that cannot be read, as far as that is known.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) offset: u64,
    /// 0 when it is not known.
    pub(crate) bytes: u64,
    pub(crate) keys: KeyRange,
    pub(crate) least: Seq,
    pub(crate) greatest: Seq,
    /// Only deletions of ranges.
    pub(crate) deletions_only: bool,
    pub(crate) found: String,
}

/// See the module.
pub(crate) struct Remains {
    file: Option<Box<dyn File>>,
    path: Arc<Path>,
    salt: FileSalt,
    pub(crate) number: FileNumber,
    /// What is added to every sequence in the file.
    base: Seq,
    pub(crate) size: u64,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) tombstones: RangeTombstones,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) faults: Vec<Fault>,
    bounds: Bounds,
}

/// The keys and sequences that everything in a table lies in.
#[derive(Clone, Debug)]
struct Bounds {
    keys: KeyRange,
    least: Seq,
    greatest: Seq,
}

impl Bounds {
    const fn unknown() -> Self {
        Self { keys: KeyRange { start: Vec::new(), end: None }, least: Seq::ZERO, greatest: Seq::MAX }
    }

    fn of(meta: &TableMeta) -> Self {
        let keys = if meta.largest_exclusive {
            KeyRange { start: meta.smallest.to_vec(), end: Some(meta.largest.to_vec()) }
        } else {
            keys_up_to(&meta.smallest, &meta.largest)
        };
        Self { keys, least: meta.least_seq, greatest: meta.greatest_seq }
    }
}

/// The keys from `first` to `last`, both included.
fn keys_up_to(first: &[u8], last: &[u8]) -> KeyRange {
    KeyRange { start: first.to_vec(), end: Some([last, &[0]].concat()) }
}

impl Remains {
    /// Reads the table `number` of `store`, described by `meta` if that is known. What is wrong with it is in the result.
    ///
    /// # Errors
    /// [`Error::Newer`] only.
    pub(crate) fn of(
        fs: &dyn Fs,
        path: PathBuf,
        store: StoreId,
        number: FileNumber,
        meta: Option<&TableMeta>,
    ) -> Result<Self> {
        let mut left = Self {
            file: None,
            path: path.as_path().into(),
            salt: FileSalt::new(store, number),
            number,
            base: meta.map_or(Seq::ZERO, |meta| meta.base),
            size: 0,
            pieces: Vec::new(),
            tombstones: RangeTombstones::default(),
            gaps: Vec::new(),
            faults: Vec::new(),
            bounds: meta.map_or(Bounds::unknown(), Bounds::of),
        };
        let file = match open(fs, &path) {
            Ok((file, size)) => {
                left.size = size;
                file
            }
            Err(error) => {
                left.lose_all(&error);
                return Ok(left);
            }
        };
        let cache = Arc::new(BlockCache::new(0));
        let opened = match meta {
            Some(meta) => Table::open(fs, path, store, meta.clone(), cache),
            None => Table::open_unnamed(fs, path, store, number, cache),
        };
        let read = match opened {
            Ok(table) => {
                left.file = Some(file);
                left.by_index(&table)
            }
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => {
                left.faults.push(Fault::from(&error));
                left.by_search(file, meta)
            }
        };
        match read {
            Err(error @ Error::Newer { .. }) => Err(error),
            Err(error) => {
                left.pieces.clear();
                left.lose_all(&error);
                Ok(left)
            }
            Ok(()) => Ok(left),
        }
    }

    /// The newest commit of which something was found.
    pub(crate) fn greatest(&self) -> Seq {
        let deleted =
            self.tombstones.fragments().iter().filter_map(|fragment| fragment.seqs.first().copied());
        self.pieces.iter().map(|piece| piece.greatest).chain(deleted).max().unwrap_or_default()
    }

    /// The oldest commit of which something was found, if anything was.
    pub(crate) fn least(&self) -> Option<Seq> {
        let deleted = self.tombstones.fragments().iter().filter_map(|fragment| fragment.seqs.last().copied());
        self.pieces.iter().map(|piece| piece.least).chain(deleted).min()
    }

    /// Whether it was ingested and nobody says under which sequence, see `docs/format.md`, section 4.
    pub(crate) fn has_no_place(&self) -> bool {
        !self.pieces.is_empty() && self.base == Seq::ZERO && self.greatest() == Seq::ZERO
    }

    /// Gives an ingested table the sequence `base`, which may be less than the right one.
    pub(crate) fn place(&mut self, base: Seq) {
        self.base = base;
        for piece in &mut self.pieces {
            (piece.first.1, piece.least, piece.greatest) = (base, base, base);
        }
        for gap in &mut self.gaps {
            (gap.least, gap.greatest) = (base, Seq::MAX);
        }
    }

    /// A range that all of its keys lie in.
    pub(crate) fn keys(&self) -> KeyRange {
        self.bounds.keys.clone()
    }

    /// The path of the table.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a piece again.
    pub(crate) fn read(&self, piece: &Piece) -> Result<Arc<Block>> {
        self.block(piece.handle).map(Arc::new)
    }

    /// Everything that is known to have been in the table is missing.
    fn lose_all(&mut self, error: &Error) {
        self.faults.push(Fault::from(error));
        self.lose(0, self.size, Fault::from(error).found);
    }

    fn lose(&mut self, offset: u64, bytes: u64, found: String) {
        let Bounds { keys, least, greatest } = self.bounds.clone();
        self.gaps.push(Gap { offset, bytes, keys, least, greatest, deletions_only: false, found });
    }

    fn block(&self, handle: Handle) -> Result<Block> {
        let Some(file) = &self.file else { return Err(Error::corrupt(&self.path, 0, "it was not opened")) };
        let mut stored = vec![0; handle.stored_bytes()];
        read_exact(file.as_ref(), &self.path, handle.offset, &mut stored)?;
        self.parse(&stored, handle)
    }

    fn parse(&self, stored: &[u8], handle: Handle) -> Result<Block> {
        let payload = envelope::open_copy(stored, self.salt, handle.offset, &self.path)?;
        let origin = Origin { path: Arc::clone(&self.path), offset: handle.offset };
        Ok(Block::new(payload, origin)?.with_base(self.base))
    }

    /// The tail is sound: the index says where everything is.
    fn by_index(&mut self, table: &Table) -> Result<()> {
        self.bounds = Bounds::of(table.meta());
        self.tombstones = table.range_tombstones().clone();
        let (mut known, mut leaves) = (Vec::new(), Vec::new());
        for section in [Section::Current, Section::History] {
            let Some(index) = table.tail.index(section) else { continue };
            if index.has_leaves() {
                known.extend(index.root_handles()?);
            }
            let mut after = self.bounds.keys.start.clone();
            for (entry, failure) in index.read_what_is_left(table)? {
                let keys = keys_up_to(&after, &entry.key);
                after = entry.key.to_vec();
                match failure {
                    None => {
                        known.push(entry.target.handle);
                        self.data_block(&entry, keys)?;
                    }
                    Some(error @ Error::Newer { .. }) => return Err(error),
                    Some(error) => {
                        self.faults.push(Fault::from(&error));
                        leaves.push(gap(&entry, keys, &error));
                    }
                }
            }
        }
        if !leaves.is_empty() && !self.search_between(known, table.tail.data_end)? {
            self.gaps.extend(leaves);
        }
        Ok(())
    }

    fn data_block(&mut self, entry: &IndexEntry, keys: KeyRange) -> Result<()> {
        match self.block(entry.target.handle).and_then(|block| inspect(block, entry.target.handle)) {
            Ok(piece) => self.pieces.push(piece),
            Err(error @ Error::Newer { .. }) => return Err(error),
            Err(error) => {
                self.faults.push(Fault::from(&error));
                self.gaps.push(gap(entry, keys, &error));
            }
        }
        Ok(())
    }

    /// Looks for data blocks where none is `known` to lie, and no leaf; whether nothing else was found there.
    fn search_between(&mut self, mut known: Vec<Handle>, end: u64) -> Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let (bytes, failure) = read_what_can_be_read(file.as_ref(), &self.path, end);
        if bytes.is_empty() {
            return Ok(end == 0);
        }
        known.sort_unstable_by_key(|handle| handle.offset);
        let mut at = 0;
        let mut sound = failure.is_none();
        let ends = known.iter().map(|handle| (handle.offset, handle.end().unwrap_or(end)));
        for (begin, next) in ends.chain([(end, end)]).collect::<Vec<_>>() {
            if at < begin {
                sound &= self.search(&bytes, at..begin)?;
            }
            at = at.max(next);
        }
        Ok(sound)
    }

    /// Adds the data blocks of a stretch; whether nothing else lies there.
    fn search(&mut self, bytes: &[u8], range: Range<u64>) -> Result<bool> {
        let piece = |handle: Handle| {
            let stored = &bytes[handle.offset as usize..][..handle.stored_bytes()];
            self.parse(stored, handle).and_then(|block| inspect(block, handle))
        };
        let found = find_sealed(bytes, range, self.salt, |handle| piece(handle).is_ok());
        let pieces = found.blocks.iter().map(|&handle| piece(handle)).collect::<Result<Vec<_>>>()?;
        self.pieces.extend(pieces);
        Ok(found.holes.is_empty())
    }

    /// The tail is not sound: blocks are found by their checksums.
    fn by_search(&mut self, file: Box<dyn File>, meta: Option<&TableMeta>) -> Result<()> {
        hit(Mark::BlocksSearched);
        let (bytes, failure) = read_what_can_be_read(file.as_ref(), &self.path, self.size);
        self.file = Some(file);
        if let Some(error) = &failure {
            self.faults.push(Fault::from(error));
        }
        let anatomy = Anatomy::of(&bytes, &self.path, self.salt, self.number, meta.map(|meta| meta.size));
        if let (None, Some(properties)) = (meta, &anatomy.properties) {
            self.bounds = Bounds::of(&properties.clone().into_meta(self.size));
        }
        let entries =
            meta.map(|meta| meta.entries).or(anatomy.properties.as_ref().map(|found| found.entries));
        for &handle in &anatomy.data {
            let stored = &bytes[handle.offset as usize..][..handle.stored_bytes()];
            match self.parse(stored, handle).and_then(|block| inspect(block, handle)) {
                Ok(piece) => self.pieces.push(piece),
                Err(error @ Error::Newer { .. }) => return Err(error),
                Err(error) => self.faults.push(Fault::from(&error)),
            }
        }
        let found: u64 = self.pieces.iter().map(|piece| piece.entries).sum();
        let hole = anatomy.hole.clone().unwrap_or(self.size..self.size);
        if entries != Some(found) {
            let expected =
                entries.map_or_else(|| "an unknown number".to_owned(), |entries| entries.to_string());
            let what = format!("{found} entries were found of {expected}");
            self.lose(hole.start, hole.end - hole.start, what);
        } else if anatomy.tombstones.is_none() {
            self.lose(hole.start, hole.end - hole.start, "its deletions of ranges cannot be read".to_owned());
            self.gaps.iter_mut().for_each(|gap| gap.deletions_only = true);
        }
        self.tombstones = anatomy.tombstones.unwrap_or_default();
        Ok(())
    }
}

fn open(fs: &dyn Fs, path: &Path) -> Result<(Box<dyn File>, u64)> {
    let file = fs.open(path).map_err(|error| Error::io("open", path, error))?;
    let size = file.len().map_err(|error| Error::io("measure", path, error))?;
    Ok((file, size))
}

fn gap(entry: &IndexEntry, keys: KeyRange, error: &Error) -> Gap {
    Gap {
        offset: entry.target.handle.offset,
        bytes: entry.target.handle.stored_bytes() as u64,
        keys,
        least: entry.target.least,
        greatest: entry.target.greatest,
        deletions_only: false,
        found: Fault::from(error).found,
    }
}

/// Decodes a whole block.
fn inspect(block: Block, handle: Handle) -> Result<Piece> {
    let block = Arc::new(block);
    let mut cursor = BlockCursor::new(Arc::clone(&block));
    cursor.seek_first()?;
    let first = (cursor.key().into(), cursor.trailer().seq());
    let mut piece =
        Piece { handle, first, last: Box::default(), least: Seq::MAX, greatest: Seq::ZERO, entries: 0 };
    let mut before: Option<(Vec<u8>, Seq)> = None;
    while cursor.valid() {
        let (key, seq) = (cursor.key(), cursor.trailer().seq());
        if before.as_ref().is_some_and(|(last, at)| version_order((last, *at), (key, seq)).is_ge()) {
            return Err(block.origin().corrupt("entries out of order").coded(FaultCode::Order));
        }
        piece.least = piece.least.min(seq);
        piece.greatest = piece.greatest.max(seq);
        piece.entries += 1;
        let (last, at) = before.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        *at = seq;
        cursor.next()?;
    }
    piece.last = before.map(|(last, _)| last.into()).unwrap_or_default();
    Ok(piece)
}

/// Bytes read at a time; an unreadable place takes as much with it.
const READ_BYTES: usize = 4 << 10;

/// The first `len` bytes of a file, with zeros for what cannot be read, which never verify; and the first reason. No
/// bytes if they do not fit into memory.
fn read_what_can_be_read(file: &dyn File, path: &Path, len: u64) -> (Vec<u8>, Option<Error>) {
    let mut bytes = match zeros(path, usize::try_from(len).unwrap_or(usize::MAX)) {
        Ok(bytes) => bytes,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut failure = None;
    if tolerate(file.read_at(0, &mut bytes)).is_some_and(|read| read == bytes.len()) {
        return (bytes, None);
    }
    for (index, chunk) in bytes.chunks_mut(READ_BYTES).enumerate() {
        let offset = (index * READ_BYTES) as u64;
        if let Err(error) = read_exact(file, path, offset, chunk) {
            chunk.fill(0);
            failure.get_or_insert(error);
        }
    }
    (bytes, failure)
}
