//! The times at which sequences were held by snapshots while they were the newest.
//!
//! All snapshots of one sequence go by the time of the first of them that is still held, so that a sequence shows one state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fountain_lsm::Seq;

use super::Moment;
use crate::sync::lock;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Moments(Mutex<BTreeMap<Seq, (usize, Moment)>>);

/// Keeps the time of a sequence.
#[derive(Debug)]
pub(crate) struct Held {
    moments: Arc<Moments>,
    seq: Seq,
}

impl Moments {
    /// Holds a sequence that is the newest now.
    pub fn hold(self: &Arc<Self>, seq: Seq, now: Moment) -> Held {
        lock(&self.0).entry(seq).or_insert((0, now)).0 += 1;
        Held { moments: Arc::clone(self), seq }
    }

    /// The time at which a sequence was first held, if it still is.
    pub fn of(&self, seq: Seq) -> Option<Moment> {
        lock(&self.0).get(&seq).map(|(_, moment)| *moment)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut moments = lock(&self.moments.0);
        if let Some((count, _)) = moments.get_mut(&self.seq) {
            *count -= 1;
            if *count == 0 {
                moments.remove(&self.seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_keeps_the_time_of_its_first_holder_until_the_last_is_gone() {
        let moments: Arc<Moments> = Arc::default();
        let seq = Seq::new(7).unwrap();
        let first = moments.hold(seq, 100.0);
        let second = moments.hold(seq, 200.0);
        assert_eq!((moments.of(seq), moments.of(Seq::ZERO)), (Some(100.0), None));
        drop(first);
        assert_eq!(moments.of(seq), Some(100.0));
        drop(second);
        assert_eq!(moments.of(seq), None);
        let _third = moments.hold(seq, 300.0);
        assert_eq!(moments.of(seq), Some(300.0));
    }
}
