//! What the simulator needs inside of the code that it proves: marks on rare branches, and bugs that can be planted.
//!
//! This crate and the one above it have a list of each (`marks`, `planted`), and what can be done with such a list is here,
//! once. These are macros because each list belongs to its crate, as do the features that decide whether anything of it is
//! compiled: without `sim` and `planted` all that is left of a mark or a bug is a function that does nothing and is inlined.

/// Declares the marks of a crate: the enumeration `Mark`, `hit` for the branches and, with the feature `sim`, `counts` for the
/// simulator.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_marks {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        #[cfg(not(feature = "sim"))]
        pub(crate) use absent::{Mark, hit};
        #[cfg(feature = "sim")]
        pub(crate) use counted::hit;
        #[cfg(feature = "sim")]
        pub use counted::{Mark, counts};

        #[cfg(not(feature = "sim"))]
        mod absent {
            #[derive(Clone, Copy)]
            pub(crate) enum Mark { $($name,)+ }

            #[inline]
            pub(crate) const fn hit(_: Mark) {}
        }

        #[cfg(feature = "sim")]
        mod counted {
            use std::sync::atomic::{AtomicU64, Ordering};

            /// A rare branch.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub enum Mark { $($(#[$doc])+ $name,)+ }

            impl Mark {
                /// Every mark.
                pub const ALL: &[Self] = &[$(Self::$name),+];
            }

            static COUNTS: [AtomicU64; Mark::ALL.len()] = [const { AtomicU64::new(0) }; Mark::ALL.len()];

            /// Beyond this, hits are not counted any more, so that threads do not contend for a number that says enough.
            const ENOUGH: u64 = 1000;

            pub(crate) fn hit(mark: Mark) {
                let count = &COUNTS[mark as usize];
                if count.load(Ordering::Relaxed) < ENOUGH {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }

            /// How often each mark was hit in this process.
            pub fn counts() -> Vec<(Mark, u64)> {
                let count = |mark: &Mark| (*mark, COUNTS[*mark as usize].load(Ordering::Relaxed));
                Mark::ALL.iter().map(count).collect()
            }
        }
    };
}

/// Declares the bugs of a crate: the enumeration `Bug`, `active` for the lines that ask, `inherited` for those who start
/// threads and, with the feature `planted`, `plant` for tests. Bugs that only show in a certain order of the steps of several
/// threads stand apart, as `races`.
///
/// At most one is active, in the thread that asked for it and in the threads that pass it on, as those of stores do: so two
/// threads can try two bugs at once.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_bugs {
    ($($(#[$doc:meta])+ $name:ident,)+ $(races { $($(#[$race_doc:meta])+ $race:ident,)+ })?) => {
        #[cfg(not(feature = "planted"))]
        pub(crate) use absent::{Bug, active, inherited};
        #[cfg(feature = "planted")]
        pub(crate) use chosen::active;
        #[cfg(feature = "planted")]
        pub use chosen::{Bug, Planted, inherited, plant};

        #[cfg(not(feature = "planted"))]
        mod absent {
            #[derive(Clone, Copy)]
            pub(crate) enum Bug { $($name,)+ $($($race,)+)? }

            #[inline]
            pub(crate) const fn active(_: Bug) -> bool {
                false
            }

            /// What threads pass on to those that they start: nothing.
            pub(crate) fn inherited() -> impl FnOnce() + Send + 'static {
                || {}
            }
        }

        #[cfg(feature = "planted")]
        mod chosen {
            use std::cell::Cell;

            /// A bug that can be planted.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub enum Bug { $($(#[$doc])+ $name,)+ $($($(#[$race_doc])+ $race,)+)? }

            impl Bug {
                /// Every bug that shows without threads. The simulator must find them.
                pub const ALL: &[Self] = &[$(Self::$name),+];
            }

            $(impl Bug {
                /// Those that need a certain order of the steps of several threads. The schedules must find them.
                pub const RACES: &[Self] = &[$(Self::$race),+];
            })?

            thread_local! {
                static ACTIVE: Cell<Option<Bug>> = const { Cell::new(None) };
            }

            pub(crate) fn active(bug: Bug) -> bool {
                ACTIVE.get() == Some(bug)
            }

            /// What threads pass on to those that they start, to be called there first: their bug.
            pub fn inherited() -> impl FnOnce() + Send + 'static {
                let bug = ACTIVE.get();
                move || ACTIVE.set(bug)
            }

            /// As long as this lives, its bug is active in the thread that planted it.
            #[must_use = "the bug is gone when this is dropped"]
            pub struct Planted {
                before: Option<Bug>,
            }

            /// Makes a bug active in this thread.
            pub fn plant(bug: Bug) -> Planted {
                Planted { before: ACTIVE.replace(Some(bug)) }
            }

            impl Drop for Planted {
                fn drop(&mut self) {
                    ACTIVE.set(self.before);
                }
            }
        }
    };
}
