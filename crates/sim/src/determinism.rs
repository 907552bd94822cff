//! The same seed gives the same requests to the disk and the same bytes on it, in one process and in another.
//!
//! A list of operations is run on a simulated disk with background work in steps, some of it stopped in the middle,
//! and with crashes. Everything that changes the disk is recorded; the record, and every byte that is there in the end,
//! make a digest. Two runs in this process and one in a process of its own must agree: nothing may depend on addresses,
//! on the order of a hash map, on threads or on the time.

use std::env;
use std::process::{Command, Stdio};

use crate::metamorphic::recorded;
use crate::parallel::parallel;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};

/// The stage.
pub const STAGE: Stage =
    Stage { name: NAME, unit: "seeds run three times", share: 3.0, floor: 50, run, replay };

const NAME: &str = "determinism";

#[derive(Default)]
struct Tally {
    seeds: u64,
    changes: u64,
}

fn run(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(
        ctx,
        |tally: &Tally| tally.seeds,
        |tally: &mut Tally, _, seed| {
            let (digest, changes) = twice(seed)?;
            elsewhere(seed, digest)?;
            tally.seeds += 1;
            tally.changes += changes;
            Ok(())
        },
    );
    let changes = tallies.iter().map(|tally| tally.changes).sum();
    StageReport {
        done: tallies.iter().map(|tally| tally.seeds).sum(),
        also: vec![Count { name: "changes of the disk compared", count: changes, floor: ctx.floor(20_000) }],
        failures,
        seconds: 0.0,
    }
}

/// Runs a seed twice and gives back the digest of both, and how many changes of the disk there were.
fn twice(seed: u64) -> Result<(u64, u64), Failure> {
    let once = || recorded(seed).map_err(|what| Failure::of_seed(NAME, seed, what));
    let (first, second) = (once()?, once()?);
    if first == second {
        return Ok(first);
    }
    Err(Failure::of_seed(NAME, seed, format!("two runs differ: {first:x?} and {second:x?}")))
}

/// Runs a seed in a process of its own, which is told what the digest must be.
fn elsewhere(seed: u64, digest: u64) -> Result<(), Failure> {
    let failure = |what: String| Failure::of_seed(NAME, seed, what);
    let program = env::current_exe().map_err(|error| failure(error.to_string()))?;
    let case = format!("{NAME}/{seed:016x}:{digest:016x}");
    let ended = Command::new(program).args(["replay", &case]).stdout(Stdio::null()).status();
    let ended = ended.map_err(|error| failure(format!("a second process: {error}")))?;
    if ended.success() { Ok(()) } else { Err(failure(format!("another process differs ({ended})"))) }
}

/// Two runs; with a digest as the detail, that of both must be this.
fn replay(case: &str) -> Result<(), Failure> {
    let (seed, detail) = parse_case(case).unwrap_or_default();
    let (digest, _) = twice(seed)?;
    match u64::from_str_radix(detail, 16) {
        Ok(expected) if expected != digest => Err(Failure::of_seed(
            NAME,
            seed,
            format!("the digest is {digest:016x}, expected {expected:016x}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_a_seed_agree_and_two_seeds_do_not() {
        let digests: Vec<_> = (0..4).map(|seed| twice(seed).unwrap()).collect();
        assert!(digests.iter().all(|&(_, changes)| changes > 10), "{digests:?}");
        assert_ne!(digests[0], digests[1]);
        assert!(replay("0:0000000000000001").is_err());
    }
}
