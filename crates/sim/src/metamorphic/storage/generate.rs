//! Lists by chance.
//!
//! Each list leaves out a random half of what can be done: a store that is flushed all the time never gets a large
//! memtable, one that is compacted all the time never has many tables, and both hide bugs. Some keys are much hotter
//! than others, so that histories grow and changes meet.

use super::list::{At, CURSOR_SLOTS, Change, Keep, List, Op, SNAPSHOT_SLOTS, Scan, Work, Wrong};
use super::universe::{Bound, STYLES, Span, Value};
use crate::random::Random;

/// A kind of operation, and how often it comes compared to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    GetMany,
    Versions,
    Scan,
    Cursor,
    Snapshot,
    SnapshotAt,
    Release,
    Retain,
    Flush,
    Compact,
    CompactRange,
    During,
    Ingest,
    Checkpoint,
    Reopen,
    Crash,
    SuddenCrash,
    Verify,
    Count,
    Refused,
    Wait,
    SeqAt,
}

const KINDS: [(Kind, usize); 23] = [
    (Kind::Get, 300),
    (Kind::GetMany, 100),
    (Kind::Versions, 80),
    (Kind::Scan, 120),
    (Kind::Cursor, 80),
    (Kind::Snapshot, 40),
    (Kind::SnapshotAt, 25),
    (Kind::Release, 25),
    (Kind::Retain, 12),
    (Kind::Flush, 14),
    (Kind::Compact, 6),
    (Kind::CompactRange, 8),
    (Kind::During, 16),
    (Kind::Ingest, 8),
    (Kind::Checkpoint, 2),
    (Kind::Reopen, 4),
    (Kind::Crash, 2),
    (Kind::SuddenCrash, 2),
    (Kind::Verify, 2),
    (Kind::Count, 8),
    (Kind::Refused, 4),
    (Kind::Wait, 60),
    (Kind::SeqAt, 20),
];
/// How often a commit comes compared to [`KINDS`].
const COMMITS: usize = 400;

/// The list for a seed.
pub fn generate(seed: u64) -> List {
    Generator::new(seed).list()
}

struct Generator {
    random: Random,
    keys: usize,
    hot: usize,
    kinds: Vec<(Kind, usize)>,
    /// Of 16 changes, how many are deletions, and of 64 how many delete a range.
    deletes: usize,
    range_deletes: usize,
    /// The greatest length of most values.
    value_bytes: usize,
    large_values: bool,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let kinds = KINDS.into_iter().filter(|_| random.one_in(2)).collect();
        let keys = *random.pick(&[3, 12, 40, 120]);
        Self {
            keys,
            hot: random.within(1..4),
            kinds,
            deletes: *random.pick(&[0, 1, 4, 8]),
            range_deletes: *random.pick(&[0, 1, 6, 12]),
            value_bytes: *random.pick(&[1, 30, 300, 2000, 9000]),
            large_values: random.one_in(6),
            random,
        }
    }

    fn list(mut self) -> List {
        let style = *self.random.pick(&STYLES);
        let retention = *self.random.pick(&[
            Keep::All,
            Keep::All,
            Keep::Newest,
            Keep::Newest,
            Keep::Versions(2),
            Keep::Age(3000),
        ]);
        let count = *self.random.pick(&[40, 150, 400, 400, 900]);
        let mut ops = Vec::new();
        while ops.len() < count {
            match self.op() {
                Op::SuddenCrash if self.random.one_in(2) => ops.extend(self.short_life()),
                op => ops.push(op),
            }
        }
        let whole = |reverse| Scan { span: Span { from: None, to: None }, reverse, at: At::Newest };
        let look = [Op::Scan(whole(false), u16::MAX), Op::Scan(whole(true), u16::MAX)];
        ops.extend(look.clone());
        ops.extend([Op::Verify, Op::Reopen, Op::Count]);
        ops.extend(look);
        List { style, keys: self.keys as u16, retention, ops }
    }

    /// A process that does hardly anything, lives on for a while and dies; and a question about that time.
    fn short_life(&mut self) -> [Op; 5] {
        let millis = *self.random.pick(&[900, 2000, 9000, 100_000]);
        let asked = self.random.below(millis as usize) as u32;
        [Op::Reopen, self.commit(), Op::Wait(millis), Op::SuddenCrash, Op::SeqAt(asked)]
    }

    fn op(&mut self) -> Op {
        let all: usize = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.below(all + COMMITS);
        for (kind, weight) in self.kinds.clone() {
            if left < weight {
                return self.op_of(kind);
            }
            left -= weight;
        }
        self.commit()
    }

    fn op_of(&mut self, kind: Kind) -> Op {
        match kind {
            Kind::Get => Op::Get(self.key(), self.at()),
            Kind::GetMany => {
                let count = self.random.within(1..9);
                Op::GetMany((0..count).map(|_| self.key()).collect(), self.at())
            }
            Kind::Versions => Op::Versions(self.key(), self.at()),
            Kind::Scan => {
                let limit = *self.random.pick(&[1, 3, 20, u16::MAX]);
                Op::Scan(self.scan(), limit)
            }
            Kind::Cursor => {
                let slot = self.random.below(CURSOR_SLOTS) as u8;
                if self.random.one_in(3) {
                    Op::OpenCursor(slot, self.scan())
                } else {
                    Op::StepCursor(slot, *self.random.pick(&[1, 2, 7, 30]))
                }
            }
            Kind::Snapshot => Op::Snapshot(self.slot()),
            Kind::SnapshotAt => Op::SnapshotAt(self.slot(), self.at()),
            Kind::Release => Op::Release(self.slot()),
            Kind::Retain => Op::Retain(self.span(), self.keep()),
            Kind::Flush => Op::Flush,
            Kind::Compact => Op::Compact,
            Kind::CompactRange => Op::CompactRange(self.span()),
            Kind::During => self.during(),
            Kind::Ingest => {
                let count = self.random.within(0..self.keys.min(30));
                Op::Ingest((0..count).map(|_| (self.key(), self.value())).collect())
            }
            Kind::Checkpoint => Op::Checkpoint,
            Kind::Reopen => Op::Reopen,
            Kind::Crash => Op::Crash,
            Kind::SuddenCrash => Op::SuddenCrash,
            Kind::Verify => Op::Verify,
            Kind::Count => Op::Count,
            Kind::Wait => Op::Wait(*self.random.pick(&[1, 300, 1000, 1700, 9000, 100_000])),
            Kind::SeqAt => Op::SeqAt(*self.random.pick(&[0, 1, 900, 2500, 20_000, 400_000])),
            Kind::Refused => {
                let wrongs =
                    [Wrong::LongKey, Wrong::EndlessDeletion, Wrong::UnsortedIngest, Wrong::DuplicateIngest];
                Op::Refused(*self.random.pick(&wrongs))
            }
        }
    }

    fn commit(&mut self) -> Op {
        let batches = if self.random.one_in(8) { self.random.within(2..6) } else { 1 };
        Op::Commit((0..batches).map(|_| self.changes()).collect())
    }

    fn changes(&mut self) -> Vec<Change> {
        let count = *self.random.pick(&[0, 1, 1, 1, 1, 2, 3, 5]);
        (0..count).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        if self.random.below(64) < self.range_deletes {
            return Change::DeleteRange(self.bound(), self.bound());
        }
        let key = self.key();
        if self.random.below(16) < self.deletes {
            Change::Delete(key)
        } else {
            Change::Put(key, self.value())
        }
    }

    fn during(&mut self) -> Op {
        let work = *self.random.pick(&[Work::Flush, Work::Compact, Work::Compact]);
        let stride = *self.random.pick(&[0, 1, 3, 8]);
        let count = self.random.within(1..6);
        let inside = [
            Kind::Get,
            Kind::GetMany,
            Kind::Versions,
            Kind::Scan,
            Kind::Cursor,
            Kind::Snapshot,
            Kind::SnapshotAt,
            Kind::Release,
            Kind::Retain,
            Kind::Wait,
        ];
        let ops = (0..count).map(|_| {
            if self.random.one_in(3) {
                self.commit()
            } else {
                let kind = *self.random.pick(&inside);
                self.op_of(kind)
            }
        });
        Op::During(work, stride, ops.collect())
    }

    fn key(&mut self) -> u16 {
        let among = if self.random.one_in(2) { self.hot } else { self.keys };
        self.random.below(among) as u16
    }

    fn bound(&mut self) -> Bound {
        Bound { key: self.random.below(self.keys) as u16, after: self.random.one_in(3) }
    }

    fn span(&mut self) -> Span {
        let from = if self.random.one_in(4) { None } else { Some(self.bound()) };
        let to = if self.random.one_in(3) { None } else { Some(self.bound()) };
        Span { from, to }
    }

    fn scan(&mut self) -> Scan {
        Scan { span: self.span(), reverse: self.random.one_in(2), at: self.at() }
    }

    fn slot(&mut self) -> u8 {
        self.random.below(SNAPSHOT_SLOTS) as u8
    }

    fn at(&mut self) -> At {
        match self.random.below(16) {
            0..6 => At::Newest,
            6..11 => At::Slot(self.slot()),
            11 => At::Ahead(self.random.below(3) as u16),
            _ => At::Back(*self.random.pick(&[0, 1, 2, 5, 20, 100])),
        }
    }

    fn keep(&mut self) -> Keep {
        let back = self.random.below(40) as u16;
        *self.random.pick(&[
            Keep::All,
            Keep::Newest,
            Keep::Versions(1),
            Keep::Versions(3),
            Keep::SinceBack(back),
            Keep::Age(0),
            Keep::Age(2000),
            Keep::Age(10_000),
        ])
    }

    fn value(&mut self) -> Value {
        let most = if self.large_values && self.random.one_in(40) { 200_000 } else { self.value_bytes };
        let len = if self.random.one_in(10) { 0 } else { self.random.below(most + 1) };
        Value(len as u32, self.random.bits() as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;

    #[test]
    fn a_list_follows_from_its_seed_and_all_lists_together_have_everything() {
        assert_eq!(generate(7), generate(7));
        let mut kinds = BTreeSet::new();
        for seed in 0..40 {
            let ops = generate(seed).ops;
            kinds.extend(ops.iter().map(|op| format!("{:?}", discriminant(op))));
        }
        assert_eq!(kinds.len(), 25, "every variant of Op");
    }
}
