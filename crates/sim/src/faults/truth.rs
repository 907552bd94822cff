//! What a store must answer: one map for every sequence.

use std::collections::BTreeMap;

use fountain_lsm::{Db, Direction, Durability, Error, KeyRange, ReadTier, SalvageReport, Seq, WriteBatch};

use super::script::Change;

/// Keys that are used.
pub const KEYS: usize = 12;
/// Bytes of a big value: several blocks.
const BIG_BYTES: usize = 9_000;

/// One state of all records.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// One change of one key or range.
#[derive(Clone, Debug)]
pub enum Op {
    /// A value for a key.
    Put(Vec<u8>, Vec<u8>),
    /// A key goes.
    Delete(Vec<u8>),
    /// All keys from the first to before the second go.
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// The key with a number.
pub fn key(number: usize) -> Vec<u8> {
    format!("key {:02}", number % KEYS).into_bytes()
}

/// The value that step `place` writes first, second, and so on. Large ones do not compress, so that they take blocks.
pub fn value(place: usize, nth: usize, bytes: usize) -> Vec<u8> {
    let mut value = format!("step {place} value {nth} ").into_bytes();
    let mut random = crate::random::Random::nth(place as u64, nth as u64);
    let head = value.len();
    value.resize(bytes.max(head), 0);
    random.fill(&mut value[head..]);
    value
}

/// The commits that a step makes.
pub fn commits(change: Change, place: usize) -> Vec<Vec<Op>> {
    let put = |nth: usize| Op::Put(key(place * 5 + nth * 7), value(place, nth, 40));
    match change {
        Change::Put => vec![vec![put(0)]],
        Change::Delete => vec![vec![Op::Delete(key(place * 3))]],
        Change::DeleteRange => {
            let from = place % (KEYS - 4);
            vec![vec![Op::DeleteRange(key(from), key(from + 4)), Op::Put(key(from + 1), value(place, 0, 40))]]
        }
        Change::Batch => {
            let puts = (0..8).map(|nth| Op::Put(key(place + nth), value(place, nth, 200)));
            vec![puts.chain([Op::Delete(key(place + 9))]).collect()]
        }
        Change::Many => (0..3).map(|nth| vec![put(nth)]).collect(),
        Change::Big => vec![vec![Op::Put(key(place), value(place, 0, BIG_BYTES)), put(1)]],
        Change::Empty => vec![vec![]],
    }
}

/// A commit for the store.
pub fn batch(ops: &[Op]) -> fountain_lsm::Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    for op in ops {
        match op {
            Op::Put(key, value) => batch.put(key, value),
            Op::Delete(key) => batch.delete(key),
            Op::DeleteRange(start, end) => {
                batch.delete_range(&KeyRange { start: start.clone(), end: Some(end.clone()) })
            }
        }?;
    }
    Ok(batch)
}

/// Everything that was and may be.
pub struct Truth {
    /// The records at every sequence, from 0 on.
    pub states: Vec<Records>,
    /// The last sequence acknowledged with each durability, weakest first.
    acknowledged: [u64; 3],
    /// Older sequences may be refused.
    pub forgets: bool,
}

impl Default for Truth {
    fn default() -> Self {
        Self { states: vec![Records::new()], acknowledged: [0; 3], forgets: false }
    }
}

impl Truth {
    /// The last sequence that was begun.
    pub fn last(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// The truth of a copy that holds everything up to `seq`.
    #[must_use]
    pub fn upto(&self, seq: u64) -> Self {
        let states = self.states.iter().take(seq as usize + 1).cloned().collect();
        Self { states, acknowledged: [seq; 3], forgets: self.forgets }
    }

    /// Begins a commit.
    pub fn begin(&mut self, ops: &[Op]) {
        let mut records = self.states.last().cloned().unwrap_or_default();
        for op in ops {
            match op {
                Op::Put(key, value) => drop(records.insert(key.clone(), value.clone())),
                Op::Delete(key) => drop(records.remove(key)),
                Op::DeleteRange(start, end) => records.retain(|key, _| !(start <= key && key < end)),
            }
        }
        self.states.push(records);
    }

    /// What was begun after `last` never happened.
    pub fn forget_after(&mut self, last: u64) {
        self.states.truncate(last as usize + 1);
    }

    /// Everything begun so far was acknowledged.
    pub fn acknowledge(&mut self, durability: Durability) {
        let last = self.last();
        let least = match durability {
            Durability::Memory => 1,
            Durability::Os => 2,
            Durability::Disk => 3,
        };
        self.acknowledged[..least].fill(last);
    }

    /// The last sequence that must still be there, if what was acknowledged with this durability must.
    pub fn promised(&self, durability: Durability) -> u64 {
        match durability {
            Durability::Memory => self.acknowledged[0],
            Durability::Os => self.acknowledged[1],
            Durability::Disk => self.acknowledged[2],
        }
    }

    /// A store was opened and shows everything up to `seq`: that is how it is, and must stay.
    pub fn settle(&mut self, seq: u64) {
        self.forget_after(seq);
        self.acknowledged = [seq; 3];
    }

    /// Compares everything that a store answers with what it must. `may_fail` says whether reads may be errors.
    pub fn compare(&self, db: &Db, may_fail: &dyn Fn() -> bool) -> Result<(), String> {
        let newest = db.visible();
        let Some(records) = self.states.get(newest.get() as usize) else {
            return Err(format!("sequence {newest} is visible; the last one begun is {}", self.last()));
        };
        // Half of the keys, so that requests are left to go wrong.
        for key in (0..KEYS).step_by(2).map(key) {
            match db.get_newest(&key, ReadTier::System) {
                Err(Error::WouldBlock) => {}
                found => {
                    same(found.map(|value| value.map(|value| value.to_vec())), records.get(&key), may_fail)
                        .map_err(|what| format!("{} at once: {what}", String::from_utf8_lossy(&key)))?;
                }
            }
        }
        for number in 0..KEYS {
            let key = key(number);
            let found = db.get_newest(&key, ReadTier::Disk);
            same(found.map(|value| value.map(|value| value.to_vec())), records.get(&key), may_fail)
                .map_err(|what| format!("{} at {newest}: {what}", String::from_utf8_lossy(&key)))?;
        }
        self.compare_scans(db, newest, may_fail)?;
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        if let Some(found) = answered(db.get_many(&keys, newest, ReadTier::Disk), may_fail)? {
            for (key, found) in keys.iter().zip(found) {
                if found.as_ref().map(|value| value.to_vec()).as_ref() != records.get(key) {
                    return Err(format!("{} among several is wrong", String::from_utf8_lossy(key)));
                }
            }
        }
        self.compare_history(db, newest, may_fail)
    }

    /// Compares a store that was saved, with losses, as of its newest sequence: what is not right is reported as missing, and
    /// was right once.
    pub fn compare_with_gaps(&self, db: &Db, report: &SalvageReport) -> Result<(), String> {
        let newest = db.visible();
        let last = newest.get() as usize;
        let found: Records =
            scan(db, newest, Direction::Forward).map_err(|error| error.to_string())?.into_iter().collect();
        if let Some(key) =
            found.keys().find(|key| self.states[..=last].iter().all(|state| !state.contains_key(*key)))
        {
            return Err(format!("{} never was there", String::from_utf8_lossy(key)));
        }
        for key in (0..KEYS).map(key) {
            let (found, right) = (found.get(&key), self.states[last].get(&key));
            let reported = || report.losses.iter().any(|loss| loss.keys.contains(&key));
            let was_right = || self.states[..=last].iter().any(|state| state.get(&key) == found);
            if found != right && !(reported() && (found.is_none() || was_right())) {
                return Err(format!(
                    "{} is wrong, and not reported as missing",
                    String::from_utf8_lossy(&key)
                ));
            }
        }
        Ok(())
    }

    fn compare_scans(&self, db: &Db, at: Seq, may_fail: &dyn Fn() -> bool) -> Result<(), String> {
        let records = &self.states[at.get() as usize];
        let mut expected: Vec<_> = records.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        for direction in [Direction::Forward, Direction::Reverse] {
            if let Some(found) = answered(scan(db, at, direction), may_fail)?
                && found != expected
            {
                let names = |records: &[(Vec<u8>, Vec<u8>)]| {
                    let keys = records.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned());
                    keys.collect::<Vec<_>>().join(", ")
                };
                return Err(format!(
                    "a scan ({direction:?}) at {at} gives [{}]; expected [{}], or other values of these",
                    names(&found),
                    names(&expected)
                ));
            }
            expected.reverse();
        }
        Ok(())
    }

    /// A few older sequences.
    fn compare_history(&self, db: &Db, newest: Seq, may_fail: &dyn Fn() -> bool) -> Result<(), String> {
        for back in [1, 2, 5] {
            let Some(at) = newest.get().checked_sub(back).and_then(Seq::new) else { continue };
            for number in [at.get() as usize, at.get() as usize + 3] {
                let key = key(number);
                let found = db.get(&key, at, ReadTier::Disk);
                if matches!(found, Err(Error::HistoryTruncated { .. })) && self.forgets {
                    continue;
                }
                let expected = self.states[at.get() as usize].get(&key);
                same(found.map(|value| value.map(|value| value.to_vec())), expected, may_fail)
                    .map_err(|what| format!("{} as of {at}: {what}", String::from_utf8_lossy(&key)))?;
            }
        }
        Ok(())
    }
}

fn scan(db: &Db, at: Seq, direction: Direction) -> fountain_lsm::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut cursor = db.cursor(KeyRange::default(), at, direction, ReadTier::Disk)?;
    let mut records = Vec::new();
    while cursor.next()? {
        records.push((cursor.key().to_vec(), cursor.value().to_vec()));
    }
    Ok(records)
}

/// An answer, or `None` for an error that may be.
fn answered<T>(answer: fountain_lsm::Result<T>, may_fail: &dyn Fn() -> bool) -> Result<Option<T>, String> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(_) if may_fail() => Ok(None),
        Err(error) => Err(format!("an error without a reason: {error}")),
    }
}

fn same(
    found: fountain_lsm::Result<Option<Vec<u8>>>,
    expected: Option<&Vec<u8>>,
    may_fail: &dyn Fn() -> bool,
) -> Result<(), String> {
    match answered(found, may_fail)? {
        Some(found) if found.as_ref() != expected => {
            let head = |value: Option<&Vec<u8>>| {
                value.map(|value| String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned())
            };
            Err(format!("{:?} where {:?} was expected", head(found.as_ref()), head(expected)))
        }
        _ => Ok(()),
    }
}
