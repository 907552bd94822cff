//! Runs the cases of a stage on several threads until its time is over.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use fountain_engine::planted::inherited as inherited_by_documents;
use fountain_lsm::planted::inherited;

use crate::stage::{Context, Failure};
use crate::watchdog::{self, Watchdog};

/// Cases done in this process.
static CASES: AtomicU64 = AtomicU64::new(0);

/// How many cases this process has done: it is alive as long as they become more.
pub fn cases_done() -> u64 {
    CASES.load(Ordering::Relaxed)
}

/// Failures after which a stage ends: more of them hardly say more.
const ENOUGH_FAILURES: usize = 5;

/// Calls `work` with the tally of its thread and the index and seed of a case, again and again, until the time is over
/// and what is due is `done`, all cases are done, or there were enough failures. Each index is used once; which thread
/// gets it is left to chance. A panic is a failure, too, and a case without end ends the process.
///
/// Gives back the tallies of all threads, for summing up, and the failures.
pub fn parallel<T: Default + Send>(
    ctx: &Context,
    done: fn(&T) -> u64,
    work: impl Fn(&mut T, u64, u64) -> Result<(), Failure> + Sync,
) -> (Vec<T>, Vec<Failure>) {
    let next = AtomicU64::new(0);
    let all_done = AtomicU64::new(0);
    let failed = AtomicUsize::new(0);
    let enough = if ctx.hunting { 1 } else { ENOUGH_FAILURES };
    let watchdog = Watchdog::default();
    let one = || {
        watchdog.enter();
        let mut tally = T::default();
        let mut failures = Vec::new();
        while failed.load(Ordering::Relaxed) < enough && !ctx.is_over(all_done.load(Ordering::Relaxed)) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= ctx.cases {
                break;
            }
            let before = done(&tally);
            let seed = ctx.seed_of(index);
            watchdog::begin(format!("{}/{seed:016x}", ctx.stage));
            let outcome = guarded(|| work(&mut tally, index, seed));
            watchdog::end();
            let outcome = outcome.unwrap_or_else(|panic| Err(Failure::of_seed(ctx.stage, seed, panic)));
            all_done.fetch_add(done(&tally) - before, Ordering::Relaxed);
            CASES.fetch_add(1, Ordering::Relaxed);
            if let Err(failure) = outcome {
                failed.fetch_add(1, Ordering::Relaxed);
                failures.push(failure);
            }
        }
        (tally, failures)
    };
    let is_over = AtomicBool::new(false);
    let ended: Vec<_> = thread::scope(|scope| {
        // Hunters are watched by who hunts.
        let look = || watchdog.look(|| ctx.hunting || is_over.load(Ordering::Acquire));
        let watching = scope.spawn(look);
        let threads: Vec<_> = (0..ctx.threads.max(1)).map(|_| scope.spawn(inheriting(one))).collect();
        let ended = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        is_over.store(true, Ordering::Release);
        watching.thread().unpark();
        ended
    });
    let (tallies, failures): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    (tallies, failures.into_iter().flatten().collect())
}

/// Work for another thread: a bug that is planted in this one is active there, too.
pub fn inheriting<T>(work: impl FnOnce() -> T + Send) -> impl FnOnce() -> T + Send {
    let (inherit, inherit_by_documents) = (inherited(), inherited_by_documents());
    move || {
        inherit();
        inherit_by_documents();
        work()
    }
}

/// Runs something; a panic in it becomes its message.
///
/// # Errors
/// The message of the panic.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("panicked: {}", message(panic.as_ref())))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn context(cases: u64) -> Context {
        let deadline = Instant::now() + Duration::from_secs(60);
        Context { threads: 2, cases, ..Context::until(deadline, "test", 1) }
    }

    #[test]
    fn every_case_is_run_once() {
        let (tallies, failures) = parallel(
            &context(1000),
            |_| 0,
            |tally: &mut Vec<u64>, index, _| {
                tally.push(index);
                Ok(())
            },
        );
        let mut all = tallies.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert_eq!(failures, []);
    }

    #[test]
    fn what_is_due_is_done_though_the_time_is_over() {
        let ctx = Context { deadline: Instant::now(), due: 100, ..context(u64::MAX) };
        let (tallies, _) = parallel(
            &ctx,
            |tally| *tally,
            |tally: &mut u64, _, _| {
                *tally += 1;
                Ok(())
            },
        );
        let done: u64 = tallies.iter().sum();
        assert!((100..110).contains(&done), "{done}");
    }

    #[test]
    fn a_panic_is_a_failure_and_enough_failures_end_the_stage() {
        let (tallies, failures) = parallel(
            &context(1000),
            |tally| *tally,
            |tally: &mut u64, _, _| {
                *tally += 1;
                panic!("no good")
            },
        );
        assert!((ENOUGH_FAILURES..ENOUGH_FAILURES + 2).contains(&failures.len()));
        assert!(tallies.iter().sum::<u64>() < 10);
        assert_eq!(failures[0].what, "panicked: no good");
    }
}
