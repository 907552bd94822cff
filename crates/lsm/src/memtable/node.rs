//! A node of the memtable's tree: up to thirteen records, or separators between children, that are only ever added.
//!
//! What is added goes into the next free slot, wherever it belongs in the order; one word says how many slots are in
//! use and in which order they come (the permutation of Masstree, Mao et al., 2012). A slot is written before the word
//! that mentions it is stored with `Release`, and never again, so a reader that loads the word with `Acquire` sees a
//! complete, sorted node, whatever is added meanwhile. A full node is replaced by two new ones and stays as it was for
//! those who are still in it.
//!
//! All keys below a node begin with the same `skip` bytes, because the separators around it do. The four bytes behind
//! these are kept in the node as a number, the *head*, zeros after the key's end. The rank of a key is the number of
//! heads less than its own: that takes one cache line and no branches. Only where heads are equal keys are compared.
#![expect(unsafe_code, reason = "nodes live in the arena and are found by pointers; see the SAFETY comments")]

use std::ptr::{self, NonNull};

use super::arena::{Arena, Bump, LINE};
use super::heads::{Compared, Heads};
use super::record::{Entry, Record, Target};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Slots of a node: as many as leave order and heads in one cache line. Under a scheduler few, so that short scenarios
/// split nodes of every level.
pub(super) const SLOTS: usize = if cfg!(feature = "shuttle") { 3 } else { 13 };
/// How much of a record is asked for ahead: where its key is, and as a rule much of its value.
const RECORD_PREFETCH_BYTES: usize = 2 * LINE;
/// How an order is stored. With the planted fault it is not published, which ThreadSanitizer must report.
const PUBLISH: Ordering =
    if cfg!(feature = "planted-memory-faults") { Ordering::Relaxed } else { Ordering::Release };

/// What leaves and inner nodes have in common.
#[repr(C)]
pub(super) struct Node {
    order: AtomicU64,
    /// In front of them level and skip, see [`fixed`].
    heads: Heads,
    /// Records of a leaf, separators of an inner node: the first record of what lies right of it when it was made.
    records: [AtomicPtr<Record>; SLOTS],
}

/// A node with records.
#[repr(C)]
pub(super) struct Leaf {
    node: Node,
    /// The leaf to the right.
    next: AtomicPtr<Node>,
    /// The leaf to the left; for the writer only, and right only while the leaf is in the tree.
    prev: AtomicPtr<Node>,
}

/// A node with children.
#[repr(C)]
pub(super) struct Inner {
    node: Node,
    /// The leftmost child, then for each slot the child right of its separator.
    children: [AtomicPtr<Node>; SLOTS + 1],
}

// The head of a node is one cache line, and the arena keeps it there.
const _: () = assert!(std::mem::offset_of!(Node, records) == 64 || cfg!(feature = "shuttle"));
const _: () = assert!(align_of::<Leaf>() <= LINE && align_of::<Inner>() <= LINE);

/// Number and order of the slots in use: four bits for the number, then four for each slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Order(u64);

impl Order {
    /// The first `len` slots as they come.
    fn first(len: usize) -> Self {
        debug_assert!(len <= SLOTS);
        let slots = 0x00CB_A987_6543_2100 & ((1 << (4 * len + 4)) - 1);
        Self(slots | len as u64)
    }

    pub(super) fn len(self) -> usize {
        (self.0 & 15) as usize
    }

    /// The slot that comes at place `at`.
    pub(super) fn slot(self, at: usize) -> usize {
        debug_assert!(at < self.len());
        (self.0 >> (4 * at + 4)) as usize & 15
    }

    /// With the next free slot put in at place `at`.
    fn with(self, at: usize) -> Self {
        debug_assert!(at <= self.len() && self.len() < SLOTS);
        let before = (1u64 << (4 * at + 4)) - 1;
        let slot = (self.len() as u64) << (4 * at + 4);
        Self(((self.0 & before) | slot | (self.0 & !before) << 4) + 1)
    }
}

/// A node, for as long as the tree is borrowed: it lives in the tree's arena.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeRef(NonNull<Node>);

impl NodeRef {
    /// The node behind a pointer that was stored by [`NodeRef::as_ptr`]; `None` for null.
    ///
    /// # Safety
    /// The node must be complete, visible to this thread, and live for as long as the reference is used.
    pub(super) unsafe fn from_ptr(node: *mut Node) -> Option<Self> {
        NonNull::new(node).map(Self)
    }

    pub(super) fn as_ptr(self) -> *mut Node {
        self.0.as_ptr()
    }

    fn node(&self) -> &Node {
        // SAFETY: a reference is only made to complete nodes, which live as long as it.
        unsafe { self.0.as_ref() }
    }

    fn leaf(&self) -> &Leaf {
        debug_assert!(self.is_leaf());
        // SAFETY: nodes of level 0 are made by `new_leaf` only.
        unsafe { self.0.cast::<Leaf>().as_ref() }
    }

    fn inner(&self) -> &Inner {
        debug_assert!(!self.is_leaf());
        // SAFETY: nodes of other levels are made by `new_inner` only.
        unsafe { self.0.cast::<Inner>().as_ref() }
    }

    pub(super) fn is_leaf(self) -> bool {
        self.level() == 0
    }

    pub(super) fn level(self) -> u16 {
        self.node().heads.fixed() as u16
    }

    /// The number of bytes that all keys of this node are known to begin with.
    pub(super) fn skip(self) -> usize {
        (self.node().heads.fixed() >> 16) as usize
    }

    pub(super) fn order(self) -> Order {
        Order(self.node().order.load(Ordering::Acquire))
    }

    /// The entry at a place of an order that was read from this node.
    pub(super) fn entry<'a>(self, order: Order, at: usize) -> Entry<'a> {
        self.entry_in(order.slot(at))
    }

    fn entry_in<'a>(self, slot: usize) -> Entry<'a> {
        let record = self.node().records[slot].load(Ordering::Relaxed);
        // SAFETY: the slot is mentioned by an order, so a record was stored in it before, which is visible since the
        // order is. It lives as long as the node.
        unsafe { Entry::at(NonNull::new_unchecked(record)) }
    }

    /// The number of entries before `target` or, `through` it, of those not after it.
    #[inline]
    pub(super) fn rank(self, order: Order, target: Target<'_>, through: bool) -> usize {
        let head = head_of(target.key, self.skip());
        let Compared { less, equal } = self.node().heads.compare(head, order.len());
        let mut less = less.count_ones() as usize;
        if equal == 0 {
            return less;
        }
        if !equal.is_power_of_two() {
            self.prefetch_slots(equal, LINE);
        }
        let mut end = less + equal.count_ones() as usize;
        while less < end {
            let middle = usize::midpoint(less, end);
            let entry = self.entry(order, middle).order(target);
            if entry.is_lt() || through && entry.is_eq() {
                less = middle + 1;
            } else {
                end = middle;
            }
        }
        less
    }

    /// The child behind `rank` separators.
    pub(super) fn child(self, order: Order, rank: usize) -> Self {
        let child = self.child_link(order, rank).load(Ordering::Acquire);
        prefetch(child, if self.level() == 1 { size_of::<Leaf>() } else { size_of::<Inner>() });
        // SAFETY: links to children are stored with `Release` when the child is complete, before the order that
        // mentions them.
        unsafe { Self(NonNull::new_unchecked(child)) }
    }

    fn child_link(&self, order: Order, rank: usize) -> &AtomicPtr<Node> {
        let index = if rank == 0 { 0 } else { order.slot(rank - 1) + 1 };
        &self.inner().children[index]
    }

    /// Asks for the beginnings of the records whose keys may be `key`, or begin like it.
    pub(super) fn prefetch_records(self, key: &[u8]) {
        let equal = self.node().heads.compare(head_of(key, self.skip()), self.order().len()).equal;
        self.prefetch_slots(equal, RECORD_PREFETCH_BYTES);
    }

    /// Asks for so many bytes of the records in some slots, the lowest bit for the first one: versions of one key as a rule, and
    /// whoever looks for it will look at several, one after another.
    #[inline]
    fn prefetch_slots(self, mut slots: u32, bytes: usize) {
        while slots != 0 {
            let slot = slots.trailing_zeros() as usize;
            prefetch(self.node().records[slot].load(Ordering::Relaxed), bytes);
            slots &= slots - 1;
        }
    }

    /// The leaf to the right of this one.
    pub(super) fn next(self) -> Option<Self> {
        let next = self.leaf().next.load(Ordering::Acquire);
        // SAFETY: stored with `Release` when the leaf was complete.
        unsafe { Self::from_ptr(next) }
    }
}

/// What only the one writer does.
impl NodeRef {
    /// A leaf with records in their order and the leaf to the right of it. Readers may come to it by the tree before it
    /// is in the chain of leaves, so it must lead on from the beginning.
    pub(super) fn new_leaf(
        arena: &Arena,
        bump: &mut Bump,
        skip: usize,
        records: &[(NonNull<Record>, u32)],
        next: Option<Self>,
    ) -> Self {
        let next = AtomicPtr::new(next.map_or(ptr::null_mut(), Self::as_ptr));
        let prev = AtomicPtr::new(ptr::null_mut());
        let node = Node::new(0, skip, records.iter().copied());
        Self::place(arena, bump, Leaf { node, next, prev })
    }

    /// The head that a record has in this node.
    pub(super) fn head(self, record: NonNull<Record>) -> u32 {
        head_of(key_of(record), self.skip())
    }

    /// The record and its head at a place of an order that was read from this node.
    pub(super) fn record_at(self, order: Order, at: usize) -> (NonNull<Record>, u32) {
        let slot = order.slot(at);
        (self.entry_in(slot).record(), self.node().heads.get(slot))
    }

    /// An inner node with separators in their order and one more child than these.
    pub(super) fn new_inner(
        arena: &Arena,
        bump: &mut Bump,
        (level, skip): (u16, usize),
        separators: &[NonNull<Record>],
        children: &[Self],
    ) -> Self {
        debug_assert_eq!(children.len(), separators.len() + 1);
        let child = |at: usize| children.get(at).map_or(ptr::null_mut(), |child| child.as_ptr());
        let children = std::array::from_fn(|at| AtomicPtr::new(child(at)));
        let separators = separators.iter().map(|&separator| (separator, head_of(key_of(separator), skip)));
        Self::place(arena, bump, Inner { node: Node::new(level, skip, separators), children })
    }

    fn place<T>(arena: &Arena, bump: &mut Bump, node: T) -> Self {
        let place = arena.alloc(bump, size_of::<T>()).cast::<T>();
        // SAFETY: the piece is large enough and aligned, and nobody else knows it yet.
        unsafe { place.write(node) };
        Self(place.cast())
    }

    pub(super) fn is_full(self) -> bool {
        self.order().len() == SLOTS
    }

    /// Adds a record to a leaf that is not full.
    pub(super) fn add(self, at: usize, record: NonNull<Record>) {
        self.add_slot(at, record, |_| {});
    }

    /// Adds a separator and the child right of it to an inner node that is not full.
    pub(super) fn add_child(self, at: usize, separator: NonNull<Record>, child: Self) {
        let link = |slot: usize| self.inner().children[slot + 1].store(child.as_ptr(), Ordering::Release);
        self.add_slot(at, separator, link);
    }

    fn add_slot(self, at: usize, record: NonNull<Record>, link: impl FnOnce(usize)) {
        let (node, order) = (self.node(), self.order());
        let slot = order.len();
        node.heads.set(slot, head_of(key_of(record), self.skip()));
        node.records[slot].store(record.as_ptr(), Ordering::Relaxed);
        link(slot);
        node.order.store(order.with(at).0, PUBLISH);
    }

    /// Replaces the child behind `rank` separators by one that has the same records.
    pub(super) fn replace_child(self, rank: usize, child: Self) {
        self.child_link(self.order(), rank).store(child.as_ptr(), Ordering::Release);
    }

    /// Puts `left` and `right`, which lead on to what is behind this leaf, in its place in the chain of leaves.
    pub(super) fn replace_in_chain(self, left: Self, right: Self) {
        let prev = self.leaf().prev.load(Ordering::Relaxed);
        left.leaf().prev.store(prev, Ordering::Relaxed);
        right.leaf().prev.store(left.as_ptr(), Ordering::Relaxed);
        if let Some(next) = self.next() {
            next.leaf().prev.store(right.as_ptr(), Ordering::Relaxed);
        }
        // SAFETY: neighbours in the chain are complete leaves that live as long as this one.
        if let Some(prev) = unsafe { Self::from_ptr(prev) } {
            prev.leaf().next.store(left.as_ptr(), Ordering::Release);
        }
    }
}

impl Node {
    /// With records in their order, each with its head behind `skip` bytes.
    fn new(level: u16, skip: usize, records: impl ExactSizeIterator<Item = (NonNull<Record>, u32)>) -> Self {
        let order = AtomicU64::new(Order::first(records.len()).0);
        let (mut heads, mut pointers) = ([0; SLOTS], [ptr::null_mut(); SLOTS]);
        for (slot, (record, head)) in records.enumerate() {
            heads[slot] = head;
            pointers[slot] = record.as_ptr();
        }
        Self { order, heads: Heads::new(fixed(level, skip), heads), records: pointers.map(AtomicPtr::new) }
    }
}

/// What a node has in front of its heads: its level, which is 0 for leaves, and how many bytes its keys have in common.
fn fixed(level: u16, skip: usize) -> u32 {
    u32::from(level) | (skip as u32) << 16
}

/// The key of a record that the writer has found in the tree or just made.
fn key_of<'a>(record: NonNull<Record>) -> &'a [u8] {
    // SAFETY: it is complete, and lives as long as the tree.
    unsafe { Entry::at(record) }.key()
}

/// Four bytes of a key from `skip` on, as a big-endian number. If two heads differ, their keys are in the same order.
#[inline]
pub(super) fn head_of(key: &[u8], skip: usize) -> u32 {
    let rest = key.get(skip..).unwrap_or_default();
    match rest.first_chunk() {
        Some(head) => u32::from_be_bytes(*head),
        None => rest.iter().zip([24, 16, 8]).fold(0, |head, (&byte, shift)| head | u32::from(byte) << shift),
    }
}

/// Asks for the cache lines of so many bytes that are about to be looked at.
#[inline]
fn prefetch<T>(start: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..bytes.div_ceil(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it reads nothing and faults at no address, null included.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.cast::<i8>().wrapping_add(line * LINE)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_the_slots_as_they_were_put_in() {
        let mut order = Order::first(0);
        let mut model: Vec<usize> = Vec::new();
        for (slot, at) in [0, 0, 2, 1, 4, 0, 6, 3, 8, 9, 0, 5, 12].into_iter().enumerate() {
            order = order.with(at);
            model.insert(at, slot);
            let slots: Vec<_> = (0..order.len()).map(|at| order.slot(at)).collect();
            assert_eq!(slots, model);
        }
        assert_eq!(order.len(), SLOTS);
        for len in 0..=SLOTS {
            let order = Order::first(len);
            assert!((0..len).all(|at| order.slot(at) == at) && order.len() == len);
        }
    }

    #[test]
    fn heads_never_contradict_their_keys() {
        let mut keys: Vec<Vec<u8>> =
            vec![vec![], vec![0], vec![0, 0], b"a".to_vec(), b"a\0".to_vec(), vec![0xFF; 40]];
        for len in [2, 3, 4, 5, 7] {
            keys.extend((0..4u8).map(|last| [vec![b'k'; len], vec![last]].concat()));
        }
        for a in &keys {
            for b in &keys {
                let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
                for skip in 0..=common {
                    let heads = head_of(a, skip).cmp(&head_of(b, skip));
                    assert!(heads.is_eq() || heads == a.cmp(b), "{a:?} {b:?} {skip}");
                }
            }
        }
        assert!(head_of(b"kkk\x01", 0) != head_of(b"kkk\x02", 0));
    }
}
