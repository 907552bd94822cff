//! The last stage: whether the others got to every rare branch of the storage engine and of the document store.
//!
//! A rare branch has a mark ([`fountain_lsm::marks`], [`fountain_engine::marks`]), and hits are counted over the whole process, so this stage means
//! something only behind all others. A mark that nobody hits is a branch that nobody tests, whatever the counts of the
//! other stages are.

use crate::stage::{Context, Count, Failure, Stage, StageReport};

/// The stage. It takes no time; its share is not 0 because shares are divided by.
pub const STAGE: Stage = Stage { name: NAME, unit: "marks hit", share: 0.01, floor: 0, run, replay };

const NAME: &str = "marks";
/// Part of a full run from which on every mark must be hit: 90 s.
const ENOUGH: f64 = 0.15;

fn run(ctx: &Context) -> StageReport {
    let hits = hits();
    let missed: Vec<_> = hits.iter().filter(|(_, is_hit)| !is_hit).map(|(mark, _)| mark).collect();
    let failure = |mark| Failure::of_seed(NAME, ctx.seed, format!("no stage got to {mark}"));
    StageReport {
        done: (hits.len() - missed.len()) as u64,
        also: vec![
            Count { name: "marks", count: hits.len() as u64, floor: 0 },
            Count { name: "missed", count: missed.len() as u64, floor: 0 },
        ],
        failures: missed.into_iter().filter(|_| ctx.scale >= ENOUGH).map(failure).collect(),
        seconds: 0.0,
    }
}

/// The marks of both floors, and whether each was hit.
fn hits() -> Vec<(String, bool)> {
    let storage = fountain_lsm::marks::counts().into_iter();
    let documents = fountain_engine::marks::counts().into_iter();
    let storage = storage.map(|(mark, count)| (format!("{mark:?}"), count > 0));
    storage.chain(documents.map(|(mark, count)| (format!("{mark:?}"), count > 0))).collect()
}

/// What the stages hit together cannot be repeated as one case.
fn replay(_: &str) -> Result<(), Failure> {
    Err(Failure::of_seed(NAME, 0, "run all stages again: what they hit together is no single case"))
}
