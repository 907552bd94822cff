//! Lets calls in while a store is open, and lets closing wait for those inside.
//!
//! Entering and leaving are one atomic addition each, so that a read never waits for anything here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::sync::{lock, wait_while};

const CLOSED: usize = 1;
const ONE_CALL: usize = 2;

/// Counts the calls inside. The lowest bit says that the gate is closed, the others are the count.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    emptied: Condvar,
    emptying: Mutex<()>,
}

/// A call inside the gate; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    /// Lets a call in, unless the gate is closed.
    pub fn enter(&self) -> Result<Pass<'_>> {
        let before = self.state.fetch_add(ONE_CALL, Ordering::Acquire);
        let pass = Pass(self);
        if before & CLOSED == 0 { Ok(pass) } else { Err(Error::closed()) }
    }

    /// Lets nobody in any more and waits until all calls inside have left.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        let guard = lock(&self.emptying);
        drop(wait_while(&self.emptied, guard, |()| self.state.load(Ordering::Acquire) >= ONE_CALL));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(ONE_CALL, Ordering::Release);
        if before == ONE_CALL | CLOSED {
            // Under the lock, so that the notice cannot fall between the closer's look and its wait.
            let _guard = lock(&self.0.emptying);
            self.0.emptied.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn closing_waits_for_the_calls_inside_and_refuses_new_ones() {
        let gate = Gate::default();
        let left = AtomicBool::new(false);
        thread::scope(|scope| {
            let pass = gate.enter().unwrap();
            let closer = scope.spawn(|| {
                gate.close();
                assert!(left.load(Ordering::SeqCst));
            });
            while gate.enter().is_ok() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            assert!(!closer.is_finished());
            left.store(true, Ordering::SeqCst);
            drop(pass);
        });
        assert_eq!(gate.enter().unwrap_err().code, ErrorCode::Closed);
        gate.close();
    }
}
