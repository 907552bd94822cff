//! The tree under thousands of schedules: readers beside the writer that splits nodes under them.
//!
//! Under the feature `shuttle` nodes have so few slots that a handful of records makes a tree of three levels, and
//! every schedule splits leaves, inner nodes and the root. Heads and records are stored in steps of their own, so that a slot
//! that is made known too soon is met by a reader. Only the order of steps is explored here; memory that is
//! weaker than that is ThreadSanitizer's to find.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::spawn;
use shuttle::{Config, Runner};

use super::tree::Tree;
use super::version_order;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::types::{Kind, Seq, Trailer};

/// Schedules per scenario and scheduler.
const SCHEDULES: usize = 2_000;
/// Changes of priority in one schedule.
const DEPTH: usize = 3;
const SEED: u64 = 0x7EE5;
/// Records in the tree before the readers begin, and after the writer has ended.
const BEFORE: u64 = 6;
const INSERTS: u64 = 16;

struct Shared {
    tree: Tree,
    /// The last record whose insert has returned.
    done: AtomicU64,
    key_of: fn(u64) -> u8,
}

fn trailer(seq: u64) -> Trailer {
    Trailer::new(Seq::new(seq).unwrap(), Kind::Put)
}

impl Shared {
    fn finished(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Every finished record is found by its key and sequence, and by the place just behind it.
    fn look_for_each(&self) {
        let finished = self.finished();
        for seq in (1..=finished).rev() {
            let key = [(self.key_of)(seq)];
            let found = self.tree.seek(&key, trailer(seq)).map(|place| place.entry().trailer());
            assert_eq!(found, Some(trailer(seq)), "record {seq} of {finished}");
            let behind = ([key[0], 0], trailer(seq));
            let before = self.tree.seek_before(Some((&behind.0, behind.1))).unwrap().entry();
            assert!(
                version_order((before.key(), before.trailer()), (&key, trailer(seq))).is_ge(),
                "before {seq}"
            );
        }
    }

    /// The same, by a reader that asks ahead for all of them, of which it must meet only nodes that are complete.
    fn look_after_asking(&self) {
        let keys: Vec<_> = (1..=self.finished()).map(|seq| [(self.key_of)(seq)]).collect();
        self.tree.approach(keys.iter().map(|key| &key[..]));
        self.look_for_each();
    }

    /// The place after and the place before each finished record are no farther away than the next finished ones.
    fn look_between(&self) {
        let finished = self.finished();
        let mut records: Vec<_> = (1..=finished).map(|seq| ([(self.key_of)(seq)], trailer(seq))).collect();
        records.sort_by(|a, b| version_order((&a.0, a.1), (&b.0, b.1)));
        for pair in records.windows(2) {
            let [low, high] = pair else { return };
            // The first place that a record behind `low` could have.
            let after = trailer(low.1.seq().get() - 1);
            let next = self.tree.seek(&low.0, after).unwrap().entry();
            assert!(version_order((next.key(), next.trailer()), (&high.0, high.1)).is_le(), "after {low:?}");
            let before = self.tree.seek_before(Some((&high.0, high.1))).unwrap().entry();
            assert!(
                version_order((before.key(), before.trailer()), (&low.0, low.1)).is_ge(),
                "before {high:?}"
            );
        }
    }

    /// A walk meets every finished record, in order, each once.
    fn walk(&self, forward: bool) {
        let finished = self.finished();
        let (mut previous, mut count) = (None, 0);
        let mut at =
            if forward { self.tree.seek(b"", trailer(Seq::MAX.get())) } else { self.tree.seek_before(None) };
        while let Some(place) = at {
            let entry = (place.entry().key(), place.entry().trailer());
            let order = previous.map(|previous| version_order(previous, entry));
            assert!(order.is_none_or(|order| if forward { order.is_lt() } else { order.is_gt() }));
            count += u64::from(entry.1.seq().get() <= finished);
            (previous, at) = (Some(entry), if forward { place.next() } else { place.prev(&self.tree) });
        }
        assert_eq!(count, finished, "forward: {forward}");
    }
}

fn scenario(key_of: fn(u64) -> u8, read: fn(&Shared)) {
    let (tree, mut inserter) = Tree::new();
    let insert = move |shared: &Shared, inserter: &mut _, seq| {
        shared.tree.insert(inserter, &[(shared.key_of)(seq)], trailer(seq), b"");
        shared.done.store(seq, Ordering::Release);
    };
    let shared = Arc::new(Shared { tree, done: AtomicU64::new(0), key_of });
    (1..=BEFORE).for_each(|seq| insert(&shared, &mut inserter, seq));
    let reader = {
        let shared = Arc::clone(&shared);
        spawn(move || (0..3).for_each(|_| read(&shared)))
    };
    (BEFORE + 1..=INSERTS).for_each(|seq| insert(&shared, &mut inserter, seq));
    reader.join().unwrap();
    read(&shared);
}

/// Runs a reader beside a writer whose keys come at random, ascending, descending, in two runs, and as versions of two.
fn explore(read: fn(&Shared)) {
    let orders: [fn(u64) -> u8; 5] = [
        |seq| (seq * 7 % 17) as u8,
        |seq| seq as u8,
        |seq| (100 - seq) as u8,
        |seq| (seq + seq % 2 * 100) as u8,
        |seq| (seq % 2) as u8,
    ];
    for key_of in orders {
        let mut config = Config::new();
        config.stack_size = 256 * 1024;
        config.silence_warnings = true;
        let random = RandomScheduler::new_from_seed(SEED, SCHEDULES);
        assert_eq!(Runner::new(random, config.clone()).run(move || scenario(key_of, read)), SCHEDULES);
        let pct = PctScheduler::new_from_seed(SEED, DEPTH, SCHEDULES);
        assert_eq!(Runner::new(pct, config).run(move || scenario(key_of, read)), SCHEDULES);
    }
}

#[test]
fn every_finished_record_is_found_while_nodes_split() {
    explore(Shared::look_for_each);
}

#[test]
fn every_finished_record_is_found_by_who_asked_ahead_while_nodes_split() {
    explore(Shared::look_after_asking);
}

#[test]
fn neighbours_of_finished_records_are_found_while_nodes_split() {
    explore(Shared::look_between);
}

#[test]
fn a_walk_forwards_meets_every_finished_record_while_nodes_split() {
    explore(|shared| shared.walk(true));
}

#[test]
fn a_walk_backwards_meets_every_finished_record_while_nodes_split() {
    explore(|shared| shared.walk(false));
}
