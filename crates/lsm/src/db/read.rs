//! Reads: one consistent state, and no lock but that of a shard of the block cache while a block is looked up in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;

use super::changes::{Changes, Shown};
use super::inner::{Current, Inner};
use crate::error::{Error, Result};
use crate::iter::{LevelCursor, MergeCursor, Source, View, VisibleCursor};
use crate::latency::is_sampled;
use crate::limits::LEVELS;
use crate::manifest::Probe;
use crate::marks::{Mark, hit};
use crate::memtable::MemtableCursor;
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::range::{Direction, KeyRange};
use crate::retention::Floors;
use crate::table::{Table, key_hash};
use crate::tombstones::RangeTombstones;
use crate::types::{Kind, ReadTier, Seq, Trailer};
use crate::value::{Value, Version as Stored};

impl Inner {
    pub(super) fn get_newest(&self, key: &[u8], tier: ReadTier) -> Result<Option<Value>> {
        let _timer = self.counters.latencies.get.sample();
        self.check_open()?;
        // In this order: everything visible now was put into a memtable before, so it is found in a state taken
        // earlier, or the state is older than the commit and this read came before it.
        let current = self.current.load();
        let at = self.visible();
        Ok(lookup(&current, key, at, tier)?.map(|(_, value)| value))
    }

    pub(super) fn newest(&self) -> Result<Newest<'_>> {
        self.check_open()?;
        // In this order, as in `get_newest`.
        let current = self.current.load();
        let at = self.visible();
        Ok(Newest { inner: self, current, at })
    }

    pub(super) fn get_with_seq(
        &self,
        key: &[u8],
        at: Option<Seq>,
        tier: ReadTier,
    ) -> Result<Option<(Seq, Value)>> {
        let _timer = self.counters.latencies.get.sample();
        self.check_open()?;
        // In this order, as in `get_newest`.
        let current = self.current.load();
        let Some(at) = at else { return lookup(&current, key, self.visible(), tier) };
        self.check_not_future(at)?;
        self.check_kept(&current, at, |floors| floors.of(key))?;
        lookup(&current, key, at, tier)
    }

    pub(super) fn get(&self, key: &[u8], at: Seq, tier: ReadTier) -> Result<Option<Value>> {
        let _timer = self.counters.latencies.get.sample();
        self.check_open()?;
        self.check_not_future(at)?;
        let current = self.current.load();
        self.check_kept(&current, at, |floors| floors.of(key))?;
        Ok(lookup(&current, key, at, tier)?.map(|(_, value)| value))
    }

    pub(super) fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        at: Seq,
        tier: ReadTier,
    ) -> Result<Vec<Option<Value>>> {
        let _timer = self.counters.latencies.get_many.sample();
        self.check_open()?;
        self.check_not_future(at)?;
        let current = self.current.load();
        for key in keys {
            self.check_kept(&current, at, |floors| floors.of(key.as_ref()))?;
        }
        let mut found: Vec<Option<Value>> = keys.iter().map(|_| None).collect();
        let mut left = Vec::with_capacity(keys.len());
        for (place, key) in keys.iter().map(AsRef::as_ref).enumerate() {
            match lookup_in_memory(&current, key, at, owned) {
                InMemory::Record((_, value)) => found[place] = Some(value),
                InMemory::Deleted => {}
                InMemory::Unknown => {
                    left.push(Probe { key, hash: key_hash(key), place, possible: false, answered: false });
                }
            }
        }
        left.sort_unstable_by_key(|probe| probe.key);
        current.version.get_many(left, at, tier, &mut found)?;
        Ok(found)
    }

    pub(super) fn cursor(
        &self,
        range: KeyRange,
        at: Seq,
        direction: Direction,
        tier: ReadTier,
    ) -> Result<Cursor> {
        self.check_open()?;
        self.check_not_future(at)?;
        let current = self.current.load_full();
        self.check_kept(&current, at, |floors| floors.greatest_over(&range))?;
        let timed = is_sampled().then(|| Arc::clone(&self.counters));
        Ok(Cursor { timed, ..cursor_over(&current, range, at, direction, View::AsOf(at, tier)) })
    }

    pub(super) fn versions(&self, key: &[u8], at: Seq, tier: ReadTier) -> Result<Versions> {
        self.check_open()?;
        self.check_not_future(at)?;
        let current = self.current.load_full();
        let range = KeyRange { start: key.to_vec(), end: Some([key, &[0]].concat()) };
        let merge = MergeCursor::new(sources(&current, &range, View::All(tier)), Direction::Forward);
        let deletions = deleted_ranges(&current, &range).covering(key).iter().rev().copied().collect();
        let timed = is_sampled().then(|| Arc::clone(&self.counters));
        let (place, last_seq) = (Place::Before, Seq::MAX);
        Ok(Versions { merge, key: range.start, at, deletions, place, last_seq, timed })
    }

    /// What changed in `range`, of which `whole` must be complete.
    pub(super) fn changes(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        (after, upto): (Seq, Seq),
        tier: ReadTier,
    ) -> Result<Changes> {
        self.check_open()?;
        self.check_not_future(upto)?;
        let current = self.current.load_full();
        // From the floor on every version is kept. That `after` is pinned is not enough: of what came behind it, only
        // what is the newest at the floor or at another pin may be left.
        check_floor(floor_of(&current.floors, whole), after.min(upto))?;
        Ok(changes_in(&current, range, (after, upto), Shown::All, tier).timed_in(&self.counters))
    }

    /// What differs in `range`, of which `whole` must be kept at both ends.
    pub(super) fn differences(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        (after, upto): (Seq, Seq),
        tier: ReadTier,
    ) -> Result<Changes> {
        self.check_open()?;
        self.check_not_future(upto)?;
        let current = self.current.load_full();
        for at in [after.min(upto), upto] {
            self.check_kept(&current, at, |floors| floor_of(floors, whole))?;
        }
        Ok(changes_in(&current, range, (after, upto), Shown::Newest, tier).timed_in(&self.counters))
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closing.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    fn check_not_future(&self, at: Seq) -> Result<()> {
        let newest = self.visible();
        if at > newest { Err(Error::FutureSequence { requested: at, newest }) } else { Ok(()) }
    }

    /// Below the floor of what is read, only sequences pinned in time are complete.
    fn check_kept(&self, current: &Current, at: Seq, floor_of: impl Fn(&Floors) -> Seq) -> Result<()> {
        let floor = floor_of(&current.floors);
        if at < floor && self.snapshots.keeps(at, floor_of) { Ok(()) } else { check_floor(floor, at) }
    }
}

/// The greatest floor of a key in one of these ranges.
fn floor_of(floors: &Floors, ranges: &[KeyRange]) -> Seq {
    ranges.iter().map(|range| floors.greatest_over(range)).max().unwrap_or_default()
}

/// From the floor on everything is complete.
fn check_floor(floor: Seq, at: Seq) -> Result<()> {
    if at >= floor || planted::active(Bug::FloorNotChecked) {
        return Ok(());
    }
    hit(Mark::HistoryTruncated);
    Err(Error::HistoryTruncated { requested: at, floor })
}

/// The state that was the newest when this was made. It pins memtables and tables, not the sequence: nothing of the state
/// goes while this lives, but it should not live for long.
pub struct Newest<'a> {
    inner: &'a Inner,
    current: Guard<Arc<Current>>,
    at: Seq,
}

impl Newest<'_> {
    /// Gives `show` the value of `key`, without a copy; says whether there is anything. `show` is called at most once, and must
    /// neither read from this store nor take long: locks are held meanwhile.
    ///
    /// # Errors
    /// As [`super::Db::get_newest`].
    pub fn show(&self, key: &[u8], tier: ReadTier, show: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let _timer = self.inner.counters.latencies.get.sample();
        match lookup_in_memory(&self.current, key, self.at, |_, value| show(value)) {
            InMemory::Record(()) => return Ok(true),
            InMemory::Deleted => return Ok(false),
            InMemory::Unknown => {}
        }
        let (version, hash) = (&self.current.version, key_hash(key));
        if version.show_row(key, hash, self.at, |_, value| show(value)).is_some() {
            return Ok(true);
        }
        let Some((_, Stored::Put(value))) = version.get(key, hash, self.at, tier)? else { return Ok(false) };
        show(&value);
        Ok(true)
    }
}

/// What the memtables know of a key.
enum InMemory<T> {
    /// What was made of a record.
    Record(T),
    Deleted,
    Unknown,
}

/// Looks from the newest memtable to the oldest: what one holds of a key is newer than what the next does, and so is a
/// range deleted in it.
fn lookup_in_memory<T>(
    current: &Current,
    key: &[u8],
    at: Seq,
    make: impl FnOnce(Seq, &[u8]) -> T,
) -> InMemory<T> {
    for memtable in [&current.active].into_iter().chain(&current.sealed) {
        let deleted = memtable.range_deleted(key, at);
        match memtable.get(key, at) {
            Some(found) if found.seq >= deleted => {
                return found
                    .value
                    .map_or(InMemory::Deleted, |value| InMemory::Record(make(found.seq, value)));
            }
            None if deleted == Seq::ZERO => {}
            _ => return InMemory::Deleted,
        }
    }
    InMemory::Unknown
}

fn owned(seq: Seq, value: &[u8]) -> (Seq, Value) {
    (seq, Value::owned(value.into()))
}

/// The newest version of `key` at or before `at` and its sequence, if it is a record.
pub(super) fn lookup(current: &Current, key: &[u8], at: Seq, tier: ReadTier) -> Result<Option<(Seq, Value)>> {
    match lookup_in_memory(current, key, at, owned) {
        InMemory::Record(found) => return Ok(Some(found)),
        InMemory::Deleted => return Ok(None),
        InMemory::Unknown => {}
    }
    Ok(match current.version.get(key, key_hash(key), at, tier)? {
        Some((seq, Stored::Put(value))) => Some((seq, value)),
        Some((_, Stored::Delete)) | None => None,
    })
}

/// A walk over the records of `range` at a sequence that is kept; `view` says what the tables may leave out.
pub(super) fn cursor_over(
    current: &Current,
    range: KeyRange,
    at: Seq,
    direction: Direction,
    view: View,
) -> Cursor {
    let deleted = deleted_ranges(current, &range);
    let merge = MergeCursor::new(sources(current, &range, view), direction);
    Cursor { visible: VisibleCursor::new(merge, deleted, range, at, direction), timed: None }
}

/// The versions in `range` that commits after the first sequence and up to the second made.
fn changes_in(
    current: &Current,
    range: KeyRange,
    between: (Seq, Seq),
    shown: Shown,
    tier: ReadTier,
) -> Changes {
    let view = View::Between(between.0, between.1, tier);
    let merge = MergeCursor::new(sources(current, &range, view), Direction::Forward);
    Changes::new(merge, range, between, shown)
}

/// Everything that deletes ranges with keys of `range`.
fn deleted_ranges(current: &Current, range: &KeyRange) -> RangeTombstones {
    let memtables = [&current.active].into_iter().chain(&current.sealed);
    let of_memtables: Vec<_> = memtables.map(|memtable| memtable.tombstones()).collect();
    let of_tables = current.version.tombstones_over(range).map(|deleted| deleted.over(range));
    RangeTombstones::union_of(of_memtables.iter().flat_map(|deleted| deleted.over(range)).chain(of_tables))
}

/// Everything that may hold what a view shows of `range`. Range deletions of tables that are left out count all the
/// same: they are collected by [`deleted_ranges`].
fn sources(current: &Current, range: &KeyRange, view: View) -> Vec<Source> {
    let memtables = [&current.active].into_iter().chain(&current.sealed);
    let mut sources: Vec<Source> =
        memtables.map(|memtable| Source::Memtable(MemtableCursor::new(Arc::clone(memtable)))).collect();
    let may_hold = |table: &Table| {
        let (smallest, largest) = (&*table.meta().smallest, &*table.meta().largest);
        range.end.as_ref().is_none_or(|end| smallest < end.as_slice())
            && largest >= range.start.as_slice()
            && view.shows_some_of(table.meta())
            && table.may_hold_keys_of(range)
    };
    for table in current.version.level(0) {
        if may_hold(table) {
            sources.push(Source::Table(view.of(table)));
        }
    }
    let range = Arc::new(range.clone());
    let levels = (1..LEVELS).map(|level| current.version.shared_level(level));
    sources.extend(levels.filter_map(|tables| LevelCursor::over(tables, &range, view)).map(Source::Level));
    sources
}

/// A walk over records in key order, as of one commit. It pins memtables and the tables of all levels with keys of its range, not
/// the sequence: hold a [`crate::Snapshot`] to come back to the same state later.
pub struct Cursor {
    visible: VisibleCursor,
    /// Where to record how long the first step takes, if this cursor was chosen for that.
    timed: Option<Arc<Counters>>,
}

impl Cursor {
    /// Moves to the first or the next record in the direction; false at the end. After an error the walk is over.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`]; [`Error::WouldBlock`] when the tier forbids what is needed.
    #[expect(
        clippy::should_implement_trait,
        reason = "a step can fail and lends its record until the next one"
    )]
    pub fn next(&mut self) -> Result<bool> {
        let Some(counters) = self.timed.take() else { return self.visible.next() };
        let _timer = counters.latencies.seek.time();
        self.visible.next()
    }

    /// Key of the record at the position.
    pub fn key(&self) -> &[u8] {
        self.visible.key()
    }

    /// Value of the record at the position.
    pub fn value(&self) -> &[u8] {
        self.visible.value()
    }
}

/// The retained versions of one key, newest first, tombstones included. Which ones are retained is a matter of
/// [`crate::Retention`]; what lies below the history floor may have gaps.
pub struct Versions {
    merge: MergeCursor,
    key: Vec<u8>,
    at: Seq,
    /// Deletions of ranges with the key in them, ascending, that are not passed yet.
    deletions: Vec<Seq>,
    place: Place,
    /// Sequence of the last version shown.
    last_seq: Seq,
    /// Where to record how long the first step takes, if this walk was chosen for that.
    timed: Option<Arc<Counters>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    OnVersion,
    /// On the deletion of a range, between the last version and the one that the merge is at.
    OnDeletion(Seq),
}

impl Versions {
    /// Moves to the newest or the next older version; false at the end.
    ///
    /// # Errors
    /// As [`Cursor::next`].
    #[expect(
        clippy::should_implement_trait,
        reason = "a step can fail and lends its version until the next one"
    )]
    pub fn next(&mut self) -> Result<bool> {
        let Some(counters) = self.timed.take() else { return self.step() };
        let _timer = counters.latencies.versions.time();
        self.step()
    }

    fn step(&mut self) -> Result<bool> {
        match self.place {
            Place::Before => self.merge.seek(&self.key, Trailer::new(self.at, Kind::Delete))?,
            Place::OnVersion if self.is_on_key() => self.merge.advance()?,
            Place::OnVersion | Place::OnDeletion(_) => {}
        }
        if !self.is_on_key() {
            return Ok(false);
        }
        self.place = self.deletion_above(self.last_seq).map_or(Place::OnVersion, Place::OnDeletion);
        self.last_seq = self.seq();
        Ok(true)
    }

    /// The first deletion of a range after the version that the merge is at and before the `newer` one, if it has any
    /// effect: a later deletion deletes nothing more, and in one commit a version comes after the deletion.
    fn deletion_above(&mut self, newer: Seq) -> Option<Seq> {
        let version = self.merge.trailer();
        let mut first = None;
        while let Some(seq) = self.deletions.pop_if(|deletion| *deletion > version.seq()) {
            first = Some(seq).filter(|&seq| seq <= self.at && seq < newer).or(first);
        }
        first.filter(|_| version.kind() == Kind::Put)
    }

    /// Sequence of the version at the position.
    pub fn seq(&self) -> Seq {
        match self.place {
            Place::OnDeletion(seq) => seq,
            Place::Before | Place::OnVersion => self.merge.trailer().seq(),
        }
    }

    /// Value of the version at the position; `None` if it is a deletion.
    pub fn value(&self) -> Option<&[u8]> {
        let is_record = self.place == Place::OnVersion && self.merge.trailer().kind() == Kind::Put;
        is_record.then(|| self.merge.value())
    }

    fn is_on_key(&self) -> bool {
        self.merge.valid() && self.merge.key() == self.key
    }
}
