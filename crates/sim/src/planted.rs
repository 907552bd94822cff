//! The harness tests itself: bugs are planted one at a time, and the stage that is there for such a bug must find it.
//!
//! A bug is a line in the storage engine that is active only in the thread that planted it and in those it starts
//! ([`fountain_lsm::planted`]), so the other cases of a run never meet one. [`PREY`] says which stage is to find which
//! bug; that another one would find it, too, does not count. The stage hunts as it runs in any other run, with seeds of
//! its own and rare kinds of cases as often as common ones, until something fails or the time for this bug is over. Bugs
//! not found at first are hunted again for longer, as long as there is time.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fountain_lsm::planted::{Bug, plant};

use crate::parallel::parallel;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};
use crate::{corruption, crash, faults, isolation, metamorphic};

/// The stage.
pub const STAGE: Stage = Stage { name: NAME, unit: "planted bugs found", share: 24.0, floor: 0, run, replay };

const NAME: &str = "planted";

/// Part of a full run from which on every bug must be found.
const ENOUGH: f64 = 0.15;
/// Time for a bug in the first round; twice that in the second, and so on.
const FIRST_SLICE: Duration = Duration::from_millis(1500);
/// How much longer a hunt may take than it should before it counts as one that never ends.
const GRACE: Duration = Duration::from_secs(15);
/// Milliseconds for a bug that is hunted alone.
const ALONE: &str = "60000";
/// How the process of a hunt ends that found nothing.
const NOT_FOUND: i32 = 1;

/// The hunters, and the bugs that each must find.
const PREY: [(&Stage, &[Bug]); 5] = [
    (
        &crash::STAGE,
        &[
            Bug::AckBeforeSync,
            Bug::SegmentNameNotSynced,
            Bug::SegmentNotSyncedAtRotation,
            Bug::DeadRecoveryIsDamage,
            Bug::CommitInPieces,
            Bug::LogDeletedBeforeEdit,
            Bug::CoversTooMuch,
            Bug::LogNumberTooNew,
            Bug::EditNotSynced,
            Bug::ManifestNameNotSynced,
            Bug::CurrentNotSynced,
            Bug::SwitchNotSynced,
            Bug::StoreNameNotSynced,
            Bug::NumberReused,
            Bug::OldLogDeletedFirst,
            Bug::LockIgnored,
            Bug::TableNotSynced,
            Bug::TableNamesNotSynced,
            Bug::CheckpointWithoutFlush,
            Bug::CheckpointNamesNotSynced,
        ],
    ),
    (
        &faults::STAGE,
        &[
            Bug::VisibleBeforeSync,
            Bug::SyncRetried,
            Bug::FullSyncIsHarmless,
            Bug::PoisonIgnored,
            Bug::HoleAfterFailedWrite,
            Bug::RefusedCommitStays,
            Bug::RefusedCommitNotCut,
            Bug::ShortReadIsTheEnd,
            Bug::NamesSyncRetried,
            Bug::ReadErrorIsAbsence,
            Bug::FailedFlushForgets,
            Bug::FailedCompactionDeletes,
        ],
    ),
    (
        &corruption::STAGE,
        &[
            Bug::FrameUnchecked,
            Bug::BadFrameSkipped,
            Bug::DamageIsTornTail,
            Bug::BlockUnchecked,
            Bug::ChecksumWithoutOffset,
        ],
    ),
    (
        &metamorphic::STAGE,
        &[
            Bug::FilterLacksKey,
            Bug::HistoryIgnored,
            Bug::PinsIgnored,
            Bug::PinReleasedTwice,
            Bug::SinceIsLatest,
            Bug::OneVersionLess,
            Bug::TombstoneDroppedTooSoon,
            Bug::RangeTombstoneDroppedTooSoon,
            Bug::RangeTombstoneLostAtCut,
            Bug::RangeTombstoneHidesItsCommit,
            Bug::RangeTombstoneIgnored,
            Bug::FloorNotPersisted,
            Bug::FloorNotChecked,
            Bug::Level0OldestFirst,
            Bug::OverlapForgotten,
            Bug::IngestSequenceReused,
            Bug::IngestTooDeep,
        ],
    ),
    (&isolation::STAGE, &[Bug::CacheKeyWithoutFile, Bug::MergeIgnoresSequence]),
];

/// A bug and who must find it.
#[derive(Clone, Copy)]
struct Hunt {
    bug: Bug,
    hunter: &'static Stage,
}

fn hunts() -> impl Iterator<Item = Hunt> {
    PREY.into_iter().flat_map(|(hunter, bugs)| bugs.iter().map(move |&bug| Hunt { bug, hunter }))
}

fn run(ctx: &Context) -> StageReport {
    let mut at_large: Vec<Hunt> = hunts().collect();
    let mut slice = FIRST_SLICE;
    let mut failures = Vec::new();
    while !at_large.is_empty() && !ctx.is_over() && failures.is_empty() {
        let (found, failed) = parallel(ctx, at_large.len() as u64, |found: &mut Vec<Bug>, index, seed| {
            let hunt = at_large[index as usize];
            let left = ctx.deadline.saturating_duration_since(Instant::now());
            let outcome = hunt.finds(seed, slice.min(left));
            let is_found = outcome.map_err(|what| Failure::of_seed(NAME, seed, what))?;
            found.extend(is_found.then_some(hunt.bug));
            Ok(())
        });
        failures = failed;
        let found = found.concat();
        at_large.retain(|hunt| !found.contains(&hunt.bug));
        slice *= 2;
    }
    if ctx.scale >= ENOUGH {
        failures.extend(at_large.iter().map(|hunt| hunt.missed(ctx.seed)));
    }
    let planted = hunts().count() as u64;
    let done = planted - at_large.len() as u64;
    let by = PREY.iter().map(|(hunter, bugs)| {
        let missed = at_large.iter().filter(|hunt| hunt.hunter.name == hunter.name).count();
        Count { name: hunter.name, count: (bugs.len() - missed) as u64, floor: 0 }
    });
    let all = Count { name: "bugs planted; found by", count: planted, floor: 0 };
    StageReport { done, also: std::iter::once(all).chain(by).collect(), failures, seconds: 0.0 }
}

impl Hunt {
    /// Whether the hunter finds the bug in time. It hunts in a process of its own: under a bug it may never come to an
    /// end, or ask for all memory, which is a find as well.
    fn finds(self, seed: u64, slice: Duration) -> Result<bool, String> {
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let case = format!("{NAME}/{seed:016x}:{:?}:{}", self.bug, slice.as_millis());
        let hunt =
            Command::new(program).args(["replay", &case]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut hunt = hunt.map_err(|error| format!("a process to hunt in: {error}"))?;
        let end = Instant::now() + slice + GRACE;
        while Instant::now() < end {
            if let Some(ended) = hunt.try_wait().map_err(|error| error.to_string())? {
                return Ok(ended.code() != Some(NOT_FOUND));
            }
            thread::sleep(Duration::from_millis(2));
        }
        let killed = hunt.kill().and_then(|()| hunt.wait());
        killed.map(|_| true).map_err(|error| error.to_string())
    }

    /// Whether the hunter finds the bug in this process.
    fn finds_here(self, seed: u64, slice: Duration) -> bool {
        let _planted = plant(self.bug);
        let deadline = Instant::now() + slice;
        let ctx = Context { stage: self.hunter.name, deadline, seed, threads: 1, scale: 0.0, hunting: true };
        !(self.hunter.run)(&ctx).failures.is_empty()
    }

    fn missed(self, seed: u64) -> Failure {
        let Self { bug, hunter } = self;
        let what = format!("the stage {} did not find the planted bug {bug:?}", hunter.name);
        Failure::of_case(NAME, seed, &format!("{bug:?}"), what)
    }
}

/// `seed:bug` or `seed:bug:milliseconds`: hunts one bug.
fn replay(case: &str) -> Result<(), Failure> {
    let parsed = parse_case(case).and_then(|(seed, detail)| {
        let (name, time) = detail.split_once(':').unwrap_or((detail, ALONE));
        let hunt = hunts().find(|hunt| format!("{:?}", hunt.bug) == name)?;
        Some((seed, hunt, Duration::from_millis(time.parse().ok()?)))
    });
    let Some((seed, hunt, slice)) = parsed else {
        return Err(Failure::of_seed(NAME, 0, format!("'{case}' names no bug")));
    };
    if hunt.finds_here(seed, slice) { Ok(()) } else { Err(hunt.missed(seed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_that_can_be_planted_has_its_hunter() {
        let mut hunted: Vec<Bug> = hunts().map(|hunt| hunt.bug).collect();
        hunted.sort_unstable();
        assert_eq!(hunted, Bug::ALL);
    }

    #[test]
    fn without_a_bug_nothing_is_found() {
        for (hunter, _) in PREY {
            let deadline = Instant::now() + Duration::from_millis(300);
            let ctx =
                Context { stage: hunter.name, deadline, seed: 3, threads: 1, scale: 0.0, hunting: true };
            assert_eq!((hunter.run)(&ctx).failures, [], "{}", hunter.name);
        }
    }
}
