//! The stage `crash`: cases until the time is over.

use super::case::{self, Counts};
use super::explore::Depth;
use super::scenarios::{SCRIPTED, SHORT_SEQUENCES, random, short_in_turn};
use super::script::Script;
use crate::cli::DEFAULT_SEED;
use crate::parallel::{guarded, parallel};
use crate::protocol::Judged;
use crate::random::mix;
use crate::shrink::shrink;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};
use crate::watchdog;

/// The stage.
pub const STAGE: Stage =
    Stage { name: "crash", unit: "crash states", share: 24.0, floor: 500_000, run, replay };

/// The part of it that needs no crash, by itself: the rules of the order of changes must find what is theirs.
pub const ORDER: Stage =
    Stage { name: "order", unit: "changes checked", share: 1.0, floor: 0, run: run_order, replay };

const DEPTH: Depth = Depth { second: 12, third: 12, crashes: 6 };
/// That of short sequences, so that there is time for more of them.
const SHALLOW: Depth = Depth { second: 40, ..DEPTH };
/// One in so many short sequences has syncs that fail and disks that lie; all other scenarios have.
const BAD_DISKS: u64 = 4;
/// Short sequences that are due in 600 s.
const SHORT_DUE: u64 = 900;
/// Steps of the longest of them.
const SHORT_STEPS: usize = 3;
/// Of so many cases in a row one is a scripted scenario, one a random one, and all others are short sequences.
const TURNS: u64 = 10;

/// Runs every scripted scenario in turn with short sequences and random ones, until the time is over.
fn run(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(ctx, Tallies::states, |counts: &mut Tallies, index, seed| {
        let start = first_of(ctx.seed);
        let (script, is_short) = script_of(start, index, seed);
        counts.cases += 1;
        counts.short += u64::from(is_short);
        let (depth, bad_disks) = effort(&script, seed);
        watchdog::begin(format!("{}/{seed:016x}:{script}", STAGE.name));
        let checked = guarded(|| case::run(seed, &script, depth, bad_disks, &mut counts.counts));
        checked.unwrap_or_else(Err).map_err(|what| failure(seed, &script, &what))
    });
    let sum = |part: fn(&Tallies) -> u64| tallies.iter().map(part).sum::<u64>();
    let count =
        |name, part: fn(&Tallies) -> u64, floor| Count { name, count: sum(part), floor: ctx.floor(floor) };
    StageReport {
        done: sum(Tallies::states),
        also: vec![
            count("double crashes", |t| t.counts.tally.states[1], 75_000),
            count("triple crashes", |t| t.counts.tally.states[2], 20_000),
            count("scenarios", |t| t.cases, 800),
            Count { name: "short sequences that there are", count: SHORT_SEQUENCES, floor: 1 },
            Count {
                name: "of them tried, before any is tried again",
                count: sum(|t| t.short).min(SHORT_SEQUENCES),
                floor: ctx.floor(SHORT_DUE).min(SHORT_SEQUENCES),
            },
            count("failed syncs of files", |t| t.counts.failed_syncs, 500),
            count("failed syncs of directories", |t| t.counts.failed_dir_syncs, 250),
            count("failed syncs after a crash", |t| t.counts.tally.failed_later, 500),
            count("failed syncs while a store was opened", |t| t.counts.tally.failed_opens, 400),
            count("lying disks", |t| t.counts.lies.lies, 2_000),
            count("of them noticed as damage", |t| t.counts.lies.lies_noticed, 500),
            count("disks with sectors spoilt whole", |t| t.counts.lies.spoilt, 2_000),
            count("of them noticed as damage", |t| t.counts.lies.spoilt_noticed, 150),
            count("checkpoints opened", |t| t.counts.tally.checkpoints, 30_000),
            count("commits replayed", |t| t.counts.tally.replayed, 80_000),
            count("torn logs", |t| t.counts.tally.torn, 5_000),
            count("stores asked when commits were made", |t| t.counts.tally.timed, 200_000),
            count("changes checked for their order", |t| t.counts.tally.judged.changes, 1_000_000),
            count("files that manifests named, looked up", |t| t.counts.tally.judged.named, 120_000),
            count("files removed, looked up in manifests", |t| t.counts.tally.judged.removed, 100_000),
        ],
        failures,
        seconds: 0.0,
    }
}

fn run_order(ctx: &Context) -> StageReport {
    let (judged, failures) = parallel(
        ctx,
        |judged: &Judged| judged.changes,
        |judged, index, seed| {
            let (script, _) = script_of(first_of(ctx.seed), index, seed);
            let checked = guarded(|| case::order(seed, &script, judged)).unwrap_or(Ok(()));
            checked.map_err(|what| failure(seed, &script, &what))
        },
    );
    let done = judged.iter().map(|judged| judged.changes).sum();
    StageReport { done, failures, ..StageReport::default() }
}

#[derive(Default)]
struct Tallies {
    counts: Counts,
    cases: u64,
    short: u64,
}

impl Tallies {
    fn states(&self) -> u64 {
        self.counts.tally.all_states()
    }
}

/// With which short sequence a run begins: each seed goes on elsewhere.
const fn first_of(seed: u64) -> u64 {
    if seed == DEFAULT_SEED { 0 } else { mix(seed) % SHORT_SEQUENCES }
}

/// The scenario of the case with this index, and whether it is a short sequence, of which there are many: they take turns with
/// the others.
fn script_of(start: u64, index: u64, seed: u64) -> (Script, bool) {
    let (turn, index) = (index % TURNS, index / TURNS);
    match turn {
        0 => (SCRIPTED[index as usize % SCRIPTED.len()].parse().unwrap_or_default(), false),
        1 => (random(seed), false),
        _ => (short_in_turn(start, index * (TURNS - 2) + turn - 2), true),
    }
}

/// How thoroughly a scenario is explored, and whether on bad disks, too: that follows from the scenario and the seed alone.
fn effort(script: &Script, seed: u64) -> (Depth, bool) {
    if script.0.len() > SHORT_STEPS { (DEPTH, true) } else { (SHALLOW, mix(seed).is_multiple_of(BAD_DISKS)) }
}

/// A case as a run does it, and as thoroughly as it can be done.
fn checked(seed: u64, script: &Script) -> Result<(), String> {
    [effort(script, seed), (DEPTH, true)].into_iter().try_for_each(|(depth, bad_disks)| {
        guarded(|| case::run(seed, script, depth, bad_disks, &mut Counts::default())).unwrap_or_else(Err)
    })
}

fn failure(seed: u64, script: &Script, what: &str) -> Failure {
    Failure::of_case(STAGE.name, seed, &script.to_string(), format!("{script}: {what}"))
}

/// `seed:steps`. What fails is also tried with fewer steps.
fn replay(case: &str) -> Result<(), Failure> {
    let wrong = |what: String| Failure::of_seed(STAGE.name, 0, format!("{case}: {what}"));
    let (seed, steps) = parse_case(case).ok_or_else(|| wrong("not a case".to_owned()))?;
    let script: Script = steps.parse().map_err(wrong)?;
    let outcome = |script: &Script| checked(seed, script);
    let Err(what) = outcome(&script) else { return Ok(()) };
    let shorter = Script(shrink(&script.0, |steps| outcome(&Script(steps.to_vec())).is_err()));
    let what = outcome(&shorter).err().unwrap_or(what);
    Err(failure(seed, &shorter, &what))
}

#[cfg(test)]
mod tests {
    use fountain_lsm::planted::{Bug, plant};

    use super::*;
    use crate::random::Random;

    #[test]
    fn what_fails_is_made_short() {
        let _planted = plant(Bug::CheckpointNamesNotSynced);
        let long = "put flush delete-range flush put checkpoint put.os";
        let Err(failure) = replay(&format!("1:{long}")) else { panic!("the bug is not found") };
        let (seed, steps) = parse_case(failure.replay.strip_prefix("crash/").unwrap()).unwrap();
        let short: Script = steps.parse().unwrap();
        // What a store is used for after a crash may be enough.
        assert!(short.0.len() <= 2, "{steps}");
        assert!(checked(seed, &short).is_err(), "{steps}");
    }

    #[test]
    fn each_scenario_survives_a_crash_everywhere() {
        for (index, text) in SCRIPTED.iter().enumerate() {
            let depth = Depth { second: 40, third: 20, crashes: 3 };
            let mut counts = Counts::default();
            let seed = Random::new(index as u64).bits();
            let outcome = case::run(seed, &text.parse().unwrap(), depth, true, &mut counts);
            assert_eq!(outcome, Ok(()), "{text}, seed {seed:016x}");
            assert!(counts.tally.states[0] > 50, "{text}: {counts:?}");
        }
    }
}
