//! Storage in a map. Nothing survives the process; it is for tests, and simple enough to be believed when it and
//! local storage disagree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use fountain_lsm::{
    Direction, Durability, Error as StorageError, KeyRange, Metrics, RangeEstimate, ReadTier, RecoveryReport,
    Retention, Seq, SeqRange,
};

use super::{Batch, KvCursor, KvPin, KvValue, KvVersions, OrderedKv};
use crate::error::{Error, Result};
use crate::sync::lock;

/// All versions of one key; `None` is a delete.
type Versions = BTreeMap<Seq, Option<Arc<[u8]>>>;

/// A store in memory.
#[derive(Default)]
pub struct MemoryKv {
    state: Arc<Mutex<State>>,
    report: RecoveryReport,
}

#[derive(Clone, Default)]
struct State {
    keys: BTreeMap<Vec<u8>, Versions>,
    visible: Seq,
    /// Which versions are kept; of rules over one key the last counts.
    rules: Vec<(KeyRange, Retention)>,
    /// The floors of keys with old versions that were dropped.
    floors: BTreeMap<Vec<u8>, Seq>,
    pinned: BTreeMap<Seq, Pinned>,
    closed: bool,
    poisoned: Option<String>,
}

/// The pins of a sequence.
#[derive(Clone)]
struct Pinned {
    count: usize,
    /// The keys of which something that was to be seen there had been dropped before the first of them.
    lacks: Vec<Vec<u8>>,
}

impl MemoryKv {
    /// A store with the same data, as if this one had been closed and opened again. Pins stay behind.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let kept = lock(&self.state).clone();
        let (pinned, rules) = (BTreeMap::new(), Vec::new());
        let state = State { pinned, rules, closed: false, poisoned: None, ..kept };
        Self { state: Arc::new(Mutex::new(state)), ..Self::default() }
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        if state.closed { Err(Error::closed()) } else { Ok(state) }
    }

    fn writable_state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.open_state()?;
        match &state.poisoned {
            Some(cause) => Err(StorageError::Poisoned { cause: cause.clone() }.into()),
            None => Ok(state),
        }
    }
}

impl State {
    /// Whether the keys of a range can be read at a sequence.
    fn check_readable(&self, range: &KeyRange, at: Seq) -> Result<()> {
        if at > self.visible {
            return Err(StorageError::FutureSequence { requested: at, newest: self.visible }.into());
        }
        let is_held =
            self.pinned.get(&at).is_some_and(|pin| !pin.lacks.iter().any(|key| range.contains(key)));
        if is_held { Ok(()) } else { self.check_floor(range, at) }
    }

    fn check_floor(&self, range: &KeyRange, at: Seq) -> Result<()> {
        let floors = self.floors.iter().filter(|(key, _)| range.contains(key));
        let floor = floors.map(|(_, floor)| *floor).max().unwrap_or_default();
        if at < floor {
            return Err(StorageError::HistoryTruncated { requested: at, floor }.into());
        }
        Ok(())
    }

    /// Adds a pin of a sequence, which has to be dropped again.
    fn pin(&mut self, seq: Seq) {
        let floors = &self.floors;
        let lacks = || floors.iter().filter(|(_, floor)| **floor > seq).map(|(key, _)| key.clone()).collect();
        self.pinned.entry(seq).or_insert_with(|| Pinned { count: 0, lacks: lacks() }).count += 1;
    }

    /// The versions of keys in `range` that commits after the first sequence and up to the second made, from new to old.
    fn versions_between(&self, range: &KeyRange, after: Seq, upto: Seq) -> Vec<OneVersion> {
        let keys = self.keys.iter().filter(|(key, _)| range.contains(key));
        let versions = keys.flat_map(|(key, versions)| {
            let made = versions.iter().rev().filter(|&(&seq, _)| seq > after && seq <= upto);
            made.map(|(&seq, value)| (key.clone(), seq, value.clone()))
        });
        versions.collect()
    }

    /// Keeps, of every key, the versions that its rule, the pinned sequences and the newest one need.
    fn drop_old_versions(&mut self) {
        for (key, versions) in &mut self.keys {
            let rule = self.rules.iter().rev().find(|(range, _)| range.contains(key));
            let (floor, newest) = match rule.map_or(Retention::Unbounded, |(_, retention)| *retention) {
                // It has no clock, so nothing is ever too old.
                Retention::Unbounded | Retention::MaxAge(_) => continue,
                Retention::LatestOnly => (self.visible, 0),
                Retention::Versions(count) => (self.visible, count.get() as usize),
                Retention::Since(seq) => (seq.min(self.visible), 0),
            };
            let mut needed: Vec<Seq> = self.pinned.keys().copied().filter(|&at| at < floor).collect();
            needed.push(floor);
            let mut kept: Versions = needed
                .iter()
                .filter_map(|&at| version_at(versions, at))
                .map(|(seq, value)| (seq, value.clone()))
                .collect();
            let last = versions.iter().rev().take(newest);
            kept.extend(last.map(|(&seq, value)| (seq, value.clone())));
            kept.extend(versions.range(floor..).map(|(&seq, value)| (seq, value.clone())));
            *versions = kept;
            let own = self.floors.entry(key.clone()).or_default();
            *own = floor.max(*own);
        }
    }
}

/// The range of one key.
fn one(key: &[u8]) -> KeyRange {
    KeyRange { start: key.to_vec(), end: Some([key, &[0]].concat()) }
}

fn version_at(versions: &Versions, at: Seq) -> Option<(Seq, &Option<Arc<[u8]>>)> {
    versions.range(..=at).next_back().map(|(&seq, value)| (seq, value))
}

impl OrderedKv for MemoryKv {
    fn commit_many(&self, batches: &[Batch], _durability: Durability) -> Result<SeqRange> {
        let mut state = self.writable_state()?;
        let (first, last) = (state.visible.checked_add(1), state.visible.checked_add(batches.len() as u64));
        let (Some(first), Some(last), false) = (first, last, batches.is_empty()) else {
            return Err(Error::argument("there is nothing to commit, or no sequence left"));
        };
        for batch in batches {
            let seq = state.visible.checked_add(1).unwrap_or(last);
            for range in batch.ranges() {
                let in_range = state.keys.iter_mut().filter(|(key, _)| range.contains(key));
                in_range.for_each(|(_, versions)| drop(versions.insert(seq, None)));
            }
            for (key, value) in batch.ops() {
                state.keys.entry(key.to_vec()).or_default().insert(seq, value.map(Arc::from));
            }
            state.visible = seq;
        }
        Ok(SeqRange { first, last })
    }

    fn get(&self, key: &[u8], at: Option<Seq>, tier: ReadTier) -> Result<Option<KvValue>> {
        Ok(self.get_with_seq(key, at, tier)?.map(|(_, value)| value))
    }

    fn get_with_seq(&self, key: &[u8], at: Option<Seq>, _tier: ReadTier) -> Result<Option<(Seq, KvValue)>> {
        let state = self.open_state()?;
        let at = at.unwrap_or(state.visible);
        state.check_readable(&one(key), at)?;
        let version = state.keys.get(key).and_then(|versions| version_at(versions, at));
        Ok(version.and_then(|(seq, value)| Some((seq, KvValue::Shared(value.clone()?)))))
    }

    fn get_many(&self, keys: &[Vec<u8>], at: Option<Seq>, _tier: ReadTier) -> Result<Vec<Option<KvValue>>> {
        let state = self.open_state()?;
        let at = at.unwrap_or(state.visible);
        for key in keys {
            state.check_readable(&one(key), at)?;
        }
        let value = |key: &Vec<u8>| version_at(state.keys.get(key)?, at)?.1.clone().map(KvValue::Shared);
        Ok(keys.iter().map(value).collect())
    }

    fn cursor(
        &self,
        range: KeyRange,
        at: Seq,
        direction: Direction,
        _tier: ReadTier,
    ) -> Result<Box<dyn KvCursor>> {
        let state = self.open_state()?;
        state.check_readable(&range, at)?;
        let in_range = state.keys.iter().filter(|(key, _)| range.contains(key));
        let mut records: Vec<(Vec<u8>, Arc<[u8]>)> = in_range
            .filter_map(|(key, versions)| Some((key.clone(), version_at(versions, at)?.1.clone()?)))
            .collect();
        if direction == Direction::Reverse {
            records.reverse();
        }
        Ok(Box::new(MemoryCursor { records, passed: 0 }))
    }

    fn versions(&self, key: &[u8], at: Seq) -> Result<Box<dyn KvVersions>> {
        let state = self.open_state()?;
        if at > state.visible {
            return Err(StorageError::FutureSequence { requested: at, newest: state.visible }.into());
        }
        let versions = state.keys.get(key).into_iter().flat_map(|versions| versions.range(..=at).rev());
        let versions = versions.map(|(&seq, value)| (key.to_vec(), seq, value.clone())).collect();
        Ok(Box::new(MemoryVersions { versions, passed: 0 }))
    }

    fn changes(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>> {
        let state = self.open_state()?;
        for range in whole {
            state.check_readable(range, upto)?;
            state.check_floor(range, after.min(upto))?;
        }
        Ok(Box::new(MemoryVersions { versions: state.versions_between(&range, after, upto), passed: 0 }))
    }

    fn differences(
        &self,
        range: KeyRange,
        whole: &[KeyRange],
        after: Seq,
        upto: Seq,
    ) -> Result<Box<dyn KvVersions>> {
        let state = self.open_state()?;
        for range in whole {
            state.check_readable(range, upto)?;
            state.check_readable(range, after.min(upto))?;
        }
        let mut versions = state.versions_between(&range, after, upto);
        versions.dedup_by(|older, newest| older.0 == newest.0);
        Ok(Box::new(MemoryVersions { versions, passed: 0 }))
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes are guesses here")]
    fn estimate(&self, range: &KeyRange) -> Result<RangeEstimate> {
        let state = self.open_state()?;
        let mut found = RangeEstimate::default();
        for (key, versions) in state.keys.iter().filter(|(key, _)| range.contains(key)) {
            let newest = versions.values().next_back().and_then(Option::as_ref);
            found += RangeEstimate {
                records: f64::from(u8::from(newest.is_some())),
                keys: 1.0,
                bytes: (key.len() + newest.map_or(0, |value| value.len())) as f64,
            };
        }
        Ok(found)
    }

    /// It has no clock: now is all that is known.
    fn seq_at(&self, _millis: u64) -> Option<Seq> {
        Some(self.visible())
    }

    fn visible(&self) -> Seq {
        lock(&self.state).visible
    }

    fn pin(&self, at: Option<Seq>) -> Result<Box<dyn KvPin>> {
        let mut state = self.open_state()?;
        let seq = at.unwrap_or(state.visible);
        state.check_readable(&KeyRange::prefix(&[0; 4]), seq)?;
        state.pin(seq);
        Ok(Box::new(MemoryPin { seq, state: Arc::clone(&self.state) }))
    }

    fn pin_over(&self, range: &KeyRange, at: Seq) -> Result<Box<dyn KvPin>> {
        let mut state = self.open_state()?;
        state.check_readable(range, at)?;
        state.check_floor(range, at)?;
        state.pin(at);
        Ok(Box::new(MemoryPin { seq: at, state: Arc::clone(&self.state) }))
    }

    fn set_retention(&self, rules: &[(KeyRange, Retention)]) {
        lock(&self.state).rules.extend_from_slice(rules);
    }

    fn flush(&self) -> Result<()> {
        self.writable_state().map(drop)
    }

    fn compact(&self) -> Result<()> {
        self.writable_state().map(|mut state| state.drop_old_versions())
    }

    /// None takes long enough.
    fn stop_compacting(&self) {}

    fn poison(&self, cause: &str) {
        lock(&self.state).poisoned.get_or_insert_with(|| cause.to_owned());
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    fn identity(&self) -> [u8; 16] {
        // Nothing of it outlives the process, and all are alike in tests.
        [0; 16]
    }

    fn path(&self) -> &Path {
        Path::new("")
    }

    fn close(&self) -> Result<()> {
        lock(&self.state).closed = true;
        Ok(())
    }
}

/// The records of a range as they were when the cursor was made.
struct MemoryCursor {
    records: Vec<(Vec<u8>, Arc<[u8]>)>,
    /// Number of records moved to so far; the last of them is the current one.
    passed: usize,
}

impl MemoryCursor {
    fn current(&self) -> Option<&(Vec<u8>, Arc<[u8]>)> {
        self.records.get(self.passed.checked_sub(1)?)
    }
}

impl KvCursor for MemoryCursor {
    fn next(&mut self) -> Result<bool> {
        self.passed = self.records.len().min(self.passed) + 1;
        Ok(self.current().is_some())
    }

    fn key(&self) -> &[u8] {
        self.current().map_or(&[], |(key, _)| key)
    }

    fn value(&self) -> &[u8] {
        self.current().map_or(&[], |(_, value)| value)
    }
}

/// Key, sequence, and value or `None` for a delete.
type OneVersion = (Vec<u8>, Seq, Option<Arc<[u8]>>);

/// Versions as they were when the walk was begun.
struct MemoryVersions {
    versions: Vec<OneVersion>,
    /// Number of versions moved to so far; the last of them is the current one.
    passed: usize,
}

impl MemoryVersions {
    fn current(&self) -> Option<&OneVersion> {
        self.versions.get(self.passed.checked_sub(1)?)
    }
}

impl KvVersions for MemoryVersions {
    fn next(&mut self) -> Result<bool> {
        self.passed = self.versions.len().min(self.passed) + 1;
        Ok(self.current().is_some())
    }

    fn key(&self) -> &[u8] {
        self.current().map_or(&[], |(key, ..)| key)
    }

    fn seq(&self) -> Seq {
        self.current().map_or(Seq::ZERO, |(_, seq, _)| *seq)
    }

    fn value(&self) -> Option<&[u8]> {
        self.current().and_then(|(_, _, value)| value.as_deref())
    }
}

struct MemoryPin {
    seq: Seq,
    state: Arc<Mutex<State>>,
}

impl KvPin for MemoryPin {
    fn seq(&self) -> Seq {
        self.seq
    }
}

impl Drop for MemoryPin {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(pinned) = state.pinned.get_mut(&self.seq) {
            pinned.count -= 1;
            if pinned.count == 0 {
                state.pinned.remove(&self.seq);
            }
        }
    }
}
