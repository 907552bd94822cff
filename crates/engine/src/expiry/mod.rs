//! Records that expire: at a moment of their own, or as their collection says.
//!
//! A record that was put with a moment carries it in front of its document (`docs/format.md` §6.4). The others of a
//! collection with a `ttl` expire by what a field of them holds. Both only say *when*; what it means is the same:
//!
//! - The newest state has no record whose moment has come, by the clock at the time of the read. Neither do the conditions
//!   of a commit and unique indexes know one: whoever takes its key pushes it out.
//! - A transaction, and a snapshot of the newest state, go by the clock at the time when they began, as long as they last.
//! - A state of the past has exactly what its commits left. What has expired since is in it.
//! - The sweeper deletes what has expired, in ordinary commits. So it leaves indexes, those who watch are told, history says
//!   when, and compaction gives the space back as that of every other delete.
//!
//! A collection in which something may expire has an *expiry index*, which leads from moments to records. It is kept up,
//! built and dropped like every other index, and the sweeper walks it; nobody else does.
//!
//! `live` is what reads ask, `moments` keeps the times of snapshots, `sweep` is the sweeper.

mod live;
mod moments;
mod sweep;

use std::time::Duration;

use fountain_lsm::Timestamp;

use crate::error::Result;
use crate::record::{Node, Path, Reader};

pub(crate) use live::{Live, is_live, lives};
pub(crate) use moments::{Held, Moments};
pub(crate) use sweep::{Sweeper, Swept};

/// Bytes of the moment with which the entries of an expiry index begin.
pub(crate) const MOMENT_BYTES: usize = 9;

/// A moment, in milliseconds since 1970.
pub(crate) type Moment = f64;

/// The moment of a time.
#[expect(clippy::cast_precision_loss, reason = "exact for some 285,000 years")]
pub(crate) fn moment(time: Timestamp) -> Moment {
    time.millis() as Moment
}

/// The time of a moment that was made of one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time is whole and not negative"
)]
pub(crate) fn time(moment: Moment) -> Timestamp {
    Timestamp::from_millis(moment as u64)
}

/// When the records of a collection expire that carry no moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// The path of a moment; without one they do not.
    pub field: Option<Path>,
    /// How long after it.
    pub after: Duration,
}

impl Expiry {
    /// The moment of a record, if it has one.
    pub fn of(&self, record: &Reader<'_>) -> Result<Option<Moment>> {
        if let Some(at) = record.expires_at() {
            return Ok(Some(at));
        }
        let Some(field) = &self.field else { return Ok(None) };
        let Some(mut value) = field.first(record)? else { return Ok(None) };
        Ok(match value.next()? {
            Node::Date(millis) | Node::Number(millis) => Some(millis + 1000.0 * self.after.as_secs_f64()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::expiring;
    use crate::record::{Shapes, from_json, write};

    #[test]
    fn a_record_expires_by_its_own_moment_before_that_of_its_field() {
        let shapes = Shapes::empty();
        let expiry = Expiry { field: Some(Path::parse("a.at").unwrap()), after: Duration::from_millis(50) };
        let of = |json: &str, own: Option<u64>| {
            let record = write(&from_json(json).unwrap(), &shapes).unwrap();
            let record = own.map_or(record.clone(), |at| expiring(&record, Timestamp::from_millis(at)));
            let list = shapes.list();
            expiry.of(&Reader::new(&record, &list).unwrap()).unwrap()
        };
        assert_eq!(of(r#"{"a":{"at":1000}}"#, None), Some(1050.0));
        assert_eq!(of(r#"{"a":{"at":1000}}"#, Some(7)), Some(7.0));
        assert_eq!((of(r#"{"a":{"at":"1000"}}"#, None), of("{}", None)), (None, None));
        assert_eq!(of("{}", Some(7)), Some(7.0));
    }
}
