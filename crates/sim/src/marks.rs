//! The last stage: whether the others got to every rare branch of the storage engine.
//!
//! A rare branch has a mark ([`fountain_lsm::marks`]), and hits are counted over the whole process, so this stage means
//! something only behind all others. A mark that nobody hits is a branch that nobody tests, whatever the counts of the
//! other stages are.

use fountain_lsm::marks::counts;

use crate::stage::{Context, Count, Failure, Stage, StageReport};

/// The stage. It takes no time; its share is not 0 because shares are divided by.
pub const STAGE: Stage = Stage { name: NAME, unit: "marks hit", share: 0.01, floor: 0, run, replay };

const NAME: &str = "marks";
/// Part of a full run from which on every mark must be hit: 90 s.
const ENOUGH: f64 = 0.15;

fn run(ctx: &Context) -> StageReport {
    let counts = counts();
    let missed: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).map(|(mark, _)| *mark).collect();
    let failure = |mark| Failure::of_seed(NAME, ctx.seed, format!("no stage got to {mark:?}"));
    StageReport {
        done: (counts.len() - missed.len()) as u64,
        also: vec![
            Count { name: "marks", count: counts.len() as u64, floor: 0 },
            Count { name: "missed", count: missed.len() as u64, floor: 0 },
        ],
        failures: missed.into_iter().filter(|_| ctx.scale >= ENOUGH).map(failure).collect(),
        seconds: 0.0,
    }
}

/// What the stages hit together cannot be repeated as one case.
fn replay(_: &str) -> Result<(), Failure> {
    Err(Failure::of_seed(NAME, 0, "run all stages again: what they hit together is no single case"))
}
