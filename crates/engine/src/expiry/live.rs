//! Which records a read sees: those that have not expired by the time that counts for it.

use std::sync::Arc;

use super::{Expiry, Moment};
use crate::envelope;
use crate::error::Result;
use crate::index::Index;
use crate::planted::{self, Bug};
use crate::record::{Reader, ShapeList, Shapes};

/// The time that counts for a read of a collection, and what its records expire by.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    now: Moment,
    index: Arc<Index>,
    shapes: Arc<Shapes>,
}

impl Live {
    /// Of the collection whose expiry index this is.
    pub fn new(now: Moment, index: &Arc<Index>, shapes: Arc<Shapes>) -> Self {
        Self { now, index: Arc::clone(index), shapes }
    }

    /// The time that counts.
    pub fn moment(&self) -> Moment {
        self.now
    }

    /// Whether a stored record has not expired. The shapes are looked at after the record was read, so that they have its own.
    pub fn has(&self, stored: &[u8]) -> Result<bool> {
        let expiry = self.index.expiry.as_ref();
        expiry.map_or(Ok(true), |expiry| is_live(expiry, stored, &self.shapes.list(), self.now))
    }
}

/// Whether a stored record is seen; without a [`Live`] every one is.
pub(crate) fn lives(live: Option<&Live>, stored: &[u8]) -> Result<bool> {
    live.filter(|_| !planted::active(Bug::ExpiredAreSeen)).map_or(Ok(true), |live| live.has(stored))
}

/// Whether a stored record has not expired at a moment.
pub(crate) fn is_live(expiry: &Expiry, stored: &[u8], shapes: &ShapeList, now: Moment) -> Result<bool> {
    let moment = if envelope::carries_moment(stored) {
        envelope::open(stored).expires_at
    } else if expiry.field.is_none() {
        None
    } else {
        expiry.of(&Reader::new(stored, shapes)?)?
    };
    Ok(moment.is_none_or(|moment| moment > now))
}
