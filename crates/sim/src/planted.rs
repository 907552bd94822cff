//! The harness tests itself: bugs are planted one at a time, and the stage that is there for such a bug must find it.
//!
//! A bug is a line in the storage engine ([`fountain_lsm::planted`]) or in the document store
//! ([`fountain_engine::planted`]) that is active only in the process of its hunt, so the other cases of a run never meet
//! one. [`PREY`] and [`PREY_AMONG_DOCUMENTS`] say which stage is to find which bug; that another one would find it, too,
//! does not count. The stage hunts as it runs in any other run, with seeds of
//! its own and rare kinds of cases as often as common ones, until something fails or the cases for this round are done.
//! Bugs not found at first are hunted again, with twice as many cases, until there is no time left.
//!
//! What always holds: the rounds of a seed are the same cases on every machine; a slow one only takes longer.

use std::collections::BTreeSet;
use std::env;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fountain_engine::planted::Bug as DocumentBug;
use fountain_lsm::planted::{Bug, plant};

use crate::parallel::{cases_done, parallel};
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};
use crate::{corruption, crash, faults, isolation, metamorphic};

/// The stage.
pub const STAGE: Stage = Stage { name: NAME, unit: "planted bugs found", share: 14.0, floor: 0, run, replay };

const NAME: &str = "planted";

/// Part of a full run from which on every bug must be found.
const ENOUGH: f64 = 0.15;
/// Twice as many cases in each round as in the one before, this often. A hunt that nothing comes of takes minutes then.
const ROUNDS: u32 = 12;
/// Without a case done for so long, a hunt has met something that never ends. Cases take milliseconds. Only under a bug that is
/// known for that is it a find: otherwise it may be the machine.
const STUCK: Duration = Duration::from_secs(20);
/// Time between two looks at a hunt.
const LOOK: Duration = Duration::from_millis(2);
/// Cases for a bug that is hunted alone.
const ALONE: &str = "1000000";
/// Longer than any hunt takes: what it does is counted in cases, so that a slow machine does the same.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
/// How the process of a hunt ends that found something.
const FOUND: i32 = 0;
/// How the process of a hunt ends that found nothing.
const NOT_FOUND: i32 = 1;
/// Bugs under which a store may never come to an end, or take all memory.
const MAY_NOT_END: &[Bug] = &[];
/// How the process of a hunt ends that got stuck.
const GOT_STUCK: i32 = 3;

/// The hunters, how many cases each does in the first round, and the bugs that it must find.
const PREY: [(&Stage, u64, &[Bug]); 6] = [
    (
        &crash::STAGE,
        8,
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
            Bug::OldLogStaysInUse,
            Bug::LeftOversStay,
            Bug::LockIgnored,
            Bug::TableNotSynced,
            Bug::TableNamesNotSynced,
            Bug::CheckpointWithoutFlush,
            Bug::CheckpointNamesNotSynced,
            Bug::CleanCloseNotSaid,
            Bug::ClosedWithoutFlush,
        ],
    ),
    (
        &faults::STAGE,
        256,
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
        512,
        &[
            Bug::FrameUnchecked,
            Bug::BadFrameSkipped,
            Bug::DamageIsTornTail,
            Bug::BlockUnchecked,
            Bug::ChecksumWithoutOffset,
            Bug::DiscardNotReported,
            Bug::CountBelieved,
            Bug::VerifySkipsTables,
            Bug::VerifySkipsLog,
            Bug::TornTailNotNoted,
            Bug::ScrubSkipsBlocks,
            Bug::SalvageSkipsUnnamed,
            Bug::SalvageGapsNotReported,
            Bug::SalvageLogLossNotReported,
            Bug::SalvageForgetsRangeDeletions,
        ],
    ),
    (&corruption::CUT, 64, &[Bug::SalvageNamesNotSynced]),
    (
        &metamorphic::STAGE,
        8,
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
            Bug::TimesNotSettled,
        ],
    ),
    (&isolation::STAGE, 4, &[Bug::CacheKeyWithoutFile, Bug::MergeIgnoresSequence]),
];

/// What the rules of the order of changes must find by themselves, without a crash at the right moment: bugs that the stage
/// `crash` must find, too.
const PREY_OF_RULES: (&Stage, u64, &[Bug]) = (
    &crash::ORDER,
    8,
    &[
        Bug::TableNotSynced,
        Bug::TableNamesNotSynced,
        Bug::LogDeletedBeforeEdit,
        Bug::SegmentNameNotSynced,
        Bug::SegmentNotSyncedAtRotation,
        Bug::EditNotSynced,
        Bug::ManifestNameNotSynced,
        Bug::CurrentNotSynced,
        Bug::SwitchNotSynced,
        Bug::OldLogDeletedFirst,
        Bug::CheckpointNamesNotSynced,
    ],
);

/// The same for the document store.
const PREY_AMONG_DOCUMENTS: [(&Stage, u64, &[DocumentBug]); 4] = [
    (&metamorphic::COLLECTIONS, 2, &[DocumentBug::DurabilityForgotten, DocumentBug::DroppedNameStays]),
    (
        &metamorphic::DOCUMENTS,
        16,
        &[
            DocumentBug::OldEntriesStay,
            DocumentBug::UniqueNotChecked,
            DocumentBug::BuildTakesOldRecords,
            DocumentBug::PieceLacksLastRecord,
            DocumentBug::IndexReadyTooSoon,
            DocumentBug::DroppedEntriesStay,
            DocumentBug::DroppedRecordsStay,
            DocumentBug::NameNotCommitted,
            DocumentBug::ShapesNotCommitted,
            DocumentBug::ExpiredAreSeen,
            DocumentBug::NumberGivenTwice,
            DocumentBug::WatchersMissCommit,
        ],
    ),
    (
        &corruption::STAGE,
        512,
        &[
            DocumentBug::LostShapesForgotten,
            DocumentBug::SalvageRevivesDropped,
            DocumentBug::SalvagedIndexIsReady,
        ],
    ),
    (
        &isolation::STAGE,
        16,
        &[DocumentBug::WritesNotValidated, DocumentBug::ReadsNotValidated, DocumentBug::RangesNotValidated],
    ),
];

/// A bug of either floor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Planted {
    Storage(Bug),
    Documents(DocumentBug),
}

impl Planted {
    fn name(self) -> String {
        match self {
            Self::Storage(bug) => format!("{bug:?}"),
            Self::Documents(bug) => format!("{bug:?}"),
        }
    }

    /// Different for each bug, and never 0.
    const fn number(self) -> u64 {
        match self {
            Self::Storage(bug) => bug as u64 + 1,
            Self::Documents(bug) => bug as u64 + 1001,
        }
    }
}

/// A bug, who must find it, and in how many cases at first. Without a bug nothing may be found.
#[derive(Clone, Copy)]
struct Hunt {
    bug: Option<Planted>,
    hunter: &'static Stage,
    cases: u64,
}

fn hunts() -> impl Iterator<Item = Hunt> {
    let storage = PREY.into_iter().chain([PREY_OF_RULES]).flat_map(|(hunter, cases, bugs)| {
        bugs.iter().map(move |&bug| Hunt { bug: Some(Planted::Storage(bug)), hunter, cases })
    });
    let documents = PREY_AMONG_DOCUMENTS.into_iter().flat_map(|(hunter, cases, bugs)| {
        bugs.iter().map(move |&bug| Hunt { bug: Some(Planted::Documents(bug)), hunter, cases })
    });
    storage.chain(documents)
}

/// Every hunter, and how many cases it does at first.
fn hunters() -> Vec<(&'static Stage, u64)> {
    let storage = PREY.into_iter().chain([PREY_OF_RULES]);
    let mut hunters: Vec<_> = storage.map(|(hunter, cases, _)| (hunter, cases)).collect();
    for (hunter, cases, _) in PREY_AMONG_DOCUMENTS {
        if !hunters.iter().any(|(known, _)| known.name == hunter.name) {
            hunters.push((hunter, cases));
        }
    }
    hunters
}

/// Every hunter without a bug: one that finds something then would find it with each.
fn controls() -> impl Iterator<Item = Hunt> {
    hunters().into_iter().map(|(hunter, cases)| Hunt { bug: None, hunter, cases })
}

fn run(ctx: &Context) -> StageReport {
    let mut at_large: Vec<Hunt> = hunts().collect();
    let mut failures: Vec<Failure> =
        controls().filter_map(|control| control.finds_nothing(ctx).err()).collect();
    for round in 0..ROUNDS {
        if at_large.is_empty() || !failures.is_empty() || Instant::now() >= ctx.latest {
            break;
        }
        let all = Context { cases: at_large.len() as u64, due: u64::MAX, ..ctx.clone() };
        let (found, failed) = parallel(
            &all,
            |found: &Vec<String>| found.len() as u64,
            |found, index, _| {
                let hunt = at_large[index as usize];
                let is_found = hunt.finds(ctx, round)?;
                found.extend(is_found.then(|| hunt.name()));
                Ok(())
            },
        );
        failures.extend(failed);
        let found = found.concat();
        at_large.retain(|hunt| !found.contains(&hunt.name()));
    }
    if ctx.scale >= ENOUGH {
        failures.extend(at_large.iter().map(|hunt| hunt.missed(ctx.seed)));
    }
    let different = |hunts: &mut dyn Iterator<Item = Hunt>| {
        hunts.map(|hunt| hunt.bug).collect::<BTreeSet<_>>().len() as u64
    };
    let planted = different(&mut hunts());
    let done = planted - different(&mut at_large.iter().copied());
    let by = hunters().into_iter().map(|(hunter, _)| {
        let of = |hunt: &Hunt| hunt.hunter.name == hunter.name;
        let missed = at_large.iter().filter(|hunt| of(hunt)).count();
        Count { name: hunter.name, count: (hunts().filter(of).count() - missed) as u64, floor: 0 }
    });
    let all = Count { name: "bugs planted; found by", count: planted, floor: 0 };
    StageReport { done, also: std::iter::once(all).chain(by).collect(), failures, seconds: 0.0 }
}

impl Hunt {
    fn name(self) -> String {
        match self.bug {
            Some(bug) if self.hunter.name == crash::ORDER.name => {
                format!("{}-{}", bug.name(), self.hunter.name)
            }
            Some(bug) => bug.name(),
            None => format!("none-{}", self.hunter.name),
        }
    }

    /// Whether the hunter finds the bug in this round. It hunts in a process of its own: under a bug it may never come to
    /// an end, or ask for all memory, which is a find only where that is to be expected. A hunt for which there is no time has
    /// found nothing.
    fn finds(self, ctx: &Context, round: u32) -> Result<bool, Failure> {
        let seed = ctx.seed_of(self.bug.map_or(0, Planted::number) << 8 | u64::from(round));
        let detail = format!("{}:{}", self.name(), self.cases << round);
        let failed = |what: String| Failure::of_case(NAME, seed, &detail, what);
        let program = env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut hunt = Command::new(program);
        hunt.args(["replay", &format!("{NAME}/{seed:016x}:{detail}")]);
        hunt.stdout(Stdio::null()).stderr(Stdio::null());
        let mut hunt = hunt.spawn().map_err(|error| failed(error.to_string()))?;
        while Instant::now() < ctx.latest {
            if let Some(ended) = hunt.try_wait().map_err(|error| failed(error.to_string()))? {
                return match ended.code() {
                    Some(NOT_FOUND) => Ok(false),
                    Some(FOUND) => Ok(true),
                    // Without a code it died of a signal.
                    Some(GOT_STUCK) | None => Ok(self.may_not_end()),
                    Some(_) => Err(failed(format!("the process of a hunt ended with {ended}"))),
                };
            }
            thread::sleep(LOOK);
        }
        let killed = hunt.kill().and_then(|()| hunt.wait());
        killed.map(|_| false).map_err(|error| failed(error.to_string()))
    }

    fn may_not_end(self) -> bool {
        matches!(self.bug, Some(Planted::Storage(bug)) if MAY_NOT_END.contains(&bug))
    }

    fn finds_nothing(self, ctx: &Context) -> Result<(), Failure> {
        if !self.finds(ctx, 0)? {
            return Ok(());
        }
        let what = format!("the stage {} finds something where no bug is planted", self.hunter.name);
        Err(Failure::of_case(NAME, ctx.seed, &self.name(), what))
    }

    /// Whether the hunter finds the bug in this process, which must do nothing else from then on: it may get stuck.
    fn finds_here(self, seed: u64, cases: u64) -> bool {
        let _planted = match self.bug {
            Some(Planted::Storage(bug)) => (Some(plant(bug)), None),
            Some(Planted::Documents(bug)) => (None, Some(fountain_engine::planted::plant(bug))),
            None => (None, None),
        };
        let forever = Context::until(Instant::now() + FOREVER, self.hunter.name, seed);
        !(self.hunter.run)(&Context { cases, hunting: true, ..forever }).failures.is_empty()
    }

    fn missed(self, seed: u64) -> Failure {
        let what = format!("the stage {} did not find the planted bug {}", self.hunter.name, self.name());
        Failure::of_case(NAME, seed, &self.name(), what)
    }
}

/// Ends the process when no case is done any more.
fn end_when_stuck() {
    let mut seen = (cases_done(), Instant::now());
    while seen.1.elapsed() < STUCK {
        thread::sleep(STUCK / 20);
        if cases_done() > seen.0 {
            seen = (cases_done(), Instant::now());
        }
    }
    println!("stuck after {} cases", cases_done());
    process::exit(GOT_STUCK);
}

/// `seed:bug` or `seed:bug:cases`: hunts one bug.
fn replay(case: &str) -> Result<(), Failure> {
    let parsed = parse_case(case).and_then(|(seed, detail)| {
        let (name, cases) = detail.split_once(':').unwrap_or((detail, ALONE));
        let hunt = hunts().chain(controls()).find(|hunt| hunt.name() == name)?;
        Some((seed, hunt, cases.parse().ok()?))
    });
    let Some((seed, hunt, cases)) = parsed else {
        return Err(Failure::of_seed(NAME, 0, format!("'{case}' names no bug")));
    };
    thread::spawn(end_when_stuck);
    if !hunt.finds_here(seed, cases) {
        return Err(hunt.missed(seed));
    }
    println!("{} found after {} cases", hunt.name(), cases_done());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_that_can_be_planted_has_its_hunter() {
        let mut hunted: Vec<Planted> = hunts().filter_map(|hunt| hunt.bug).collect();
        hunted.sort_unstable();
        assert_eq!(hunted.len() - PREY_OF_RULES.2.len(), Bug::ALL.len() + DocumentBug::ALL.len());
        hunted.dedup();
        let storage = Bug::ALL.iter().map(|&bug| Planted::Storage(bug));
        let all: Vec<_> =
            storage.chain(DocumentBug::ALL.iter().map(|&bug| Planted::Documents(bug))).collect();
        assert!(hunted == all);
        // The name of a bug says which one is meant.
        let names: BTreeSet<_> = hunts().map(Hunt::name).collect();
        assert_eq!(names.len(), hunts().count());
    }

    #[test]
    fn without_a_bug_nothing_is_found() {
        for control in controls() {
            assert!(!control.finds_here(3, control.cases.div_ceil(8)), "{}", control.name());
        }
    }
}
