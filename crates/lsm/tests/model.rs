//! Random operations on a store and on a plain map must give the same answers, whatever is flushed, compacted,
//! killed or reopened in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use fountain_lsm::{
    Compression, Db, Direction, Durability, Error, KeyPrefix, KeyRange, Options, ReadTier, Retention, Seq,
    Snapshot, TableLayout, WriteBatch,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{fast_dir, killed, scan, seq, small};

#[derive(Clone, Debug)]
enum Op {
    /// One commit: keys with a value length, or a delete.
    Commit(Vec<(u8, Option<u16>)>),
    CommitMany(Vec<Vec<(u8, Option<u16>)>>),
    /// Deletes a range of keys and puts one of them back in the same commit.
    DeleteRange(u8, u8),
    Flush,
    Compact,
    Snapshot,
    DropSnapshot,
    CleanReopen,
    Kill,
    Check {
        from: u8,
        to: u8,
        back: u8,
    },
}

fn changes() -> impl Strategy<Value = Vec<(u8, Option<u16>)>> {
    let len = prop_oneof![8 => 0..60u16, 1 => 4000..9000u16];
    // A few hot keys gather long histories.
    let key = prop_oneof![2 => 0..3u8, 3 => 0..40u8];
    vec((key, proptest::option::weighted(0.8, len)), 1..6)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => changes().prop_map(Op::Commit),
        2 => vec(changes(), 1..5).prop_map(Op::CommitMany),
        2 => (0..40u8, 0..45u8).prop_map(|(from, to)| Op::DeleteRange(from, to)),
        2 => Just(Op::Flush),
        1 => Just(Op::Compact),
        2 => Just(Op::Snapshot),
        1 => Just(Op::DropSnapshot),
        1 => Just(Op::CleanReopen),
        1 => Just(Op::Kill),
        6 => (0..45u8, 0..45u8, 0..30u8).prop_map(|(from, to, back)| Op::Check { from, to, back }),
    ]
}

/// Blocks and leaves as small as they can be, or as they are; tables, memtables and segments from a few commits on.
fn options() -> impl Strategy<Value = Options> {
    let tiny = (0..500usize, 0..500usize, 1..5u16).prop_map(|(block_bytes, index_bytes, leaf_blocks)| {
        TableLayout { block_bytes, index_bytes, leaf_blocks: NonZeroU16::new(leaf_blocks).unwrap() }
    });
    let layout = prop_oneof![1 => Just(TableLayout::default()), 3 => tiny];
    let sizes = (
        prop::sample::select(vec![1usize, 17 << 10, 20 << 10, 24 << 10, 64 << 10]),
        prop::sample::select(vec![1u64, 2 << 10, 32 << 10]),
        prop::sample::select(vec![1u64, 4 << 10, 32 << 10]),
        prop::sample::select(vec![0usize, 8 << 10, 1 << 20]),
    );
    let packing = (
        prop::sample::select(vec![Compression::None, Compression::Lz4]),
        prop::sample::select(vec![None, Some(Compression::None), Some(Compression::Lz4)]),
        prop::sample::select(vec![
            None,
            Some(KeyPrefix::Fixed(NonZeroU16::MIN)),
            Some(KeyPrefix::UpTo(b'k')),
        ]),
    );
    (layout, sizes, packing).prop_map(|(table_layout, sizes, packing)| {
        let (memtable_bytes, wal_segment_bytes, table_bytes, cache_bytes) = sizes;
        let (compression, bottom_compression, prefix_filter) = packing;
        Options {
            table_layout,
            memtable_bytes,
            wal_segment_bytes,
            table_bytes,
            cache_bytes,
            compression,
            bottom_compression,
            prefix_filter,
            ..small()
        }
    })
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// The store, and every state it has been in.
struct Pair {
    dir: tempfile::TempDir,
    generation: usize,
    options: Options,
    /// Different keys have different retentions.
    mixed: bool,
    db: Option<Db>,
    states: Vec<Records>,
    snapshots: Vec<Snapshot>,
}

impl Pair {
    fn new(options: Options, mixed: bool) -> Self {
        let dir = fast_dir();
        let (db, states, snapshots) = (None, vec![Records::new()], Vec::new());
        let mut pair = Self { dir, generation: 0, options, mixed, db, states, snapshots };
        pair.open();
        pair
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(self.generation.to_string())
    }

    fn open(&mut self) {
        self.db = Some(Db::open(&self.path(), self.options.clone()).unwrap());
        if self.mixed {
            let range = |from: u8, to: u8| KeyRange { start: vec![b'k', from], end: Some(vec![b'k', to]) };
            self.db().set_retention(&range(1, 10), Retention::LatestOnly);
            self.db().set_retention(&range(10, 20), Retention::Since(seq(25)));
            self.db().set_retention(&range(20, 30), Retention::Versions(NonZeroU32::new(2).unwrap()));
        }
        assert_eq!(self.db().visible().get() as usize, self.states.len() - 1);
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Commit(changes) => self.commit(std::slice::from_ref(changes)),
            Op::CommitMany(many) => self.commit(many),
            Op::DeleteRange(from, to) => self.delete_range(*from, *to),
            Op::Flush => self.db().flush().unwrap(),
            Op::Compact => self.db().compact().unwrap(),
            Op::Snapshot => {
                let snapshot = self.db().snapshot();
                self.snapshots.push(snapshot);
            }
            Op::DropSnapshot => drop(self.snapshots.pop()),
            Op::CleanReopen => {
                self.snapshots.clear();
                self.db().close().unwrap();
                self.db = None;
                self.open();
                assert!(self.db().recovery().clean);
            }
            Op::Kill => {
                let from = self.path();
                self.generation += 1;
                killed(&from, &self.path());
                self.snapshots.clear();
                self.db = None;
                self.open();
            }
            Op::Check { from, to, back } => self.check(*from, *to, *back),
        }
    }

    fn commit(&mut self, many: &[Vec<(u8, Option<u16>)>]) {
        let mut batches = Vec::new();
        for changes in many {
            let mut batch = WriteBatch::new();
            let mut state = self.states.last().unwrap().clone();
            for &(key, len) in changes {
                let key = vec![b'k', key];
                match len {
                    Some(len) => {
                        let value = vec![self.states.len() as u8; usize::from(len)];
                        batch.put(&key, &value).unwrap();
                        state.insert(key, value);
                    }
                    None => {
                        batch.delete(&key).unwrap();
                        state.remove(&key);
                    }
                }
            }
            batches.push(batch);
            self.states.push(state);
        }
        let range = self.db().commit_many(batches, Durability::Os).unwrap();
        assert_eq!(range.last.get() as usize, self.states.len() - 1);
    }

    fn delete_range(&mut self, from: u8, to: u8) {
        let range = KeyRange { start: vec![b'k', from], end: Some(vec![b'k', to]) };
        let mut batch = WriteBatch::new();
        batch.put(&[b'k', from], b"taken back by the deletion, if that is not empty").unwrap();
        batch.delete_range(&range).unwrap();
        batch.put(&[b'k', from], b"kept").unwrap();
        let mut state = self.states.last().unwrap().clone();
        state.retain(|key, _| !range.contains(key));
        state.insert(vec![b'k', from], b"kept".to_vec());
        self.states.push(state);
        self.db().commit(batch, Durability::Os).unwrap();
    }

    fn check(&self, from: u8, to: u8, back: u8) {
        let newest = self.states.len() - 1;
        let at = seq(newest.saturating_sub(usize::from(back)) as u64);
        let range = KeyRange { start: vec![b'k', from], end: (to < 40).then(|| vec![b'k', to]) };
        let range = if range.is_empty() { KeyRange { end: None, ..range } } else { range };
        match self.db().cursor(range.clone(), at, Direction::Forward, ReadTier::Disk) {
            Ok(_) => self.check_at(at, &range),
            Err(Error::HistoryTruncated { floor, .. }) => {
                assert!(at < floor && floor <= self.db().visible());
                assert!(self.mixed || self.options.retention == Retention::LatestOnly);
                let past_first = range.end.as_ref().is_none_or(|end| end[1] > 1);
                assert!(past_first || !self.mixed, "all of the first key is kept");
            }
            Err(other) => panic!("{other}"),
        }
        for snapshot in &self.snapshots {
            self.check_at(snapshot.seq(), &range);
        }
        self.check_at(self.db().visible(), &range);
    }

    /// Where everything is kept, the versions of a key are exactly the moments at which it changed.
    fn check_versions(&self, at: Seq) {
        if self.mixed || self.options.retention != Retention::Unbounded {
            return;
        }
        for key in [[b'k', 0], [b'k', 1], [b'k', 30]] {
            let mut cursor = self.db().versions(&key, at, ReadTier::Disk).unwrap();
            let mut found = Vec::new();
            while cursor.next().unwrap() {
                found.push((cursor.seq().get(), cursor.value().map(<[u8]>::to_vec)));
            }
            assert!(found.windows(2).all(|pair| pair[0].0 > pair[1].0 && at.get() >= pair[0].0));
            for number in 1..=at.get() {
                let state = self.states[number as usize].get(&key[..]);
                let newest =
                    found.iter().find(|(seq, _)| *seq <= number).and_then(|(_, value)| value.as_ref());
                assert_eq!(newest, state, "{key:?} at {number}");
            }
        }
    }

    fn check_at(&self, at: Seq, range: &KeyRange) {
        let state = &self.states[at.get() as usize];
        let expected: Vec<_> = state
            .iter()
            .filter(|(key, _)| range.contains(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let forward = scan(self.db(), range.clone(), at, Direction::Forward);
        assert_eq!(brief(&forward), brief(&expected), "at {at}");
        self.check_versions(at);
        let mut reverse = scan(self.db(), range.clone(), at, Direction::Reverse);
        reverse.reverse();
        assert_eq!(brief(&reverse), brief(&expected), "at {at}, reverse");
        let keys: Vec<_> = [31, 2, 0, 17, 2, 39]
            .into_iter()
            .chain(10..25)
            .map(|key| [b'k', key])
            .filter(|key| range.contains(key))
            .collect();
        let many = self.db().get_many(&keys, at, ReadTier::Disk).unwrap();
        for (key, value) in keys.iter().zip(many) {
            assert_eq!(value.as_deref(), state.get(&key[..]).map(Vec::as_slice), "{key:?} of many at {at}");
        }
        for key in (0..40u8).step_by(3) {
            let key = [b'k', key];
            if !range.contains(&key) {
                continue;
            }
            let value = self.db().get(&key, at, ReadTier::Disk).unwrap();
            assert_eq!(value.as_deref(), state.get(&key[..]).map(Vec::as_slice), "{key:?} at {at}");
        }
    }
}

/// Key, length and filling of records: enough to tell them apart, and short enough to read.
fn brief(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<(u8, usize, Option<u8>)> {
    records.iter().map(|(key, value)| (key[1], value.len(), value.first().copied())).collect()
}

fn run(retention: Retention, options: Options, mixed: bool, ops: &[Op]) {
    let mut pair = Pair::new(Options { retention, ..options }, mixed);
    for op in ops {
        pair.apply(op);
    }
    pair.check(0, 45, 0);
    pair.db().verify().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_that_keeps_everything_answers_like_a_list_of_maps(
        options in options(),
        ops in vec(op(), 1..120),
    ) {
        run(Retention::Unbounded, options, false, &ops);
    }

    #[test]
    fn a_store_that_keeps_only_the_newest_answers_like_a_list_of_maps_down_to_its_floor(
        options in options(),
        ops in vec(op(), 1..120),
    ) {
        run(Retention::LatestOnly, options, false, &ops);
    }

    #[test]
    fn a_store_with_a_retention_for_each_range_of_keys_keeps_to_each(
        options in options(),
        ops in vec(op(), 1..120),
    ) {
        run(Retention::Unbounded, options, true, &ops);
    }
}
