//! Marks on rare branches, to prove that tests get there; what `fountain_lsm::marks` is to storage.
//!
//! A rare branch says [`hit`]. With the feature `sim` the hits are counted, and the simulator fails when a mark was never
//! hit; without it nothing of this is compiled.

#[cfg(not(feature = "sim"))]
pub(crate) use absent::{Mark, hit};
#[cfg(feature = "sim")]
pub(crate) use counted::hit;
#[cfg(feature = "sim")]
pub use counted::{Mark, hits};

macro_rules! marks {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        #[cfg(feature = "sim")]
        mod names {
            /// A rare branch.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Mark { $($(#[$doc])+ $name,)+ }

            impl Mark {
                /// Every mark.
                pub const ALL: &[Self] = &[$(Self::$name),+];
            }
        }

        #[cfg(not(feature = "sim"))]
        mod names {
            #[derive(Clone, Copy)]
            pub(crate) enum Mark { $($name,)+ }
        }
    };
}

marks! {
    /// The build of an index went on where an earlier process had left it.
    BuildResumed,
    /// An index was given up because its records do not fit it, and dropped.
    BuildGivenUp,
    /// A record had been written again while the piece of a build that holds it was on its way.
    RecordChangedAmidBuild,
    /// A record that had expired made way for another one.
    ExpiredMadeWay,
    /// A sweep deleted records that had expired.
    Swept,
    /// A dropped collection or index left the rule for its old versions behind.
    RuleOutlivedKeyspace,
    /// A transaction was refused because of what it writes.
    WriteRefused,
    /// A transaction was refused because of a record that it has read.
    ReadRefused,
    /// A transaction was refused because of a range that it has read.
    RangeRefused,
    /// The entries of an index were worked out from the records of a moment at which it was not ready.
    EntriesWorkedOut,
    /// Salvage marked shapes as lost.
    ShapesMarkedLost,
    /// Salvage made up the name of a collection.
    NameMadeUp,
    /// Salvage kept what was left of a dropped collection from coming back.
    DroppedStaysDropped,
    /// Salvage removed entries of an index whose definition is lost.
    EntriesWithoutIndex,
}

#[cfg(not(feature = "sim"))]
mod absent {
    pub(crate) use super::names::Mark;

    #[inline]
    pub(crate) const fn hit(_: Mark) {}
}

#[cfg(feature = "sim")]
mod counted {
    use std::sync::atomic::{AtomicBool, Ordering};

    pub use super::names::Mark;

    static HITS: [AtomicBool; Mark::ALL.len()] = [const { AtomicBool::new(false) }; Mark::ALL.len()];

    pub(crate) fn hit(mark: Mark) {
        HITS[mark as usize].store(true, Ordering::Relaxed);
    }

    /// Whether each mark was hit in this process.
    pub fn hits() -> Vec<(Mark, bool)> {
        Mark::ALL.iter().map(|mark| (*mark, HITS[*mark as usize].load(Ordering::Relaxed))).collect()
    }
}
