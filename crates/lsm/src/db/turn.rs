//! Whose turn it is to change the levels: one compaction or bulk ingest at a time.
//!
//! A mutex, except that who waits for it can be told to give up: a compaction or ingest that a program asked for and that is
//! still waiting behind another one must end when the program closes the store, not when that one does.

use super::inner::locked;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, PoisonError};

/// See the module.
#[derive(Default)]
pub(super) struct Turn {
    taken: Mutex<bool>,
    changed: Condvar,
}

/// It is the holder's turn until this is dropped.
pub(super) struct Taken<'a>(&'a Turn);

impl Turn {
    /// Waits as long as it takes.
    pub(super) fn take(&self) -> Taken<'_> {
        let mut taken = locked(&self.taken);
        while *taken {
            taken = self.changed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        Taken(self)
    }

    /// `None` when `cancel` is set, which [`Turn::look_again`] tells those who wait.
    pub(super) fn take_unless(&self, cancel: &AtomicBool) -> Option<Taken<'_>> {
        let mut taken = locked(&self.taken);
        while !cancel.load(Ordering::Relaxed) {
            if !*taken {
                *taken = true;
                return Some(Taken(self));
            }
            taken = self.changed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Lets everybody who waits look whether they are to give up. Called after that was said.
    pub(super) fn look_again(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let _taken = locked(&self.taken);
        self.changed.notify_all();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *locked(&self.0.taken) = false;
        self.0.changed.notify_all();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_who_waits_gives_up_when_told_to() {
        let turn = Turn::default();
        for _ in 0..200 {
            let cancel = AtomicBool::new(false);
            let taken = turn.take();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| turn.take_unless(&cancel).is_none());
                cancel.store(true, Ordering::Relaxed);
                turn.look_again();
                assert!(waiting.join().unwrap());
                let next = scope.spawn(|| drop(turn.take()));
                let other = scope.spawn(|| turn.take_unless(&AtomicBool::new(false)).is_some());
                drop(taken);
                next.join().unwrap();
                assert!(other.join().unwrap());
            });
            assert!(turn.take_unless(&cancel).is_none(), "not even when nobody has it");
        }
    }
}
