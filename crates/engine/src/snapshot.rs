//! A moment of the store that stays readable.

use std::fmt;

use fountain_lsm::Seq;

use crate::kv::KvPin;

/// Keeps everything that was visible at its sequence readable until it is dropped: pass [`Snapshot::sequence`] as
/// `at` to reads and scans. It does not keep the store open.
pub struct Snapshot(Box<dyn KvPin>);

impl Snapshot {
    pub(crate) fn new(pin: Box<dyn KvPin>) -> Self {
        Self(pin)
    }

    /// The sequence it holds.
    pub fn sequence(&self) -> Seq {
        self.0.seq()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({})", self.sequence())
    }
}
