//! Lists of operations on the document store.
//!
//! `list` makes one by chance; `model` is what the collections should hold, worked out from documents alone; `player`
//! carries a list out on a store, in memory or on a simulated disk, `reads` compares every answer, `watching` what watchers are told. Whatever is read through an
//! index must be what reading everything and filtering it would give. `builds` crashes a store at every change of the disk
//! while indexes are built. `crash` is a stage of its own: crash states of stores with several collections.

pub mod builds;
pub mod crash;
mod list;
mod model;
mod player;
mod reads;
mod watching;

use self::list::{Op, generate};
use self::player::{Setup, play};
use crate::parallel::guarded;
use crate::shrink::shrink;

/// What runs have done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Operations, once for every setup.
    pub operations: u64,
    /// Answers of indexes that were compared.
    pub index_answers: u64,
    /// Commits that watchers were told of.
    pub told: u64,
    /// Times that a store died.
    pub crashes: u64,
    /// Stores that died while an index was built, and were compared afterwards.
    pub builds: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.index_answers += other.index_answers;
        self.told += other.told;
        self.crashes += other.crashes;
        self.builds += other.builds;
    }
}

/// One list under all setups.
///
/// # Errors
/// The first complaint, and under which setup.
pub fn case(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let ops = generate(seed);
    for setup in Setup::ALL {
        attempt(&ops, setup, seed, tally).map_err(|what| format!("documents, {setup:?}: {what}"))?;
    }
    Ok(())
}

fn attempt(ops: &[Op], setup: Setup, seed: u64, tally: &mut Tally) -> Result<(), String> {
    guarded(|| play(ops, setup, seed, tally)).and_then(|played| played)
}

/// As [`case`], and the complaint ends with the shortest list found that leads to one.
///
/// # Errors
/// The first complaint, and under which setup.
pub fn replay(seed: u64) -> Result<(), String> {
    let ops = generate(seed);
    for setup in Setup::ALL {
        let try_again = |ops: &[Op]| attempt(ops, setup, seed, &mut Tally::default());
        if let Err(what) = try_again(&ops) {
            let short = shrink(&ops, |ops| try_again(ops).is_err());
            let lines: Vec<_> = short.iter().map(|op| format!("    {op:?}")).collect();
            let last = try_again(&short).err().unwrap_or_default();
            return Err(format!("documents, {setup:?}: {what}\n  shorter: {last}\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lists_have_one_history_under_all_setups() {
        let mut tally = Tally::default();
        for seed in 0..12 {
            case(seed, &mut tally).unwrap();
        }
        assert!(tally.operations > 1000 && tally.index_answers > 300 && tally.crashes > 5, "{tally:?}");
        assert!(tally.told > 100, "{tally:?}");
    }
}
