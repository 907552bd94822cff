//! Which sequences readers have pinned, and from where on history can be read.
//!
//! What always holds: the versions that a pinned sequence sees are kept, and no sequence below the announced floor
//! can be newly pinned. A compaction announces its floor here *before* it decides what to drop, under the same lock
//! under which snapshots are taken, so there is no moment at which a new snapshot could miss the decision.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::types::Seq;

/// The pinned sequences of one store, with the number of snapshots on each.
#[derive(Debug, Default)]
pub(crate) struct SnapshotRegistry {
    state: Mutex<RegistryState>,
}

#[derive(Debug, Default)]
struct RegistryState {
    pinned: BTreeMap<Seq, usize>,
    floor: Seq,
}

impl SnapshotRegistry {
    pub(crate) fn new(floor: Seq) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(RegistryState { pinned: BTreeMap::new(), floor }) })
    }

    /// Pins what `newest` returns; it is called under the lock, so no floor can overtake it.
    pub(crate) fn pin_newest(self: &Arc<Self>, newest: impl FnOnce() -> Seq) -> Snapshot {
        let mut state = self.lock();
        let seq = newest();
        *state.pinned.entry(seq).or_default() += 1;
        Snapshot { seq, registry: Arc::clone(self) }
    }

    /// Pins `seq` if it can still be read exactly.
    pub(crate) fn pin(self: &Arc<Self>, seq: Seq, newest: Seq) -> Result<Snapshot> {
        let mut state = self.lock();
        if seq > newest {
            return Err(Error::FutureSequence { requested: seq, newest });
        }
        if seq < state.floor && !state.pinned.contains_key(&seq) {
            return Err(Error::HistoryTruncated { requested: seq, floor: state.floor });
        }
        *state.pinned.entry(seq).or_default() += 1;
        Ok(Snapshot { seq, registry: Arc::clone(self) })
    }

    /// Whether some snapshot holds exactly this sequence.
    pub(crate) fn is_pinned(&self, seq: Seq) -> bool {
        self.lock().pinned.contains_key(&seq)
    }

    /// The oldest sequence that can be newly pinned.
    pub(crate) fn floor(&self) -> Seq {
        self.lock().floor
    }

    /// Raises the floor to what `newest` returns and gives back the sequences that must stay readable, ascending:
    /// the pinned ones and the floor itself.
    pub(crate) fn announce_floor(&self, newest: impl FnOnce() -> Seq) -> Vec<Seq> {
        let mut state = self.lock();
        state.floor = state.floor.max(newest());
        let floor = state.floor;
        let mut needed: Vec<Seq> = state.pinned.range(..floor).map(|(&seq, _)| seq).collect();
        needed.push(floor);
        needed
    }

    /// Number of open snapshots.
    pub(crate) fn open(&self) -> usize {
        self.lock().pinned.values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pinned sequence: as long as this lives, everything that was visible at the sequence stays readable at it.
#[derive(Debug)]
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

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Some(count) = state.pinned.get_mut(&self.seq) {
            *count -= 1;
            if *count == 0 {
                state.pinned.remove(&self.seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    #[test]
    fn two_snapshots_of_one_sequence_are_counted() {
        let registry = SnapshotRegistry::new(Seq::ZERO);
        let first = registry.pin(seq(5), seq(9)).unwrap();
        let second = registry.pin(seq(5), seq(9)).unwrap();
        drop(first);
        assert_eq!(registry.announce_floor(|| seq(9)), [seq(5), seq(9)]);
        drop(second);
        assert_eq!(registry.announce_floor(|| seq(9)), [seq(9)]);
    }

    #[test]
    fn below_the_floor_only_a_sequence_that_is_already_pinned_can_be_pinned_again() {
        let registry = SnapshotRegistry::new(Seq::ZERO);
        let _held = registry.pin(seq(5), seq(9)).unwrap();
        registry.announce_floor(|| seq(9));
        assert!(registry.pin(seq(5), seq(9)).is_ok());
        let error = registry.pin(seq(6), seq(9)).unwrap_err();
        assert!(matches!(error, Error::HistoryTruncated { floor, .. } if floor == seq(9)));
    }

    #[test]
    fn the_future_cannot_be_pinned() {
        let registry = SnapshotRegistry::new(Seq::ZERO);
        assert!(matches!(registry.pin(seq(10), seq(9)), Err(Error::FutureSequence { .. })));
    }
}
