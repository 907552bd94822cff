//! What a store holds, read without a change to anything.
//!
//! Opening begins with it: [`Found`] is what manifest and tables say. Recovery goes on from there and begins to write;
//! before that, a [`Preview`] also reads the log, into memory, and shows the newest state to whoever has to decide whether the
//! store may be opened at all. `verify` shows it the state of a store that stays closed.

use std::sync::Arc;

use super::inner::Current;
use super::read::{Cursor, cursor_over, lookup};
use super::replayed::Replayed;
use crate::batch::OpKind;
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::files::StorePaths;
use crate::fs::Fs;
use crate::iter::View;
use crate::listing::Listing;
use crate::manifest::{Loaded, StoreState, Version, arrangement_faults, load};
use crate::marks::{Mark, hit};
use crate::memtable::Memtable;
use crate::range::{Direction, KeyRange};
use crate::table::{Table, TableMeta};
use crate::timeline::Stamp;
use crate::types::{FileNumber, ReadTier, Seq, StoreId};
use crate::value::Value;
use crate::wal::{Nowhere, Replay, ReplayEnd, replay_segments};

/// What manifest and tables say, and which segments hold the log.
pub(crate) struct Found {
    pub(super) loaded: Loaded,
    pub(super) segments: Vec<FileNumber>,
    /// The tables of the state, opened.
    pub(super) version: Arc<Version>,
}

impl Found {
    /// Reads the manifest of a store that has a `CURRENT`, and opens its tables, so that a damaged one, or one in a format
    /// that is not known, stops everything else.
    pub(crate) fn read(
        fs: &dyn Fs,
        paths: &StorePaths,
        listing: &Listing,
        cache: &Arc<BlockCache>,
    ) -> Result<Self> {
        let loaded = load(fs, paths)?;
        let state = &loaded.state;
        let segments: Vec<FileNumber> = listing.segments.range(state.log_number..).copied().collect();
        if segments.first() != Some(&state.log_number) {
            hit(Mark::SegmentMissing);
            let what = "the log segment that the manifest names is missing";
            return Err(Error::corrupt(&paths.wal(state.log_number), 0, what).coded(FaultCode::Missing));
        }
        check_tables(paths, listing, state, loaded.number)?;
        let named = state.tables.values().map(|(level, meta)| (*level, meta));
        let version = Arc::new(Version::new(open_tables(fs, paths, loaded.store, cache, named)?));
        Ok(Self { loaded, segments, version })
    }
}

/// Opens tables as they are described.
pub(super) fn open_tables<'a>(
    fs: &dyn Fs,
    paths: &StorePaths,
    store: StoreId,
    cache: &Arc<BlockCache>,
    tables: impl IntoIterator<Item = (usize, &'a TableMeta)>,
) -> Result<Vec<(usize, Arc<Table>)>> {
    let open = |(level, meta): (usize, &TableMeta)| {
        let table = Table::open(fs, paths.table(meta.number), store, meta.clone(), Arc::clone(cache))?;
        Ok((level, Arc::new(table)))
    };
    tables.into_iter().map(open).collect()
}

/// A missing table is reported by name before anything else is tried, and so are tables that cannot be together.
fn check_tables(
    paths: &StorePaths,
    listing: &Listing,
    state: &StoreState,
    manifest: FileNumber,
) -> Result<()> {
    if let Some(&missing) = state.tables.keys().find(|number| !listing.tables.contains(number)) {
        hit(Mark::TableMissing);
        let what = "a table that the manifest names is missing";
        return Err(Error::corrupt(&paths.table(missing), 0, what).coded(FaultCode::Missing));
    }
    let tables = state.tables.values().map(|(level, meta)| (*level, meta));
    match arrangement_faults(tables, state.last_seq).into_iter().next() {
        Some(fault) => Err(Error::corrupt(&paths.manifest(manifest), 0, fault.found).coded(fault.code)),
        None => Ok(()),
    }
}

/// The newest state of a store that is not open, or not yet: what its tables and its log hold, of some keys or of all.
pub struct Preview {
    current: Current,
    last: Seq,
}

impl Preview {
    /// Reads the log as far as it concerns `keys`; what it says of them is then in memory. Of other keys only the tables tell.
    pub(crate) fn read(fs: &dyn Fs, paths: &StorePaths, found: &Found, keys: &KeyRange) -> Result<Self> {
        Self::read_for(fs, paths, found, keys, &mut Nowhere).map(|(preview, _)| preview)
    }

    /// As [`Preview::read`], and tells all of the log to `whole`, which must not change anything.
    pub(super) fn read_for(
        fs: &dyn Fs,
        paths: &StorePaths,
        found: &Found,
        keys: &KeyRange,
        whole: &mut dyn Replay,
    ) -> Result<(Self, ReplayEnd)> {
        let Loaded { store, state, .. } = &found.loaded;
        let mut log = LogOf { keys, replayed: Replayed::default(), whole };
        let end = replay_segments(fs, paths, *store, &found.segments, state.last_seq, &mut log)?;
        let active = Arc::new(Memtable::new(FileNumber(0)));
        log.replayed.apply_to(&active);
        let (version, floors) = (Arc::clone(&found.version), Arc::new(state.floors.clone()));
        let current = Current { active, sealed: Vec::new(), version, floors };
        Ok((Self { current, last: end.last_seq }, end))
    }

    /// The newest sequence.
    pub fn sequence(&self) -> Seq {
        self.last
    }

    /// The newest value of `key`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(lookup(&self.current, key, self.last, ReadTier::Disk)?.map(|(_, value)| value))
    }

    /// A walk over the newest records of `range`, upwards.
    pub fn cursor(&self, range: KeyRange) -> Cursor {
        // All versions: recovery goes on with these tables, and if it has to read the log again, what it reads may differ from
        // what was read here. So they may learn nothing from this.
        let view = View::All(ReadTier::Disk);
        cursor_over(&self.current, range, self.last, Direction::Forward, view)
    }
}

/// Takes from the log what it says of some keys, and passes all of it on.
struct LogOf<'a> {
    keys: &'a KeyRange,
    replayed: Replayed,
    whole: &'a mut dyn Replay,
}

impl Replay for LogOf<'_> {
    fn time(&mut self, seq: Seq, stamp: Stamp) {
        self.whole.time(seq, stamp);
    }

    fn op(&mut self, seq: Seq, kind: OpKind, key: &[u8], value: &[u8]) {
        // The value of the deletion of a range is its end; it may begin before the keys.
        let concerns = self.keys.contains(key)
            || kind == OpKind::DeleteRange && key < &self.keys.start[..] && value > &self.keys.start[..];
        if concerns {
            self.replayed.push(kind, key, seq, value);
        }
        self.whole.op(seq, kind, key, value);
    }

    fn commit(&mut self, seq: Seq) -> Result<()> {
        self.whole.commit(seq)
    }
}
