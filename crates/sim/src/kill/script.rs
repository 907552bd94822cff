//! What the children write. Commit `k` of a lane in a round follows from these numbers and the seed alone, so the child
//! need not tell and the check need not remember.
//!
//! Every lane has keys of its own, and every commit of it also writes the lane's counter, which says how many of the
//! lane's commits a store holds.

use std::collections::BTreeMap;

use fountain_lsm::{KeyRange, WriteBatch};

use crate::random::{Random, mix};

/// The content of a store.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys of a lane besides its counter.
const KEYS: usize = 48;

/// The commits of one lane in one round.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub seed: u64,
    pub round: u32,
    pub lane: u8,
}

/// One change of a commit. Deletions of ranges come before the others of their commit.
enum Change {
    DeleteRange(KeyRange),
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
}

impl Script {
    /// Commit `k`, from 1.
    pub fn batch(self, k: u64) -> fountain_lsm::Result<WriteBatch> {
        let mut batch = WriteBatch::new();
        for change in self.changes(k) {
            match change {
                Change::DeleteRange(range) => batch.delete_range(&range)?,
                Change::Put(key, value) => batch.put(&key, &value)?,
                Change::Delete(key) => batch.delete(&key)?,
            }
        }
        Ok(batch)
    }

    /// Commit `k` as a bulk ingest: what it puts, in order, and nothing that it deletes.
    pub fn ingest(self, k: u64) -> Records {
        let mut records = Records::new();
        for change in self.changes(k) {
            if let Change::Put(key, value) = change {
                records.insert(key, value);
            }
        }
        records
    }

    /// Changes `records` as commit `k` does, if it is an ingest or not.
    pub fn apply(self, k: u64, is_ingest: bool, records: &mut Records) {
        if is_ingest {
            records.extend(self.ingest(k));
            return;
        }
        for change in self.changes(k) {
            match change {
                Change::DeleteRange(range) => records.retain(|key, _| !range.contains(key)),
                Change::Put(key, value) => drop(records.insert(key, value)),
                Change::Delete(key) => drop(records.remove(&key)),
            }
        }
    }

    /// The key under which the lane counts its commits.
    pub fn counter_key(lane: u8) -> Vec<u8> {
        vec![lane, b'#']
    }

    /// How many commits of this round the lane has made, according to its counter.
    pub fn count(self, records: &Records) -> Result<u64, String> {
        let Some(value) = records.get(&Self::counter_key(self.lane)) else { return Ok(0) };
        let wrong = || format!("the counter of lane {} is {value:?}", self.lane);
        let (round, k) = value.split_first_chunk::<4>().ok_or_else(wrong)?;
        let k = k.try_into().map(u64::from_le_bytes).map_err(|_| wrong())?;
        match u32::from_le_bytes(*round) {
            round if round == self.round => Ok(k),
            round if round < self.round => Ok(0),
            _ => Err(wrong()),
        }
    }

    fn changes(self, k: u64) -> Vec<Change> {
        let mut random = Random::nth(mix(self.seed ^ u64::from(self.round)) ^ u64::from(self.lane), k);
        let mut changes = Vec::new();
        if random.one_in(12) {
            let first = random.below(KEYS);
            let range = KeyRange { start: self.key(first), end: Some(self.key(first + random.below(6))) };
            changes.push(Change::DeleteRange(range));
        }
        for part in 0..random.below(4) {
            let key = self.key(random.below(KEYS));
            if random.one_in(4) {
                changes.push(Change::Delete(key));
            } else {
                changes.push(Change::Put(key, self.value(k, part, &mut random)));
            }
        }
        let counter = [&self.round.to_le_bytes()[..], &k.to_le_bytes()].concat();
        changes.push(Change::Put(Self::counter_key(self.lane), counter));
        changes
    }

    fn key(self, number: usize) -> Vec<u8> {
        format!("{}key {number:03}", char::from(self.lane)).into_bytes()
    }

    /// A value that no other commit of any round writes.
    fn value(self, k: u64, part: usize, random: &mut Random) -> Vec<u8> {
        let mut value = format!("{} {} {k} {part} ", self.round, self.lane).into_bytes();
        let begin = value.len();
        let long = if random.one_in(10) { 6000 } else { 200 };
        value.resize(begin + random.below(long), 0);
        random.fill(&mut value[begin..]);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_says_how_many_commits_of_the_round_there_are() {
        let script = Script { seed: 7, round: 2, lane: 1 };
        let mut records = Records::new();
        Script { round: 1, ..script }.apply(9, false, &mut records);
        assert_eq!(script.count(&records), Ok(0), "it is from an earlier round");
        script.apply(1, false, &mut records);
        script.apply(2, true, &mut records);
        assert_eq!(script.count(&records), Ok(2));
        assert!(Script { round: 1, ..script }.count(&records).is_err(), "from the future");
    }
}
