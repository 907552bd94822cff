//! The times at which sequences were held by snapshots while they were the newest.
//!
//! All snapshots of one sequence go by the time of the first of them, as long as any of them is held: so a sequence shows one
//! state, and none of them changes when another is let go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fountain_lsm::Seq;

use super::Moment;
use crate::error::Result;
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
    /// Runs `take`, which pins a sequence and gives it, with the time if it is the newest. With a time, or with others that
    /// hold the sequence, its time is held from then on. Nobody else comes in between, so it does not matter who is first.
    pub fn hold<P>(
        self: &Arc<Self>,
        take: impl FnOnce() -> Result<(P, Seq, Option<Moment>)>,
    ) -> Result<(P, Option<Held>)> {
        let mut moments = lock(&self.0);
        let (pin, seq, now) = take()?;
        match (moments.get_mut(&seq), now) {
            (Some((count, _)), _) => *count += 1,
            (None, Some(now)) => drop(moments.insert(seq, (1, now))),
            (None, None) => return Ok((pin, None)),
        }
        Ok((pin, Some(Held { moments: Arc::clone(self), seq })))
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
        let hold = |now: Option<Moment>| moments.hold(|| Ok(((), seq, now))).unwrap().1;
        assert!(hold(None).is_none());
        let first = hold(Some(100.0));
        // One that comes when the sequence is the newest no more.
        let second = hold(None);
        assert!(second.is_some());
        assert_eq!((moments.of(seq), moments.of(Seq::ZERO)), (Some(100.0), None));
        drop(first);
        assert_eq!(moments.of(seq), Some(100.0));
        drop(second);
        assert_eq!(moments.of(seq), None);
        let _third = hold(Some(300.0));
        assert_eq!(moments.of(seq), Some(300.0));
    }
}
