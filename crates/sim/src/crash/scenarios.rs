//! What the crash stage does to stores: scripted scenarios, every short sequence of steps, and random ones.

use super::script::{Commit, Keep, Script, Step};
use crate::random::Random;
use fountain_lsm::Durability;

/// Scenarios that go through everything the storage does, alone and against each other.
pub const SCRIPTED: [&str; 33] = [
    "8*put",
    // So much more below than above that the tables above are merged among themselves.
    "8*big compact put flush put flush put flush put flush put flush put flush put flush put flush put flush put flush \
     put flush put flush step-compact put",
    "5*put 3*delete 2*delete-range",
    "put.os put.os put put.os put.memory put.memory",
    "put.memory put.os abandon put put.memory abandon put",
    "3*batch many many.os batch.os",
    "big put big.os put big",
    "empty put empty empty.os flush empty put",
    "2*put flush 2*put flush delete put",
    "put flush put flush put flush put flush put flush batch",
    "3*put flush 2*put flush compact 2*put",
    "batch flush batch flush delete-range flush compact batch",
    "put flush delete-range flush put compact-range put.os",
    "put snapshot put delete flush compact release put compact",
    "2*put snapshot delete-range flush snapshot put flush compact release flush compact",
    "latest 3*put flush 3*put flush compact put flush compact",
    "batch two batch flush batch flush compact delete flush compact",
    "batch since batch flush delete compact put compact",
    "3*put checkpoint 2*put",
    "put flush checkpoint put flush checkpoint compact put",
    "put.os checkpoint put.os delete-range checkpoint",
    "ingest put ingest",
    "3*put ingest flush ingest compact put",
    "put.os ingest put.memory ingest",
    "put reopen put reopen put",
    "put flush reopen delete flush compact reopen put",
    "put.os abandon put.os abandon put flush abandon",
    "batch checkpoint reopen batch checkpoint abandon put",
    "many flush many flush many flush many flush many flush compact",
    "big flush big.os delete-range compact big checkpoint",
    "4*big step-flush 3*put step-flush put.os put",
    "age batch put flush step-compact batch flush step-flush delete compact put",
    "put empty.memory ingest empty reopen delete-range ingest abandon batch.os flush",
];

/// The steps that short sequences are made of.
const SMALL: [Step; 14] = [
    Step::Commit(Commit::Put, Durability::Disk),
    Step::Commit(Commit::Put, Durability::Os),
    Step::Commit(Commit::Delete, Durability::Disk),
    Step::Commit(Commit::DeleteRange, Durability::Disk),
    Step::Commit(Commit::Batch, Durability::Memory),
    Step::Commit(Commit::Big, Durability::Disk),
    Step::Flush,
    Step::Compact,
    Step::Snapshot,
    Step::Checkpoint,
    Step::Ingest,
    Step::Reopen,
    Step::Abandon,
    Step::Retain(Keep::Latest),
];

/// Number of sequences of one, two and three of the small steps.
pub const SHORT_SEQUENCES: u64 = 14 + 14 * 14 + 14 * 14 * 14;

/// Of these the ones of one and two.
const SHORTEST: u64 = 14 + 14 * 14;

/// The short sequence that is the `turn`-th from a start on: those of one and two steps in order, those of three in an order in which
/// neighbours differ. Each comes once in [`SHORT_SEQUENCES`] turns.
pub fn short_in_turn(start: u64, turn: u64) -> Script {
    // The step has no factor in common with the number of sequences of three.
    let place = (start % SHORT_SEQUENCES + turn) % SHORT_SEQUENCES;
    short_sequence(match place.checked_sub(SHORTEST) {
        None => place,
        Some(place) => SHORTEST + place * 1009 % (SHORT_SEQUENCES - SHORTEST),
    })
}

/// The short sequence with this index; every one has an index below [`SHORT_SEQUENCES`].
pub fn short_sequence(index: u64) -> Script {
    let mut rest = index as usize;
    let mut len = 1;
    let mut count = SMALL.len();
    while rest >= count && len < 3 {
        rest -= count;
        count *= SMALL.len();
        len += 1;
    }
    let mut steps = Vec::new();
    for _ in 0..len {
        steps.push(SMALL[rest % SMALL.len()]);
        rest /= SMALL.len();
    }
    Script(steps)
}

/// A scenario of chance. Each uses only some kinds of steps, so that what is rare beside others gets its turn.
pub fn random(seed: u64) -> Script {
    let mut random = Random::nth(seed, 0x5C);
    let all = Step::all();
    let kinds: Vec<Step> = (0..random.within(3..8)).map(|_| *random.pick(&all)).collect();
    let put = Step::Commit(Commit::Put, *random.pick(&[Durability::Disk, Durability::Os]));
    let len = random.within(4..16);
    Script((0..len).map(|_| if random.one_in(3) { put } else { *random.pick(&kinds) }).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_scripted_scenario_can_be_read() {
        for text in SCRIPTED {
            assert!(text.parse::<Script>().is_ok_and(|script| !script.0.is_empty()), "{text}");
        }
    }

    #[test]
    fn all_short_sequences_are_different() {
        let all: HashSet<String> =
            (0..SHORT_SEQUENCES).map(|index| short_sequence(index).to_string()).collect();
        assert_eq!(all.len() as u64, SHORT_SEQUENCES);
        for start in [0, 1000, u64::MAX] {
            let in_turn = (0..SHORT_SEQUENCES).map(|turn| short_in_turn(start, turn).to_string());
            assert!(in_turn.collect::<HashSet<_>>() == all, "each once, from {start}");
        }
    }
}
