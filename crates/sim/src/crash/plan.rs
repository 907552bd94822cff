//! Chooses the crashes that are tried at one moment.

use crate::disk::{Crash, Disk};
use crate::random::Random;

/// With at most this many pending operations, every subset of them is tried before a sync, when they are as many as they
/// ever get: what a crash can leave earlier is among that.
const ALL_SUBSETS: usize = 7;
/// Up to this many, every subset is tried before one sync in so many.
const SOMETIMES_ALL_SUBSETS: (usize, usize) = (10, 4);
/// With at most this many, every subset is tried at every moment.
const ALWAYS_ALL_SUBSETS: usize = 4;
/// With at most this many, each is tried alone and left out alone at every moment; with more, only before a sync.
const ALWAYS_EACH_ALONE: usize = 16;

/// The crashes to try on a disk, at the first crash of a case: all kinds. More of them before a sync.
pub fn all(disk: &Disk, before_sync: bool, random: &mut Random) -> Vec<Crash> {
    let mut crashes = vec![Crash::Synced, Crash::Kill];
    let pending = disk.pending();
    if pending.is_empty() {
        return crashes;
    }
    crashes.extend([
        Crash::Prefix(random.bits()),
        Crash::Sectors(random.bits()),
        Crash::Sectors(random.bits()),
    ]);
    crashes.extend([Crash::Garbage(random.bits()), Crash::Garbage(random.bits())]);
    let count = pending.len();
    let (many, one_in) = SOMETIMES_ALL_SUBSETS;
    let (subsets, alone) = match before_sync {
        true if random.one_in(one_in) => (many, usize::MAX),
        true => (ALL_SUBSETS, usize::MAX),
        false => (ALWAYS_ALL_SUBSETS, ALWAYS_EACH_ALONE),
    };
    if count <= subsets {
        crashes.extend((1..(1u32 << count) - 1).map(|mask| Crash::Only(subset(&pending, mask))));
    } else if count <= alone {
        for number in &pending {
            crashes.push(Crash::Only(vec![*number]));
            crashes.push(Crash::Only(pending.iter().copied().filter(|other| other != number).collect()));
        }
    }
    crashes
}

/// One crash to try, at a second or third crash of a case.
pub fn one(disk: &Disk, random: &mut Random) -> Crash {
    let pending = disk.pending();
    match random.below(if pending.is_empty() { 2 } else { 8 }) {
        0 => Crash::Synced,
        1 => Crash::Kill,
        2 => Crash::Prefix(random.bits()),
        3 | 4 => Crash::Sectors(random.bits()),
        5 => Crash::Garbage(random.bits()),
        _ => Crash::Only(pending.into_iter().filter(|_| random.one_in(2)).collect()),
    }
}

fn subset(pending: &[u32], mask: u32) -> Vec<u32> {
    let chosen = pending.iter().enumerate().filter(|(index, _)| mask >> index & 1 == 1);
    chosen.map(|(_, number)| *number).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use fountain_lsm::fs::Fs;

    use super::*;
    use crate::disk::SimFs;

    #[test]
    fn few_pending_operations_are_tried_in_every_combination() {
        let fs = SimFs::default();
        for name in ["/a", "/b", "/c"] {
            fs.create_new(Path::new(name)).unwrap();
        }
        let crashes = all(&fs.disk(), false, &mut Random::new(1));
        assert_eq!(subsets(&crashes), 6, "all but none and all, which are tried anyway");
        assert!(crashes.contains(&Crash::Only(vec![1, 3])));
    }

    fn subsets(crashes: &[Crash]) -> usize {
        crashes.iter().filter(|crash| matches!(crash, Crash::Only(_))).count()
    }

    #[test]
    fn before_a_sync_more_combinations_are_tried() {
        let fs = SimFs::default();
        for (files, otherwise, before_sync) in
            [(7, 14, vec![126]), (10, 20, vec![20, 1022]), (14, 28, vec![28]), (30, 0, vec![60])]
        {
            while fs.disk().pending().len() < files {
                fs.create_new(Path::new(&format!("/{}", fs.disk().pending().len()))).unwrap();
            }
            let disk = fs.disk();
            let tried = |before_sync| -> Vec<usize> {
                (0..40).map(|seed| subsets(&all(&disk, before_sync, &mut Random::new(seed)))).collect()
            };
            assert!(tried(false).iter().all(|count| *count == otherwise), "{files} files");
            let found: BTreeSet<_> = tried(true).into_iter().collect();
            assert_eq!(found, before_sync.into_iter().collect(), "{files} files");
        }
    }
}
