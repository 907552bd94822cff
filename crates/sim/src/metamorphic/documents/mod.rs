//! Lists of operations on the document store.
//!
//! `list` makes one by chance; `model` is what the collections should hold, worked out from documents alone; `player`
//! carries a list out on a store, in memory or on a simulated disk, and `reads` compares every answer. Whatever is read through an
//! index must be what reading everything and filtering it would give. `builds` crashes a store at every change of the disk
//! while indexes are built.

pub mod builds;
mod list;
mod model;
mod player;
mod reads;

use self::list::generate;
use self::player::{Setup, play};
use crate::parallel::guarded;

/// What runs have done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Operations, once for every setup.
    pub operations: u64,
    /// Answers of indexes that were compared.
    pub index_answers: u64,
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
        let played = guarded(|| play(&ops, setup, seed, tally));
        played.and_then(|played| played).map_err(|what| format!("documents, {setup:?}: {what}"))?;
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
    }
}
