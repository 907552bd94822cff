//! A B+ tree with one writer and lock-free readers.
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

use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize as Count;

use super::arena::{Arena, Bump, LINE, WORD};
use super::node::{Node, NodeRef, Order, SLOTS, head_of};
use super::record::{Entry, Record, Target};
use crate::key::common_prefix;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::types::{Kind, Seq, Trailer};

/// How many searches go down the tree side by side, about as many as a core can wait for.
pub(super) const TOGETHER: usize = 16;
/// So many levels of inner nodes are taken to be in the processor's caches.
const LEVELS_IN_CACHE: u16 = if cfg!(feature = "shuttle") { 1 } else { 3 };

pub(super) struct Tree {
    arena: Arena,
    root: AtomicPtr<Node>,
    /// Records. Only for guesses: nothing is read because of it.
    len: Count,
}

// SAFETY: readers only follow `Acquire`-loaded links to complete nodes and records, of which they touch only what is
// atomic or never changes; the one writer is kept single by the `Inserter`, of which there is exactly one per tree. All
// pointers lead into `arena` and die with it.
unsafe impl Send for Tree {}
// SAFETY: as above.
unsafe impl Sync for Tree {}

/// The right to insert into one tree.
pub(super) struct Inserter {
    records: Bump,
    nodes: Bump,
    /// The last leaf: what comes after everything else goes there without a search.
    last: NodeRef,
    /// The way to the leaf that was searched last, from the root down.
    path: Vec<Step>,
    /// The record inserted last, if any; tells runs of keys from single ones.
    latest: Option<NonNull<Record>>,
}

// SAFETY: nodes and records belong to the one tree that the inserter belongs to, which outlives it in the same
// memtable; they are only used together with that tree.
unsafe impl Send for Inserter {}

/// An inner node on the way down, and how many of its separators lie before the way.
#[derive(Clone, Copy)]
struct Step {
    node: NodeRef,
    rank: usize,
}

/// Two nodes that replace one, which its parent must learn of, and the first record of the right one.
#[derive(Clone, Copy)]
struct Split {
    left: NodeRef,
    separator: NonNull<Record>,
    right: NodeRef,
    /// New records will probably come right behind the separator, so that the left node need not have free slots.
    ascending: bool,
}

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
        let mut nodes = Bump::new(LINE);
        let last = NodeRef::new_leaf(&arena, &mut nodes, 0, &[], None);
        let records = Bump::new(WORD);
        let inserter = Inserter { records, nodes, last, path: Vec::new(), latest: None };
        (Self { arena, root: AtomicPtr::new(last.as_ptr()), len: Count::new(0) }, inserter)
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

    /// Asks the processor for the memory that searches for these keys will look at. A search waits for memory at each node
    /// on its way; here up to [`TOGETHER`] go down side by side and wait together. That nodes are replaced meanwhile does not
    /// matter, as nothing is concluded from what is met.
    pub(super) fn approach<'k>(&self, mut keys: impl Iterator<Item = &'k [u8]>) {
        loop {
            let root = self.root(Ordering::Acquire);
            let mut way: [(&[u8], NodeRef); TOGETHER] = [(&[], root); TOGETHER];
            let mut count = 0;
            for (place, key) in way.iter_mut().zip(&mut keys) {
                place.0 = key;
                count += 1;
            }
            // A small tree is in the caches, and where there is but one key, it has nobody to wait with.
            if count < 2 || root.level() < LEVELS_IN_CACHE {
                return;
            }
            let way = &mut way[..count];
            for _ in 0..root.level() {
                for (key, node) in &mut *way {
                    let order = node.order();
                    let target = Target { key, trailer: Trailer::new(Seq::MAX, Kind::Delete) };
                    *node = node.child(order, node.rank(order, target, true));
                }
            }
            for (key, leaf) in way {
                leaf.prefetch_records(key);
            }
        }
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

    fn root(&self, ordering: Ordering) -> NodeRef {
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

impl Inserter {
    /// Whether a key comes after all others, so that its place is known without a search.
    pub(super) fn comes_last(&self, key: &[u8]) -> bool {
        let order = self.last.order();
        order.len().checked_sub(1).is_none_or(|at| self.last.entry(order, at).key() < key)
    }
}

/// What only the one writer does.
impl Tree {
    /// Adds a version; the pair of key and sequence must not be in the tree.
    pub(super) fn insert(&self, inserter: &mut Inserter, key: &[u8], trailer: Trailer, value: &[u8]) {
        let target = Target { key, trailer };
        let record = Record::write(&self.arena, &mut inserter.records, key, trailer, value);
        let (last, order) = (inserter.last, inserter.last.order());
        let comes_last =
            order.len().checked_sub(1).is_none_or(|at| last.entry(order, at).order(target).is_lt());
        if comes_last && order.len() < SLOTS {
            last.add(order.len(), record);
        } else {
            let leaf = self.walk(&mut inserter.path, target);
            let order = leaf.order();
            let at = leaf.rank(order, target, false);
            debug_assert!(
                at == order.len() || leaf.entry(order, at).order(target).is_gt(),
                "the version is new"
            );
            if order.len() < SLOTS {
                leaf.add(at, record);
            } else {
                self.split_leaf(inserter, leaf, at, record);
            }
        }
        inserter.latest = Some(record);
        self.len.store(self.len.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// The leaf for a target, and the way to it.
    fn walk(&self, path: &mut Vec<Step>, target: Target<'_>) -> NodeRef {
        path.clear();
        let mut node = self.root(Ordering::Relaxed);
        while !node.is_leaf() {
            let order = node.order();
            let rank = node.rank(order, target, true);
            path.push(Step { node, rank });
            node = node.child(order, rank);
        }
        node
    }

    /// Replaces a full leaf by two, with `record` at place `at` of what they hold together.
    fn split_leaf(&self, inserter: &mut Inserter, old: NodeRef, at: usize, record: NonNull<Record>) {
        let order = old.order();
        let mut records = [(record, old.head(record)); SLOTS + 1];
        for place in 0..SLOTS {
            records[place + usize::from(place >= at)] = old.record_at(order, place);
        }
        let ascending = at > 0 && inserter.latest == Some(records[at - 1].0);
        // A run of ascending keys fills the left leaf and goes on in the right one, or, if other keys follow, leaves
        // these to the right one and goes on in the left.
        let cut = if ascending { (at + 1).min(SLOTS) } else { SLOTS.div_ceil(2) };
        let separator = records[cut].0;
        let (left, right) = records.split_at_mut(cut);
        let path = &inserter.path;
        let right_skip = skip_of(old.skip(), right, || common(Some(separator), bounds(path).1));
        let left_skip = skip_of(old.skip(), left, || common(bounds(path).0, Some(separator)));
        let mut new_leaf = |skip, records: &[_], next| {
            NodeRef::new_leaf(&self.arena, &mut inserter.nodes, skip, records, next)
        };
        let right = new_leaf(right_skip, right, old.next());
        let left = new_leaf(left_skip, left, Some(right));
        self.publish(inserter, Split { left, separator, right, ascending });
        old.replace_in_chain(left, right);
        if inserter.last == old {
            inserter.last = right;
        }
    }

    /// Puts the two nodes in the place of the one at the end of the inserter's path, which they replace.
    fn publish(&self, inserter: &mut Inserter, split: Split) {
        let Some(step) = inserter.path.pop() else {
            let (level, children) = (split.left.level() + 1, [split.left, split.right]);
            let nodes = &mut inserter.nodes;
            let root = NodeRef::new_inner(&self.arena, nodes, (level, 0), &[split.separator], &children);
            self.root.store(root.as_ptr(), Ordering::Release);
            return;
        };
        if step.node.is_full() {
            let split = self.split_inner(inserter, step, split);
            self.publish(inserter, split);
        } else {
            // In this order: until it is replaced, the old node has all that both new ones have; see `leaf_for`.
            step.node.add_child(step.rank, split.separator, split.right);
            step.node.replace_child(step.rank, split.left);
        }
    }

    /// Two nodes in the place of a full inner one, with what `below` replaces already replaced in them.
    fn split_inner(&self, inserter: &mut Inserter, step: Step, below: Split) -> Split {
        let (old, order) = (step.node, step.node.order());
        let mut separators: Vec<_> = (0..SLOTS).map(|at| old.entry(order, at).record()).collect();
        let mut children: Vec<_> = (0..=SLOTS).map(|rank| old.child(order, rank)).collect();
        separators.insert(step.rank, below.separator);
        children[step.rank] = below.left;
        children.insert(step.rank + 1, below.right);
        let ascending = below.ascending && step.rank == SLOTS;
        let cut = if ascending { SLOTS - 1 } else { SLOTS / 2 };
        let (low, high) = bounds(&inserter.path);
        let separator = separators[cut];
        let mut new_inner = |skip, separators: &[_], children: &[_]| {
            let nodes = &mut inserter.nodes;
            NodeRef::new_inner(&self.arena, nodes, (old.level(), skip), separators, children)
        };
        let left = new_inner(common(low, Some(separator)), &separators[..cut], &children[..=cut]);
        let right = new_inner(common(Some(separator), high), &separators[cut + 1..], &children[cut + 1..]);
        Split { left, separator, right, ascending }
    }
}

/// The separators to both sides of the node at the end of a path; `None` at the ends of the tree.
fn bounds(path: &[Step]) -> (Option<NonNull<Record>>, Option<NonNull<Record>>) {
    let separator = |step: &Step, at: Option<usize>| {
        let order = step.node.order();
        at.filter(|&at| at < order.len()).map(|at| step.node.entry(order, at).record())
    };
    let low = path.iter().rev().find_map(|step| separator(step, step.rank.checked_sub(1)));
    let high = path.iter().rev().find_map(|step| separator(step, Some(step.rank)));
    (low, high)
}

/// How many bytes all keys of a new leaf begin with, as `common` tells from the separators around it. The heads of its
/// records, which are those in the leaf before it, become those in the new one.
///
/// Most often the heads alone say that it is as many bytes as before: what separators have in common, all keys between
/// them have, so if the first byte of the heads is not the same for all, it is not the same in the separators. Then no
/// record is looked at, each of which would be a miss of the processor's caches.
fn skip_of(before: usize, records: &mut [(NonNull<Record>, u32)], common: impl FnOnce() -> usize) -> usize {
    if let ([(_, first), ..], [.., (_, last)]) = (&*records, &*records)
        && first >> 24 != last >> 24
    {
        return before;
    }
    let skip = common();
    if skip != before {
        for (record, head) in records {
            // SAFETY: records of a leaf are complete records of this tree.
            *head = head_of(unsafe { Entry::at(*record) }.key(), skip);
        }
    }
    skip
}

/// The number of bytes that all keys between two separators begin with.
fn common(low: Option<NonNull<Record>>, high: Option<NonNull<Record>>) -> usize {
    let (Some(low), Some(high)) = (low, high) else { return 0 };
    // SAFETY: separators are complete records of this tree.
    let (low, high) = unsafe { (Entry::at(low), Entry::at(high)) };
    common_prefix(low.key(), high.key())
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
