//! Makes a list that fails as short as it can be while it still fails.

use std::time::{Duration, Instant};

use super::config::Config;
use super::list::{Change, List, Op};
use super::plan::plan;
use super::player::{Mismatch, play};
use super::tally::Tally;
use super::universe::Value;
use crate::parallel::guarded;

/// Runs of one shrinking, at most.
const MOST_RUNS: usize = 4000;
/// Time of one shrinking, at most.
const MOST_TIME: Duration = Duration::from_secs(40);

/// Plays a list; a panic is a complaint, too.
///
/// # Errors
/// The complaint.
pub fn attempt(list: &List, config: &Config, seed: u64, tally: &mut Tally) -> Result<(), Mismatch> {
    let played = guarded(|| play(&plan(list), config, seed, tally));
    played.unwrap_or_else(|panic| Err(Mismatch { step: 0, what: panic }))
}

/// A shorter list that fails, and what with.
pub fn shrink(list: List, config: &Config, seed: u64, mismatch: Mismatch) -> (List, Mismatch) {
    let deadline = Instant::now() + MOST_TIME;
    let mut shrinker = Shrinker { config, seed, best: list, mismatch, runs: 0, deadline };
    shrinker.cut_behind();
    loop {
        let before = shrinker.best.clone();
        shrinker.leave_out();
        shrinker.simplify();
        if shrinker.is_over() || before == shrinker.best {
            return (shrinker.best, shrinker.mismatch);
        }
    }
}

struct Shrinker<'a> {
    config: &'a Config,
    seed: u64,
    best: List,
    mismatch: Mismatch,
    runs: usize,
    deadline: Instant,
}

impl Shrinker<'_> {
    fn is_over(&self) -> bool {
        self.runs >= MOST_RUNS || Instant::now() >= self.deadline
    }

    /// Takes the candidate if it fails as well.
    fn takes(&mut self, candidate: List) -> bool {
        if self.is_over() || candidate == self.best {
            return false;
        }
        self.runs += 1;
        match attempt(&candidate, self.config, self.seed, &mut Tally::default()) {
            Ok(()) => false,
            Err(mismatch) => {
                (self.best, self.mismatch) = (candidate, mismatch);
                true
            }
        }
    }

    /// What comes after the complaint does not matter.
    fn cut_behind(&mut self) {
        let mut candidate = self.best.clone();
        candidate.ops.truncate(self.mismatch.step + 1);
        self.takes(candidate);
    }

    /// Leaves out stretches of operations, the long ones first.
    fn leave_out(&mut self) {
        let mut size = self.best.ops.len().div_ceil(2);
        while size > 0 && !self.is_over() {
            let mut at = 0;
            while at < self.best.ops.len() {
                let mut candidate = self.best.clone();
                candidate.ops.drain(at..(at + size).min(candidate.ops.len()));
                if !self.takes(candidate) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    /// Makes single operations simpler.
    fn simplify(&mut self) {
        let mut at = 0;
        while at < self.best.ops.len() && !self.is_over() {
            let simpler = simpler(&self.best.ops[at]);
            let took = simpler.into_iter().any(|op| {
                let mut candidate = self.best.clone();
                candidate.ops[at] = op;
                self.takes(candidate)
            });
            if !took {
                at += 1;
            }
        }
    }
}

/// Everything that is one step simpler than an operation.
fn simpler(op: &Op) -> Vec<Op> {
    match op {
        Op::Commit(batches) => {
            let fewer = without_one(batches).into_iter().filter(|batches| !batches.is_empty());
            let mut simpler: Vec<Op> = fewer.map(Op::Commit).collect();
            for (index, changes) in batches.iter().enumerate() {
                for changes in without_one(changes).into_iter().chain(with_simpler_value(changes)) {
                    let mut batches = batches.clone();
                    batches[index] = changes;
                    simpler.push(Op::Commit(batches));
                }
            }
            simpler
        }
        Op::GetMany(keys, at) => without_one(keys).into_iter().map(|keys| Op::GetMany(keys, *at)).collect(),
        Op::Ingest(records) => without_one(records).into_iter().map(Op::Ingest).collect(),
        Op::During(work, stride, ops) => {
            without_one(ops).into_iter().map(|ops| Op::During(*work, *stride, ops)).collect()
        }
        _ => Vec::new(),
    }
}

fn without_one<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let without = |index| {
        let mut rest = all.to_vec();
        rest.remove(index);
        rest
    };
    (0..all.len()).map(without).collect()
}

fn with_simpler_value(changes: &[Change]) -> Vec<Vec<Change>> {
    let mut simpler = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let Change::Put(key, Value(len, tag)) = change else { continue };
        for less in [1, len / 2] {
            if less < *len {
                let mut changes = changes.to_vec();
                changes[index] = Change::Put(*key, Value(less, *tag));
                simpler.push(changes);
            }
        }
    }
    simpler
}
