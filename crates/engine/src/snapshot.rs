//! A moment of the store that stays readable.

use std::fmt;

use fountain_lsm::{Seq, Timestamp};

use crate::expiry::Held;
use crate::kv::KvPin;
use crate::view::View;

/// Keeps everything that was visible at its sequence readable until it is dropped: pass [`Snapshot::sequence`] as
/// `at` to reads and scans. It does not keep the store open.
///
/// Taken of the newest state, it also keeps the time: what expires later is still seen at its sequence.
pub struct Snapshot {
    pin: Box<dyn KvPin>,
    /// The time that counts at its sequence, if it was the newest.
    _held: Option<Held>,
    /// The time that counts for one read alone.
    time: Option<Timestamp>,
}

impl Snapshot {
    pub(crate) fn new(pin: Box<dyn KvPin>, held: Option<Held>) -> Self {
        Self { pin, _held: held, time: None }
    }

    /// Of one read, which began at a time.
    pub(crate) fn of_read(pin: Box<dyn KvPin>, time: Timestamp) -> Self {
        Self { pin, _held: None, time: Some(time) }
    }

    /// What reads of it see.
    pub fn view(&self) -> View {
        self.time.map_or_else(|| View::At(self.sequence()), |time| View::Then(self.sequence(), time))
    }

    /// The sequence it holds.
    pub fn sequence(&self) -> Seq {
        self.pin.seq()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({})", self.sequence())
    }
}
