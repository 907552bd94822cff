//! Ends a run in which a case never comes to an end, and names the case: nobody can end a thread from outside, and a run
//! that hangs says nothing.

use std::cell::RefCell;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::regressions;

/// Longest time for one case. They take milliseconds, and some seconds where a failure is made short.
const LONGEST: Duration = Duration::from_secs(120);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How a process ends that was stuck.
const STUCK: i32 = 2;

/// What a thread does, and since when.
type Slot = Arc<Mutex<Option<(Instant, String)>>>;

thread_local! {
    static OWN: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

fn locked(slot: &Slot) -> MutexGuard<'_, Option<(Instant, String)>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads of a stage.
#[derive(Default)]
pub struct Watchdog {
    slots: Mutex<Vec<Slot>>,
}

impl Watchdog {
    /// Watches the calling thread from now on.
    pub fn enter(&self) {
        let slot = Slot::default();
        OWN.set(Some(Arc::clone(&slot)));
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }

    /// The case that has taken longer than that, if there is one.
    fn stuck(&self, longest: Duration) -> Option<String> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().find_map(|slot| match &*locked(slot) {
            Some((since, case)) if since.elapsed() > longest => Some(case.clone()),
            _ => None,
        })
    }

    /// Looks after the threads until `is_over`. Ends the process if one of them is stuck.
    pub fn look(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            if let Some(case) = self.stuck(LONGEST) {
                let kept = regressions::add(&regressions::file(), &case);
                println!("FAILURE        {case} has taken longer than {LONGEST:?}");
                println!("               fountain-sim replay {case}");
                println!("               kept in the list of regressions: {}", kept.is_ok());
                process::exit(STUCK);
            }
            thread::park_timeout(LOOK);
        }
    }
}

/// Says which case the calling thread begins: what [`crate::stage::Failure::replay`] would be. If it is watched.
pub fn begin(case: String) {
    OWN.with_borrow(|own| {
        if let Some(slot) = own {
            *locked(slot) = Some((Instant::now(), case));
        }
    });
}

/// Says that the case is over.
pub fn end() {
    OWN.with_borrow(|own| {
        if let Some(slot) = own {
            *locked(slot) = None;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_goes_on_is_named_and_one_that_is_over_is_not() {
        let watchdog = Watchdog::default();
        begin("stage/00".to_owned());
        watchdog.enter();
        assert_eq!(watchdog.stuck(Duration::ZERO), None, "nothing has begun since it is watched");
        begin("stage/01".to_owned());
        assert_eq!(watchdog.stuck(Duration::from_secs(3600)), None);
        thread::sleep(Duration::from_millis(1));
        assert_eq!(watchdog.stuck(Duration::ZERO).as_deref(), Some("stage/01"));
        end();
        assert_eq!(watchdog.stuck(Duration::ZERO), None);
    }
}
