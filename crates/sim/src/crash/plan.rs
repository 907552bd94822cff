//! Chooses the crashes that are tried at one moment.

use crate::disk::{Crash, Disk};
use crate::random::Random;

/// With at most this many pending operations, every subset of them is tried.
const ALL_SUBSETS: usize = 4;
/// Up to this many, every subset is tried now and then.
const RARELY_ALL_SUBSETS: usize = 8;
/// With at most this many, each is tried alone and left out alone.
const EACH_ALONE: usize = 16;

/// The crashes to try on a disk, at the first crash of a case: all kinds.
pub fn all(disk: &Disk, random: &mut Random) -> Vec<Crash> {
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
    if count <= ALL_SUBSETS || (count <= RARELY_ALL_SUBSETS && random.one_in(40)) {
        crashes.extend((1..(1u32 << count) - 1).map(|mask| Crash::Only(subset(&pending, mask))));
    } else if count <= EACH_ALONE {
        for index in 0..count {
            let mask = 1 << index;
            crashes.push(Crash::Only(subset(&pending, mask)));
            crashes.push(Crash::Only(subset(&pending, !mask)));
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
        let crashes = all(&fs.disk(), &mut Random::new(1));
        let subsets = crashes.iter().filter(|crash| matches!(crash, Crash::Only(_))).count();
        assert_eq!(subsets, 6, "all but none and all, which are tried anyway");
        assert!(crashes.contains(&Crash::Only(vec![1, 3])));
    }
}
