//! Which sequences readers have pinned, and from where on history can be read.
//!
//! What always holds: the versions that a complete pin sees are kept. A compaction announces its floors here *before*
//! it decides what to drop, under the same lock under which snapshots are taken, so there is no moment at which a new
//! snapshot could miss the decision. A pin protects the keys whose floor was not above it when it was taken; it is
//! *complete* if that was so for all keys, and else remembers the floors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::range::KeyRange;
use crate::retention::Floors;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::types::Seq;

/// The pinned sequences of one store.
#[derive(Default)]
pub(crate) struct SnapshotRegistry {
    state: Mutex<RegistryState>,
    on_release: OnceLock<Box<dyn Fn(Seq) + Send + Sync>>,
}

#[derive(Debug, Default)]
struct RegistryState {
    pinned: BTreeMap<Seq, Pin>,
    /// The floors that were announced; those of the tables follow them.
    floors: Floors,
}

/// The snapshots of one sequence.
#[derive(Debug)]
struct Pin {
    count: usize,
    /// When it was first pinned; it has been ever since.
    since: Instant,
    /// Whether a job has kept something, or left it alone, with regard to this pin.
    heeded: bool,
    /// The floors when it was first pinned, unless none was above it.
    above: Option<Floors>,
}

impl RegistryState {
    /// The pinned sequences, ascending, which a job is about to go by.
    fn heed(&mut self) -> Vec<Seq> {
        let heeded = |(seq, pin): (&Seq, &mut Pin)| {
            pin.heeded = true;
            *seq
        };
        self.pinned.iter_mut().map(heeded).collect()
    }
}

impl SnapshotRegistry {
    pub(crate) fn new(floors: Floors) -> Arc<Self> {
        let state = RegistryState { floors, ..RegistryState::default() };
        Arc::new(Self { state: Mutex::new(state), on_release: OnceLock::new() })
    }

    /// Pins what `newest` returns; it is called under the lock, so no floor can overtake it.
    pub(crate) fn pin_newest(self: &Arc<Self>, newest: impl FnOnce() -> Seq) -> Snapshot {
        let mut state = self.lock();
        let seq = newest();
        self.add(&mut state, seq)
    }

    /// Pins `seq` if anything can still be read at it.
    pub(crate) fn pin(self: &Arc<Self>, seq: Seq, newest: Seq) -> Result<Snapshot> {
        let mut state = self.lock();
        if seq > newest {
            return Err(Error::FutureSequence { requested: seq, newest });
        }
        let floor = state.floors.least();
        if seq < floor && !state.pinned.contains_key(&seq) {
            return Err(Error::HistoryTruncated { requested: seq, floor });
        }
        if seq < floor {
            hit(Mark::PinnedBelowFloor);
        }
        Ok(self.add(&mut state, seq))
    }

    /// Pins `seq` if of the keys in `range` everything from there on is kept, by the floors that were announced. Those of
    /// the tables may still be lower, by a flush or a compaction that is about to raise them and knows nothing of this pin.
    pub(crate) fn pin_over(self: &Arc<Self>, range: &KeyRange, seq: Seq, newest: Seq) -> Result<Snapshot> {
        let mut state = self.lock();
        if seq > newest {
            return Err(Error::FutureSequence { requested: seq, newest });
        }
        let floor = state.floors.greatest_over(range);
        if seq < floor {
            return Err(Error::HistoryTruncated { requested: seq, floor });
        }
        Ok(self.add(&mut state, seq))
    }

    fn add(self: &Arc<Self>, state: &mut RegistryState, seq: Seq) -> Snapshot {
        let RegistryState { pinned, floors } = &mut *state;
        let above = || (seq < floors.greatest()).then(|| floors.clone());
        let new = || Pin { count: 0, since: Instant::now(), heeded: false, above: above() };
        pinned.entry(seq).or_insert_with(new).count += 1;
        Snapshot { seq, registry: Arc::clone(self) }
    }

    /// Whether some snapshot keeps what was visible at exactly this sequence of the keys whose floor `floor` looks up.
    pub(crate) fn keeps(&self, seq: Seq, floor: impl Fn(&Floors) -> Seq) -> bool {
        let state = self.lock();
        state.pinned.get(&seq).is_some_and(|pin| pin.above.as_ref().is_none_or(|above| seq >= floor(above)))
    }

    /// The oldest sequence at which anything can be newly pinned.
    pub(crate) fn floor(&self) -> Seq {
        self.lock().floors.least()
    }

    /// Announces floors, given by `raise` for what `newest` returns, and gives back that and the sequences that were
    /// pinned at that moment, ascending.
    pub(crate) fn announce(
        &self,
        newest: impl FnOnce() -> Seq,
        raise: impl FnOnce(&mut Floors, Seq),
    ) -> (Seq, Vec<Seq>) {
        let mut state = self.lock();
        let newest = newest();
        raise(&mut state.floors, newest);
        (newest, state.heed())
    }

    /// Runs `change` at a moment at which no floors are being announced.
    pub(crate) fn between_announcements(&self, change: impl FnOnce()) {
        let _state = self.lock();
        change();
    }

    /// The pinned sequences now, ascending, for a job that decides by them what to do.
    pub(crate) fn pinned(&self) -> Vec<Seq> {
        self.lock().heed()
    }

    /// Lets `wake` be called, without the lock, with a sequence that was let go of entirely and that a job has heeded: what
    /// was kept only for it is garbage now. Most reads pin a sequence for so short a time that no job ever meets it, and
    /// waking one is a system call. The first call counts.
    pub(crate) fn on_release(&self, wake: impl Fn(Seq) + Send + Sync + 'static) {
        let _ = self.on_release.set(Box::new(wake));
    }

    /// Number of open snapshots.
    pub(crate) fn open(&self) -> usize {
        self.lock().pinned.values().map(|pin| pin.count).sum()
    }

    /// For how long the sequence has been pinned that has been so for the longest.
    pub(crate) fn longest(&self) -> Option<Duration> {
        self.lock().pinned.values().map(|pin| pin.since.elapsed()).max()
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pinned sequence: as long as this lives, everything that was visible at the sequence stays readable at it.
pub struct Snapshot {
    seq: Seq,
    registry: Arc<SnapshotRegistry>,
}

impl Snapshot {
    /// The pinned sequence.
    pub fn seq(&self) -> Seq {
        self.seq
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({})", self.seq)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Some(pin) = state.pinned.get_mut(&self.seq) {
            pin.count = if planted::active(Bug::PinReleasedTwice) { 0 } else { pin.count - 1 };
            if pin.count == 0 {
                let heeded = state.pinned.remove(&self.seq).is_some_and(|pin| pin.heeded);
                drop(state);
                if let Some(on_release) = self.registry.on_release.get().filter(|_| heeded) {
                    on_release(self.seq);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn announce(registry: &SnapshotRegistry, range: &KeyRange, newest: u64) -> Vec<Seq> {
        registry.announce(|| seq(newest), |floors, newest| floors.raise(range, newest)).1
    }

    #[test]
    fn two_snapshots_of_one_sequence_are_counted_and_the_last_release_is_told() {
        let registry = SnapshotRegistry::new(Floors::default());
        assert_eq!(registry.longest(), None);
        let woken = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&woken);
        registry.on_release(move |released| {
            assert_eq!(released, seq(5));
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let first = registry.pin(seq(5), seq(9)).unwrap();
        let begun = Instant::now();
        let second = registry.pin(seq(5), seq(9)).unwrap();
        drop(first);
        // It counts from the first one on.
        let since = begun.elapsed();
        assert!(registry.longest().is_some_and(|longest| longest >= since));
        assert_eq!(announce(&registry, &KeyRange::default(), 9), [seq(5)]);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(announce(&registry, &KeyRange::default(), 9), []);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_release_of_a_snapshot_that_no_job_has_met_wakes_nobody() {
        let registry = SnapshotRegistry::new(Floors::default());
        let woken = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&woken);
        registry.on_release(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        announce(&registry, &KeyRange::default(), 3);
        drop(registry.pin(seq(5), seq(9)).unwrap());
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        let met = registry.pin(seq(5), seq(9)).unwrap();
        assert_eq!(registry.pinned(), [seq(5)]);
        drop(met);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        drop(registry.pin(seq(5), seq(9)).unwrap());
        assert_eq!(woken.load(Ordering::Relaxed), 1, "it is another pin of the same sequence");
    }

    #[test]
    fn below_every_floor_only_a_sequence_that_is_already_pinned_can_be_pinned_again() {
        let registry = SnapshotRegistry::new(Floors::default());
        let _held = registry.pin(seq(5), seq(9)).unwrap();
        announce(&registry, &KeyRange::default(), 9);
        let _again = registry.pin(seq(5), seq(9)).unwrap();
        assert!(registry.keeps(seq(5), Floors::greatest));
        let error = registry.pin(seq(6), seq(9)).unwrap_err();
        assert!(matches!(error, Error::HistoryTruncated { floor, .. } if floor == seq(9)));
    }

    #[test]
    fn a_pin_taken_below_the_floor_of_some_keys_keeps_the_others_whatever_their_floor_becomes() {
        let registry = SnapshotRegistry::new(Floors::default());
        announce(&registry, &KeyRange { start: b"m".to_vec(), end: None }, 9);
        let _pin = registry.pin(seq(6), seq(9)).unwrap();
        assert_eq!(announce(&registry, &KeyRange::default(), 12), [seq(6)]);
        let keeps = |key: &[u8]| registry.keeps(seq(6), |floors| floors.of(key));
        assert!(keeps(b"a") && !keeps(b"m") && !registry.keeps(seq(6), Floors::greatest));
    }

    #[test]
    fn a_pin_over_a_range_goes_by_the_announced_floors_of_that_range_alone() {
        let registry = SnapshotRegistry::new(Floors::default());
        let (low, high) = (KeyRange { start: Vec::new(), end: Some(b"m".to_vec()) }, KeyRange::prefix(b"m"));
        let _before = registry.pin(seq(6), seq(9)).unwrap();
        announce(&registry, &high, 9);
        let error = registry.pin_over(&high, seq(6), seq(9)).unwrap_err();
        assert!(matches!(error, Error::HistoryTruncated { floor, .. } if floor == seq(9)));
        let held = registry.pin_over(&low, seq(7), seq(9)).unwrap();
        let _newest = registry.pin_over(&high, seq(9), seq(9)).unwrap();
        assert_eq!(announce(&registry, &KeyRange::default(), 12), [seq(6), held.seq(), seq(9)]);
        assert!(registry.keeps(seq(7), |floors| floors.greatest_over(&low)));
    }

    #[test]
    fn the_future_cannot_be_pinned() {
        let registry = SnapshotRegistry::new(Floors::default());
        let future = registry.pin_over(&KeyRange::default(), seq(10), seq(9));
        assert!(matches!(future, Err(Error::FutureSequence { .. })));
        assert!(matches!(registry.pin(seq(10), seq(9)), Err(Error::FutureSequence { .. })));
    }
}
