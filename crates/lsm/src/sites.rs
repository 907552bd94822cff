//! Where errors of the disk arrive, for the simulator's fault injection.
//!
//! Every request that this crate makes to the disk handles its error in one of three ways, each of them a call with a
//! place of its own in the source: [`crate::Error::io`], [`crate::Error::sync`], or [`crate::fs::tolerate`]. With the
//! feature `sim`, the places are noted when an error comes by, so that a test can tell which have never seen one, and
//! can tell for each injected error that it arrived. Without the feature nothing of this is compiled.

#[cfg(feature = "sim")]
pub use noted::{Arrivals, arrivals, seen};

#[cfg(not(feature = "sim"))]
pub(crate) use not_noted::{surfaced, tolerated};
#[cfg(feature = "sim")]
pub(crate) use noted::{surfaced, tolerated};

#[cfg(not(feature = "sim"))]
mod not_noted {
    use std::panic::Location;

    pub(crate) fn surfaced(_: &'static Location<'static>) {}

    pub(crate) fn tolerated(_: &'static Location<'static>) {}
}

#[cfg(feature = "sim")]
mod noted {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::panic::Location;
    use std::sync::{Mutex, PoisonError};

    /// Errors of the disk that arrived in this thread.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Arrivals {
        /// Became an error of this crate.
        pub surfaced: u64,
        /// Were let pass, because nothing depends on what was asked for.
        pub tolerated: u64,
    }

    thread_local! {
        static HERE: Cell<Arrivals> = const { Cell::new(Arrivals { surfaced: 0, tolerated: 0 }) };
    }

    /// Files and lines.
    static SEEN: Mutex<BTreeSet<(&'static str, u32)>> = Mutex::new(BTreeSet::new());

    pub(crate) fn surfaced(place: &'static Location<'static>) {
        note(place);
        HERE.with(|here| here.set(Arrivals { surfaced: here.get().surfaced + 1, ..here.get() }));
    }

    pub(crate) fn tolerated(place: &'static Location<'static>) {
        note(place);
        HERE.with(|here| here.set(Arrivals { tolerated: here.get().tolerated + 1, ..here.get() }));
    }

    fn note(place: &'static Location<'static>) {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert((place.file(), place.line()));
    }

    /// What has arrived in this thread since it began.
    pub fn arrivals() -> Arrivals {
        HERE.with(Cell::get)
    }

    /// The places, as file and line, at which an error has arrived in this process.
    pub fn seen() -> Vec<(&'static str, u32)> {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
