//! Real processes, really killed: a child writes and is killed with SIGKILL at a moment of chance, the store is opened
//! again and compared with what the child had been promised.
//!
//! A kill loses nothing that the operating system has, so this stage says little about power loss (the crash stages
//! do). What it shows is that nothing depends on what a process does at its end: with real threads, files, locks and
//! pipes, at moments that nobody chose. One case is one store and several rounds: a child that writes, often further
//! ones that are killed while they recover, then the check.
//!
//! `plan` says what a case is, `script` what its children write, `child` is the child, `process` starts and kills it,
//! `ledger` is what it said before it died, `check` compares.

mod check;
mod child;
mod ledger;
mod plan;
mod process;
mod script;

use std::time::Duration;

use crate::parallel::parallel;
use crate::random::Random;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};

pub use child::{ChildArgs, run as run_child};

use check::Store;
use ledger::Ledger;
use plan::{Plan, Work};
use process::Death;

/// This stage.
pub const STAGE: Stage =
    Stage { name: "kill", unit: "processes killed", share: 6.0, floor: 600, run, replay };

/// Commits in a run of 600 s that are found though nobody had been told of them.
const UNTOLD: u64 = 500;
/// Rounds of one case.
const ROUNDS: u32 = 4;
/// How often a case is run again: the same seed does the same work, but dies at other moments.
const REPLAYS: u32 = 25;

/// What the cases of one thread did.
#[derive(Clone, Debug, Default)]
struct Tally {
    kills: u64,
    /// Killed between asking for a store and having it.
    opening: u64,
    /// Killed while closing.
    closing: u64,
    /// Killed with commits begun that were not acknowledged.
    writing: u64,
    acknowledged: u64,
    unacknowledged_found: u64,
    copies: u64,
}

impl Tally {
    /// How much of what is due was done: kills, or what is rare among them, by how much of each is due.
    fn due(&self) -> u64 {
        self.kills.min(self.unacknowledged_found * STAGE.floor / UNTOLD)
    }
}

fn run(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(ctx, Tally::due, |tally: &mut Tally, _, seed| {
        case(seed, tally).map_err(|what| Failure::of_seed(STAGE.name, seed, what))
    });
    let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum::<u64>();
    let also = |name, count, floor| Count { name, count, floor: ctx.floor(floor) };
    StageReport {
        done: sum(|tally: &Tally| tally.kills),
        also: vec![
            also("of them while a store was being opened", sum(|tally| tally.opening), 200),
            also("of them while a store was being closed", sum(|tally| tally.closing), 8),
            also("of them with commits under way", sum(|tally| tally.writing), 150),
            also(
                "commits acknowledged before a kill and found after it",
                sum(|tally| tally.acknowledged),
                5000,
            ),
            also(
                "commits found that nobody had been told of",
                sum(|tally| tally.unacknowledged_found),
                UNTOLD,
            ),
            also("checkpoints found complete", sum(|tally| tally.copies), 5),
        ],
        failures,
        seconds: 0.0,
    }
}

fn replay(text: &str) -> Result<(), Failure> {
    let (seed, _) = parse_case(text).ok_or_else(|| Failure::of_seed(STAGE.name, 0, "not a case"))?;
    let again = || case(seed, &mut Tally::default());
    (0..REPLAYS).try_for_each(|_| again()).map_err(|what| Failure::of_seed(STAGE.name, seed, what))
}

fn case(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let plan = Plan::new(seed);
    let mut random = Random::nth(seed, 1);
    let mut store = Store::new(&plan).map_err(|error| error.to_string())?;
    for round in 0..ROUNDS {
        let outcome = one_round(&plan, round, &mut store, &mut random, tally);
        outcome.map_err(|what| format!("{plan}, round {round}: {what}"))?;
    }
    Ok(())
}

/// A child that writes, perhaps some that are killed as they recover, and the check.
fn one_round(
    plan: &Plan,
    round: u32,
    store: &mut Store,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<(), String> {
    let args = ChildArgs { writes: true, dir: store.dir().to_path_buf(), seed: plan.seed, round };
    let ledger = kill(&args, death(random), tally)?;
    tally.closing += u64::from(ledger.is_closing());
    tally.writing += u64::from(ledger.is_writing());
    let reopened = if random.one_in(2) { random.within(1..4) } else { 0 };
    for _ in 0..reopened {
        let reopen = ChildArgs { writes: false, ..args.clone() };
        kill(&reopen, Death::AfterStart(Duration::from_micros(random.below(15_000) as u64)), tally)?;
    }
    let is_clean = plan.work == Work::Closes && ledger.is_closed() && reopened == 0;
    let found = store.check(round, &ledger, is_clean)?;
    tally.acknowledged += ledger.acknowledged();
    tally.unacknowledged_found += found.commits.saturating_sub(ledger.acknowledged());
    tally.copies += found.copies;
    Ok(())
}

/// Lets a child live until it is killed, and reads what it said.
fn kill(args: &ChildArgs, death: Death, tally: &mut Tally) -> Result<Ledger, String> {
    let said = process::live_and_die(args, death)?;
    let ledger = Ledger::read(&said)?;
    tally.kills += 1;
    tally.opening += u64::from(ledger.is_opening());
    Ok(ledger)
}

/// One in four dies within the time that starting and opening take; the others after they have begun to write, as
/// often within the first millisecond as between 10 and 100.
fn death(random: &mut Random) -> Death {
    if random.one_in(4) {
        return Death::AfterStart(Duration::from_micros(random.below(12_000) as u64));
    }
    let magnitude = 100_u64 << random.below(10);
    Death::AfterOpen(Duration::from_micros(magnitude + random.below(magnitude as usize) as u64))
}
