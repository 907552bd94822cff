//! What only the one writer of a tree does: adding records, and replacing full nodes by two new ones.
//!
//! Readers search at the same moment, so each step leaves a tree in which they find all that was there before: a record
//! is complete before a node leads to it, two new nodes are complete before they are met, and a full node keeps what it
//! has. [`super::tree`] says what a reader may expect of that.
#![expect(unsafe_code, reason = "records and separators are found by pointers; see the SAFETY comments")]

use std::ptr::NonNull;

use super::arena::{Arena, Bump, LINE, WORD};
use super::node::{NodeRef, SLOTS, head_of};
use super::record::{Entry, Record, Target};
use super::tree::Tree;
use crate::key::common_prefix;
use crate::sync::atomic::Ordering;
use crate::types::Trailer;

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

impl Inserter {
    /// The inserter of a new tree in `arena`, and the empty leaf that is the whole of that tree.
    pub(super) fn new(arena: &Arena) -> (Self, NodeRef) {
        let mut nodes = Bump::new(LINE);
        let last = NodeRef::new_leaf(arena, &mut nodes, 0, &[], None);
        (Self { records: Bump::new(WORD), nodes, last, path: Vec::new(), latest: None }, last)
    }

    /// Whether a key comes after all others, so that its place is known without a search.
    pub(super) fn comes_last(&self, key: &[u8]) -> bool {
        let order = self.last.order();
        order.len().checked_sub(1).is_none_or(|at| self.last.entry(order, at).key() < key)
    }
}

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
            // In this order: until it is replaced, the old node has all that both new ones have; see `Tree::leaf_for`.
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
