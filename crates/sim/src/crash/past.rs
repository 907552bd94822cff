//! How much of the past may be gone.
//!
//! A store drops old versions when it flushes or compacts, which may be at any time; so for every key there is a greatest
//! floor that the retentions there have allowed so far. At and above it everything can be read, whatever was dropped;
//! below it, what is read is right or refused. An age allows what was not the newest any more that long ago: the clock is
//! the session's, so that is known to the millisecond.

use super::script::Keep;
use crate::model::Model;

/// Keys `k00` to `k14`, of which a retention may be set, and all others.
const PLACES: usize = 16;
/// Milliseconds that [`Keep::Age`] stands for.
pub const AGE_MILLIS: u64 = 3000;

/// A number for every key.
fn place(key: &[u8]) -> usize {
    let digits = key.strip_prefix(b"k").and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(PLACES).min(PLACES - 1)
}

/// For every key the greatest sequence before which its past may be gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors([u64; PLACES]);

impl Floors {
    /// The same for all keys.
    pub const fn all(floor: u64) -> Self {
        Self([floor; PLACES])
    }

    /// The floor of a key.
    pub fn of(&self, key: &[u8]) -> u64 {
        self.0[place(key)]
    }

    /// The floor of a read of all keys.
    pub fn greatest(&self) -> u64 {
        self.0.into_iter().max().unwrap_or_default()
    }

    /// What is left of them when no commit after `last` is.
    #[must_use]
    pub fn lowered(&self, last: u64) -> Self {
        Self(self.0.map(|floor| floor.min(last)))
    }

    /// The greater ones of both.
    #[must_use]
    pub fn raised(&self, other: &Self) -> Self {
        let mut raised = *self;
        raised.0.iter_mut().zip(other.0).for_each(|(floor, other)| *floor = other.max(*floor));
        raised
    }
}

/// What a retention keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    All,
    Newest,
    Since(u64),
    Age,
}

impl Rule {
    /// The greatest floor that it allows now.
    fn floor(self, model: &Model, now: u64) -> u64 {
        match self {
            Self::All => 0,
            Self::Newest => model.last(),
            Self::Since(seq) => seq,
            Self::Age => model.newest_at(now.saturating_sub(AGE_MILLIS)),
        }
    }
}

/// The retentions of an open store, and what they have allowed so far.
#[derive(Clone, Debug)]
pub struct Past {
    rules: [Rule; PLACES],
    floors: Floors,
}

impl Past {
    /// Of a store that was just opened, with these floors.
    pub fn new(latest_only: bool, floors: Floors) -> Self {
        Self { rules: [if latest_only { Rule::Newest } else { Rule::All }; PLACES], floors }
    }

    /// What is allowed by now to be gone.
    pub fn floors(&mut self, model: &Model, now: u64) -> Floors {
        let allowed = Floors(self.rules.map(|rule| rule.floor(model, now)));
        self.floors = self.floors.raised(&allowed);
        self.floors
    }

    /// Another retention for the keys with these numbers.
    pub fn retain(&mut self, keys: std::ops::Range<usize>, keep: Keep, model: &Model, now: u64) {
        self.floors(model, now);
        self.rules[keys].fill(match keep {
            Keep::Latest | Keep::Two => Rule::Newest,
            Keep::Since => Rule::Since(model.last()),
            Keep::Age => Rule::Age,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_age_allows_is_what_was_newest_that_long_ago() {
        let mut model = Model::default();
        for time in [1000, 2000, 6000] {
            model.commit(&[], time);
        }
        let mut past = Past::new(false, Floors::default());
        past.retain(2..4, Keep::Age, &model, 6000);
        let mut at = |now| past.floors(&model, now).0[1..5].to_vec();
        assert_eq!((at(4999), at(5000), at(8999)), (vec![0, 1, 1, 0], vec![0, 2, 2, 0], vec![0, 2, 2, 0]));
        // Nothing comes back.
        past.retain(3..5, Keep::Since, &model, 9000);
        assert_eq!(past.floors(&model, 9000).0[1..5], [0, 3, 3, 3]);
        assert_eq!(past.floors(&model, 9000).lowered(1).greatest(), 1);
        assert_eq!((place(b"k07"), place(b"k15"), place(b"else")), (7, 15, 15));
    }
}
