//! The stage `crash`: cases until the time is over.

use super::case::{self, Counts};
use super::explore::Depth;
use super::scenarios::{SCRIPTED, SHORT_SEQUENCES, random, short_sequence};
use super::script::Script;
use crate::parallel::{guarded, parallel};
use crate::protocol::Judged;
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

/// Runs every scripted scenario in turn with short sequences and random ones, until the time is over.
fn run(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(ctx, Tallies::states, |counts: &mut Tallies, index, seed| {
        let script = script_of(index, seed);
        counts.cases += 1;
        watchdog::begin(format!("{}/{seed:016x}:{script}", STAGE.name));
        checked(seed, &script, &mut counts.counts).map_err(|what| failure(seed, &script, &what))
    });
    let sum = |part: fn(&Tallies) -> u64| tallies.iter().map(part).sum::<u64>();
    let count =
        |name, part: fn(&Tallies) -> u64, floor| Count { name, count: sum(part), floor: ctx.floor(floor) };
    StageReport {
        done: sum(Tallies::states),
        also: vec![
            count("double crashes", |t| t.counts.tally.states[1], 75_000),
            count("triple crashes", |t| t.counts.tally.states[2], 40_000),
            count("scenarios", |t| t.cases, 400),
            count("failed syncs of files", |t| t.counts.failed_syncs, 800),
            count("failed syncs of directories", |t| t.counts.failed_dir_syncs, 400),
            count("failed syncs after a crash", |t| t.counts.tally.failed_later, 1_000),
            count("failed syncs while a store was opened", |t| t.counts.tally.failed_opens, 700),
            count("lying disks", |t| t.counts.lies.lies, 2_500),
            count("of them noticed as damage", |t| t.counts.lies.lies_noticed, 800),
            count("disks with sectors spoilt whole", |t| t.counts.lies.spoilt, 2_500),
            count("of them noticed as damage", |t| t.counts.lies.spoilt_noticed, 300),
            count("checkpoints opened", |t| t.counts.tally.checkpoints, 50_000),
            count("commits replayed", |t| t.counts.tally.replayed, 120_000),
            count("torn logs", |t| t.counts.tally.torn, 7_000),
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
            let script = script_of(index, seed);
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
}

impl Tallies {
    fn states(&self) -> u64 {
        self.counts.tally.all_states()
    }
}

/// The scenario of the case with this index: short sequences, of which there are many, take turns with the others.
fn script_of(index: u64, seed: u64) -> Script {
    let (turn, index) = (index % 4, index / 4);
    match turn {
        0 => SCRIPTED[index as usize % SCRIPTED.len()].parse().unwrap_or_default(),
        1 => random(seed),
        // In an order in which neighbours differ; the step has no factor in common with the number of sequences.
        _ => short_sequence((index * 2 + turn - 2) * 1009 % SHORT_SEQUENCES),
    }
}

fn checked(seed: u64, script: &Script, counts: &mut Counts) -> Result<(), String> {
    guarded(|| case::run(seed, script, DEPTH, counts)).unwrap_or_else(Err)
}

fn failure(seed: u64, script: &Script, what: &str) -> Failure {
    Failure::of_case(STAGE.name, seed, &script.to_string(), format!("{script}: {what}"))
}

/// `seed:steps`. What fails is also tried with fewer steps.
fn replay(case: &str) -> Result<(), Failure> {
    let wrong = |what: String| Failure::of_seed(STAGE.name, 0, format!("{case}: {what}"));
    let (seed, steps) = parse_case(case).ok_or_else(|| wrong("not a case".to_owned()))?;
    let script: Script = steps.parse().map_err(wrong)?;
    let outcome = |script: &Script| checked(seed, script, &mut Counts::default());
    let Err(what) = outcome(&script) else { return Ok(()) };
    let shorter = Script(shrink(&script.0, |steps| outcome(&Script(steps.to_vec())).is_err()));
    let what = outcome(&shorter).err().unwrap_or(what);
    Err(failure(seed, &shorter, &what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn each_scenario_survives_a_crash_everywhere() {
        for (index, text) in SCRIPTED.iter().enumerate() {
            let depth = Depth { second: 40, third: 20, crashes: 3 };
            let mut counts = Counts::default();
            let seed = Random::new(index as u64).bits();
            let outcome = case::run(seed, &text.parse().unwrap(), depth, &mut counts);
            assert_eq!(outcome, Ok(()), "{text}, seed {seed:016x}");
            assert!(counts.tally.states[0] > 50, "{text}: {counts:?}");
        }
    }
}
