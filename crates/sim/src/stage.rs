//! What a stage of the proof is, and what it reports.

use std::time::Instant;

use crate::random::mix;

/// A stage of the proof.
pub struct Stage {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// What its main count counts, in the plural.
    pub unit: &'static str,
    /// Its part of the time of a whole run, relative to the other stages.
    pub share: f64,
    /// The least main count in its part of a run of 600 s on two cores. Scaled to the time that there is.
    pub floor: u64,
    /// Runs cases until the deadline.
    pub run: fn(&Context) -> StageReport,
    /// Runs one case again; the text is what follows `stage/` in [`Failure::replay`].
    pub replay: fn(case: &str) -> Result<(), Failure>,
}

/// What a stage needs to know to run.
#[derive(Clone, Debug)]
pub struct Context {
    /// The name of the stage, as in [`Stage::name`].
    pub stage: &'static str,
    /// When it is to end, if it has done its due.
    pub deadline: Instant,
    /// When it ends in any case: a slow machine has from `deadline` until then to do what is due.
    pub latest: Instant,
    /// The main count that is due: the floor of the stage for the time that there is.
    pub due: u64,
    /// The most cases that it may run.
    pub cases: u64,
    /// Where its chance begins; the same for all stages of a run.
    pub seed: u64,
    /// How many threads it may use.
    pub threads: usize,
    /// By how much floors are scaled: 1 for the part of a run of 600 s.
    pub scale: f64,
    /// A failure is expected, and neither made short nor kept.
    pub hunting: bool,
}

impl Context {
    /// Of a stage from which nothing is due, until a time, with one thread.
    pub fn until(deadline: Instant, stage: &'static str, seed: u64) -> Self {
        Self {
            stage,
            deadline,
            latest: deadline,
            due: 0,
            cases: u64::MAX,
            seed,
            threads: 1,
            scale: 0.0,
            hunting: false,
        }
    }

    /// Whether the time is over for a stage whose main count is `done`.
    pub fn is_over(&self, done: u64) -> bool {
        let now = Instant::now();
        now >= self.latest || (now >= self.deadline && done >= self.due)
    }

    /// A floor for the time that there is, given the one for the stage's part of a run of 600 s.
    pub fn floor(&self, per_full_run: u64) -> u64 {
        scaled(per_full_run, self.scale)
    }

    /// The seed of the case with this index. No two stages have the same seeds.
    pub fn seed_of(&self, index: u64) -> u64 {
        let stage = self.stage.bytes().fold(self.seed, |hash, byte| mix(hash ^ u64::from(byte)));
        mix(stage.wrapping_add(mix(index)))
    }
}

/// A floor for a part of a run of 600 s.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^53 and never negative"
)]
pub fn scaled(floor: u64, part: f64) -> u64 {
    (floor as f64 * part) as u64
}

/// A count with its floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted, in the plural.
    pub name: &'static str,
    /// How many there were.
    pub count: u64,
    /// The least number; already scaled by [`Context::floor`]. 0 when there is none.
    pub floor: u64,
}

/// What a stage did and found.
#[derive(Clone, Debug, Default)]
pub struct StageReport {
    /// The main count.
    pub done: u64,
    /// Other counts, and how they stand to their floors.
    pub also: Vec<Count>,
    /// What must not be; empty in a good run.
    pub failures: Vec<Failure>,
    /// How long it took; filled in by whoever runs the stage.
    pub seconds: f64,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stage that found it.
    pub stage: &'static str,
    /// The seed of its case.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// `stage/case`: given to `fountain-sim replay`, it runs the case again.
    pub replay: String,
}

impl Failure {
    /// A failure whose case follows from its seed alone: `stage/0123456789abcdef`.
    pub fn of_seed(stage: &'static str, seed: u64, what: impl Into<String>) -> Self {
        Self { stage, seed, what: what.into(), replay: format!("{stage}/{seed:016x}") }
    }

    /// A failure whose case needs more than a seed: `stage/0123456789abcdef:detail`.
    pub fn of_case(stage: &'static str, seed: u64, detail: &str, what: impl Into<String>) -> Self {
        Self { stage, seed, what: what.into(), replay: format!("{stage}/{seed:016x}:{detail}") }
    }
}

/// Seed and detail of a case as [`Failure::of_seed`] and [`Failure::of_case`] write it; the detail may be empty.
pub fn parse_case(case: &str) -> Option<(u64, &str)> {
    let (seed, detail) = case.split_once(':').unwrap_or((case, ""));
    Some((u64::from_str_radix(seed, 16).ok()?, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_ends_when_its_due_is_done_and_its_time_over_or_when_it_must() {
        let now = Instant::now();
        let far = now + std::time::Duration::from_secs(3600);
        let ctx = |deadline, latest| Context { deadline, latest, due: 10, ..Context::until(far, "test", 1) };
        assert!(!ctx(far, far).is_over(100));
        assert!(ctx(now, far).is_over(10) && !ctx(now, far).is_over(9));
        assert!(ctx(now, now).is_over(0));
    }

    #[test]
    fn the_case_of_a_failure_is_read_back() {
        for (failure, detail) in
            [(Failure::of_seed("crash", 0xAB, ""), ""), (Failure::of_case("crash", 0xAB, "7:P3", ""), "7:P3")]
        {
            let case = failure.replay.strip_prefix("crash/").unwrap();
            assert_eq!(parse_case(case), Some((0xAB, detail)));
        }
        assert_eq!(parse_case("no number"), None);
    }
}
