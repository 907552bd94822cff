//! A B+ tree with one writer and lock-free readers: what it is, and how it is searched and walked. How it grows is told
//! in [`super::insert`].
//!
//! Nodes only grow, see [`super::node`]; a full one is replaced by two new ones, which lead on to where it leads before
//! anybody can meet them. While it is replaced in its parent and in the chain of leaves nothing is added, so whichever
//! of the old and the new nodes a reader meets, it finds the same records. A reader that stays in replaced nodes finds
//! every record that was there when its search began: what it met was in the tree at that time or later, what it goes
//! on to was in the tree when the node was replaced, and records are never removed. That is all a reader may expect,
//! since what is added later is newer than what it may see.
//!
//! What always holds: records are sorted by user key ascending, then by sequence descending; the separators to both
//! sides of a child bound its keys for good; a leaf is empty only if the tree is.
#![expect(unsafe_code, reason = "nodes live in the arena and are found by pointers; see the SAFETY comments")]

use std::sync::atomic::AtomicUsize as Count;

use super::arena::Arena;
use super::insert::Inserter;
use super::node::{Node, NodeRef, Order};
use super::record::{Entry, Target};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::types::{Kind, Seq, Trailer};

pub(super) struct Tree {
    pub(super) arena: Arena,
    pub(super) root: AtomicPtr<Node>,
    /// Records. Only for guesses: nothing is read because of it.
    pub(super) len: Count,
}

// SAFETY: readers only follow `Acquire`-loaded links to complete nodes and records, of which they touch only what is
// atomic or never changes; the one writer is kept single by the `Inserter`, of which there is exactly one per tree. All
// pointers lead into `arena` and die with it.
unsafe impl Send for Tree {}
// SAFETY: as above.
unsafe impl Sync for Tree {}

/// The place of an entry in a leaf.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    leaf: NodeRef,
    order: Order,
    at: usize,
    entry: Entry<'a>,
}

impl Tree {
    pub(super) fn new() -> (Self, Inserter) {
        let arena = Arena::default();
        let (inserter, leaf) = Inserter::new(&arena);
        (Self { arena, root: AtomicPtr::new(leaf.as_ptr()), len: Count::new(0) }, inserter)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.arena.bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seek_before(None).is_none()
    }

    /// Versions in the tree, those that are just being inserted perhaps not yet.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// About which part of the versions comes before all of `key`, from 0 to 1: as if each child of a node had versions in
    /// proportion to its own children, and these as many each.
    #[expect(clippy::cast_precision_loss, reason = "a guess, and a node has few children")]
    pub(super) fn part_before(&self, key: &[u8]) -> f64 {
        let target = Target { key, trailer: Trailer::new(Seq::MAX, Kind::Delete) };
        let (mut node, mut before, mut width) = (self.root(Ordering::Acquire), 0.0, 1.0);
        loop {
            let order = node.order();
            if node.is_leaf() {
                let rank = node.rank(order, target, false);
                return before + width * rank as f64 / order.len().max(1) as f64;
            }
            let rank = node.rank(order, target, true);
            let weight = |at| weight(node, order, at);
            let (left, own) = ((0..rank).map(weight).sum::<f64>(), weight(rank));
            let all = left + own + (rank + 1..=order.len()).map(weight).sum::<f64>();
            before += width * left / all;
            width *= own / all;
            node = node.child(order, rank);
        }
    }

    /// A version before which about this part of all versions comes, as [`Self::part_before`] counts.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a guess, and a node has few children"
    )]
    pub(super) fn at_part(&self, part: f64) -> Option<Place<'_>> {
        let (mut node, mut part) = (self.root(Ordering::Acquire), part.clamp(0.0, 1.0));
        loop {
            let order = node.order();
            if node.is_leaf() {
                let at = (part * order.len() as f64) as usize;
                return Place::at(node, order, at).or_else(|| Place::first_of(node.next()?));
            }
            let mut left = part * (0..=order.len()).map(|at| weight(node, order, at)).sum::<f64>();
            let mut rank = 0;
            while rank < order.len() && left >= weight(node, order, rank) {
                left -= weight(node, order, rank);
                rank += 1;
            }
            part = (left / weight(node, order, rank)).min(1.0);
            node = node.child(order, rank);
        }
    }

    /// The first version at or after (`key`, `trailer`).
    pub(super) fn seek(&self, key: &[u8], trailer: Trailer) -> Option<Place<'_>> {
        let target = Target { key, trailer };
        let leaf = self.leaf_for(|node, order| node.rank(order, target, true));
        let order = leaf.order();
        let at = leaf.rank(order, target, false);
        Place::at(leaf, order, at).or_else(|| Place::first_of(leaf.next()?))
    }

    /// The last version before (`key`, `trailer`); without a target, the last one of all.
    pub(super) fn seek_before(&self, target: Option<(&[u8], Trailer)>) -> Option<Place<'_>> {
        let target = target.map(|(key, trailer)| Target { key, trailer });
        let rank = |node: NodeRef, order: Order| {
            target.map_or(order.len(), |target| node.rank(order, target, false))
        };
        // Where the target is the first of a leaf, `false` leads to the leaf before.
        let leaf = self.leaf_for(rank);
        let order = leaf.order();
        Place::at(leaf, order, rank(leaf, order).checked_sub(1)?)
    }

    fn leaf_for(&self, rank: impl Fn(NodeRef, Order) -> usize) -> NodeRef {
        let mut node = self.root(Ordering::Acquire);
        while !node.is_leaf() {
            let order = node.order();
            let child = node.child(order, rank(node, order));
            // A child that was replaced meanwhile lacks what a newer separator has split off. That separator was added
            // before the child was replaced, so whoever sees the one sees the other, and searches again.
            if node.order() == order {
                node = child;
            }
        }
        node
    }

    pub(super) fn root(&self, ordering: Ordering) -> NodeRef {
        // SAFETY: the root is stored with `Release` when it is complete, is never null, and lives as long as the tree.
        unsafe { NodeRef::from_ptr(self.root.load(ordering)).unwrap_unchecked() }
    }
}

/// How many children a child has, or records.
#[expect(clippy::cast_precision_loss, reason = "a node has few children")]
fn weight(node: NodeRef, order: Order, at: usize) -> f64 {
    let child = node.child(order, at);
    (child.order().len() + usize::from(!child.is_leaf())) as f64
}

impl<'a> Place<'a> {
    fn at(leaf: NodeRef, order: Order, at: usize) -> Option<Self> {
        (at < order.len()).then(|| Self { leaf, order, at, entry: leaf.entry(order, at) })
    }

    fn first_of(leaf: NodeRef) -> Option<Self> {
        Self::at(leaf, leaf.order(), 0)
    }

    pub(super) fn entry(self) -> Entry<'a> {
        self.entry
    }

    /// The place after this one.
    pub(super) fn next(self) -> Option<Self> {
        Self::at(self.leaf, self.order, self.at + 1).or_else(|| Self::first_of(self.leaf.next()?))
    }

    /// The place before this one in `tree`, which it must come from.
    pub(super) fn prev(self, tree: &'a Tree) -> Option<Self> {
        match self.at.checked_sub(1) {
            Some(at) => Self::at(self.leaf, self.order, at),
            None => tree.seek_before(Some((self.entry.key(), self.entry.trailer()))),
        }
    }

    /// The place without the borrow of its tree, for a cursor that keeps the tree alive by other means.
    pub(super) fn into_raw(self) -> RawPlace {
        // SAFETY: given back only by `RawPlace::of`.
        RawPlace(Place { entry: unsafe { Entry::at(self.entry.record()) }, ..self })
    }
}

/// A place without the borrow of its tree.
#[derive(Clone, Copy)]
pub(super) struct RawPlace(Place<'static>);

// SAFETY: what a place leads to is atomic or never changes, and may be read from any thread while its tree lives.
unsafe impl Send for RawPlace {}
// SAFETY: as above.
unsafe impl Sync for RawPlace {}

impl RawPlace {
    /// The place, for as long as its tree is borrowed.
    ///
    /// # Safety
    /// The place must come from `tree`.
    pub(super) unsafe fn of(self, _tree: &Tree) -> Place<'_> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::version_order;
    use std::cmp::Reverse;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    type Model = BTreeMap<(Vec<u8>, Reverse<u64>), Vec<u8>>;

    fn trailer(seq: u64) -> Trailer {
        Trailer::new(Seq::new(seq).unwrap(), Kind::Put)
    }

    /// Inserts versions with the sequences 1, 2, … of the keys and compares everything that can be asked with a map.
    fn check_like_a_map(keys: impl Iterator<Item = Vec<u8>>) {
        let (tree, mut inserter) = Tree::new();
        assert!(tree.is_empty());
        let mut model = Model::new();
        for (seq, key) in (1..).zip(keys) {
            let value = vec![seq as u8; seq as usize % 50];
            tree.insert(&mut inserter, &key, trailer(seq), &value);
            model.insert((key, Reverse(seq)), value);
        }
        let place = |at: Option<Place<'_>>| at.map(|at| (at.entry().key().to_vec(), at.entry().trailer()));
        let mut at = tree.seek(b"", trailer(u64::MAX >> 11));
        for ((key, seq), value) in &model {
            let entry = at.unwrap().entry();
            assert_eq!((entry.key(), entry.trailer(), entry.value()), (&key[..], trailer(seq.0), &value[..]));
            assert_eq!(place(tree.seek(key, trailer(seq.0))), place(at));
            at = at.unwrap().next();
        }
        assert!(at.is_none());
        let mut last = tree.seek_before(None);
        for (key, seq) in model.keys().rev() {
            assert_eq!(place(last), Some((key.clone(), trailer(seq.0))));
            let before = tree.seek_before(Some((key, trailer(seq.0))));
            last = last.unwrap().prev(&tree);
            assert_eq!(place(before), place(last));
        }
        assert!(last.is_none());
        // Places between the records.
        for (key, seq) in model.keys() {
            let target = ([&key[..], b"\0"].concat(), Reverse(seq.0));
            let after =
                model.range(target.clone()..).next().map(|((key, seq), _)| (key.clone(), trailer(seq.0)));
            assert_eq!(place(tree.seek(&target.0, trailer(seq.0))), after);
            let before = model.range(..target.clone()).next_back();
            let before = before.map(|((key, seq), _)| (key.clone(), trailer(seq.0)));
            assert_eq!(place(tree.seek_before(Some((&target.0, trailer(seq.0))))), before);
        }
    }

    fn random(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        }
    }

    #[test]
    fn keys_in_any_order_come_out_in_theirs() {
        let mut next = random(7);
        check_like_a_map((0..20_000).map(|_| next().to_be_bytes().to_vec()));
        check_like_a_map((0..5_000u64).map(|number| number.to_be_bytes().to_vec()));
        check_like_a_map((0..5_000u64).map(|number| (u64::MAX - number).to_be_bytes().to_vec()));
    }

    #[test]
    fn many_versions_of_few_keys_come_from_new_to_old() {
        let mut next = random(8);
        check_like_a_map((0..5_000).map(|_| format!("{:03}", next() % 60).into_bytes()));
        check_like_a_map((0..2_000).map(|_| b"the only key".to_vec()));
    }

    #[test]
    fn keys_that_are_short_or_begin_alike_keep_their_order() {
        let mut next = random(9);
        check_like_a_map((0..4_000).map(|_| vec![b'a'; next() as usize % 70]));
        check_like_a_map((0..8_000).map(|_| {
            let len = next() as usize % 12;
            (0..len).map(|_| (next() % 3) as u8).collect()
        }));
        check_like_a_map((0..8_000).map(|_| {
            let shared =
                [b"one/".as_slice(), b"another/", b"another one/with a long name/"][next() as usize % 3];
            [shared, format!("{:x}", next() % 5_000).as_bytes()].concat()
        }));
    }

    #[test]
    fn runs_of_keys_between_others_keep_their_order_and_fill_their_leaves() {
        let runs = |number: u64| {
            [(number % 3 * 2 + number / 9 % 2) as u8, (number / 2560) as u8, (number / 10) as u8]
        };
        check_like_a_map((0..9_000u64).map(|number| runs(number).to_vec()));
        let (tree, mut inserter) = Tree::new();
        for (seq, key) in (1..).zip([0u64, u64::MAX].into_iter().chain(1000..100_000)) {
            tree.insert(&mut inserter, &key.to_be_bytes(), trailer(seq), b"");
        }
        let bytes_per_record = tree.size_bytes() / 100_000;
        assert!(bytes_per_record < 24 + 40, "{bytes_per_record} bytes, 24 of them the record's");
    }

    #[test]
    fn readers_see_a_sorted_tree_and_every_finished_insert_while_a_writer_inserts() {
        let (tree, mut inserter) = Tree::new();
        let done = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let key_of = |seq: u64| (seq.wrapping_mul(2_654_435_761) % 100_003).to_be_bytes();
        let find = |finished: u64| {
            let key = key_of(finished);
            let entry = tree.seek(&key, trailer(finished)).unwrap().entry();
            assert_eq!((entry.key(), entry.value()), (&key[..], &[key, key].concat()[..]));
        };
        let walk = |finished: u64, forward: bool| {
            let (mut previous, mut count) = (None, 0u64);
            let mut at =
                if forward { tree.seek(b"", trailer(Seq::MAX.get())) } else { tree.seek_before(None) };
            while let Some(place) = at {
                let entry = (place.entry().key(), place.entry().trailer());
                let order = previous.map(|previous| version_order(previous, entry));
                assert!(order.is_none_or(|order| if forward { order.is_lt() } else { order.is_gt() }));
                count += u64::from(entry.1.seq().get() <= finished);
                (previous, at) = (Some(entry), if forward { place.next() } else { place.prev(&tree) });
            }
            assert_eq!(count, finished);
        };
        std::thread::scope(|scope| {
            let read = |reader: &dyn Fn(u64)| {
                while !stop.load(Ordering::Relaxed) {
                    let finished = done.load(Ordering::Acquire);
                    if finished > 0 {
                        reader(finished);
                    }
                }
            };
            scope.spawn(move || {
                read(&|finished| (1..=100).for_each(|back| find(finished.max(back) - back + 1)));
            });
            scope.spawn(move || read(&|finished| walk(finished, true)));
            scope.spawn(move || read(&|finished| walk(finished, false)));
            for seq in 1..=20_000u64 {
                let key = key_of(seq);
                tree.insert(&mut inserter, &key, trailer(seq), &[key, key].concat());
                done.store(seq, Ordering::Release);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
