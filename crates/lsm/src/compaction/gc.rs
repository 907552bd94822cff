//! Which versions of a key are still needed.
//!
//! `needed` are the sequences that must stay readable: those of open snapshots and, as the greatest, the sequence
//! from which on everything stays readable. They cut time into stripes. Every version after the last of them is
//! kept; of the versions in one stripe only the newest can be seen by anyone, so the others go. A tombstone may go,
//! too, when it is in the oldest stripe and no older version of its key lies in a deeper level: then there is nothing
//! left for it to hide. Without a list of needed sequences everything is kept.

use crate::types::{Kind, Seq, Trailer};

/// Decides version by version, keys ascending and versions of a key newest first.
pub(crate) struct VersionFilter {
    /// Ascending; `None` keeps every version.
    needed: Option<Vec<Seq>>,
    /// Stripe of the last version of the current key that was seen; stripe 0 is the oldest.
    last_stripe: Option<usize>,
}

impl VersionFilter {
    pub(crate) fn new(needed: Option<Vec<Seq>>) -> Self {
        debug_assert!(needed.as_ref().is_none_or(|needed| needed.is_sorted()));
        Self { needed, last_stripe: None }
    }

    /// Versions of another key follow.
    pub(crate) fn start_key(&mut self) {
        self.last_stripe = None;
    }

    /// Whether to keep the next version. `hides_nothing` says whether no deeper level can hold the key.
    pub(crate) fn keep(&mut self, trailer: Trailer, hides_nothing: impl FnOnce() -> bool) -> bool {
        let Some(needed) = &self.needed else { return true };
        let stripe = needed.partition_point(|&seq| seq < trailer.seq());
        if stripe == needed.len() {
            // Newer than everything that was needed when the compaction began.
            return true;
        }
        if self.last_stripe == Some(stripe) {
            return false;
        }
        self.last_stripe = Some(stripe);
        !(trailer.kind() == Kind::Delete && stripe == 0 && hides_nothing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequences kept of one key's versions, given as (sequence, is a put), newest first.
    fn kept(needed: Option<&[u64]>, versions: &[(u64, bool)], hides_nothing: bool) -> Vec<u64> {
        let seq = |number: &u64| Seq::new(*number).unwrap();
        let mut filter = VersionFilter::new(needed.map(|needed| needed.iter().map(seq).collect()));
        filter.start_key();
        let kept = versions.iter().filter(|(number, put)| {
            let kind = if *put { Kind::Put } else { Kind::Delete };
            filter.keep(Trailer::new(seq(number), kind), || hides_nothing)
        });
        kept.map(|(number, _)| *number).collect()
    }

    #[test]
    fn without_needed_sequences_everything_is_kept() {
        assert_eq!(kept(None, &[(9, false), (5, true), (2, true)], true), [9, 5, 2]);
    }

    #[test]
    fn of_each_stripe_only_the_newest_version_is_kept() {
        let versions = [(9, true), (8, true), (6, true), (5, true), (3, true), (1, true)];
        assert_eq!(kept(Some(&[10]), &versions, true), [9]);
        assert_eq!(kept(Some(&[5, 10]), &versions, true), [9, 5]);
        assert_eq!(kept(Some(&[4, 7, 10]), &versions, true), [9, 6, 3]);
        assert_eq!(kept(Some(&[7]), &versions, true), [9, 8, 6]);
    }

    #[test]
    fn a_tombstone_stays_while_it_hides_something() {
        let versions = [(9, false), (5, true), (2, true)];
        assert_eq!(kept(Some(&[10]), &versions, true), Vec::<u64>::new());
        assert_eq!(kept(Some(&[10]), &versions, false), [9]);
        assert_eq!(kept(Some(&[5, 10]), &versions, true), [9, 5]);
        assert_eq!(kept(Some(&[1, 10]), &versions, true), [9]);
    }
}
