//! A skip list with one writer and lock-free readers, after LevelDB's `skiplist.h`.
//!
//! Invariants: a node is complete before it is linked; links are stored with `Release` and loaded with `Acquire`, so
//! whoever sees a node sees all of it; nodes are neither changed (but for their links) nor freed before the list is
//! dropped. The list is sorted by user key ascending, then by sequence descending.
//!
//! A node is one piece of arena memory: header, tower of links, key, value. A search that decides on a node's key
//! therefore reads one or two adjacent cache lines.
#![expect(
    unsafe_code,
    reason = "nodes live in the arena and are linked by pointers; see the SAFETY comments"
)]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "pieces are aligned to 8, and so is every offset of a link in them"
)]

use std::cmp;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::arena::{Arena, Bump};
use super::version_order;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::types::{Kind, Seq, Trailer};

const MAX_HEIGHT: usize = 14;
/// How a complete node is linked. With the planted fault it is not published, which ThreadSanitizer must report.
const PUBLISH: Ordering =
    if cfg!(feature = "planted-memory-faults") { Ordering::Relaxed } else { Ordering::Release };

/// Header of a node. `height` links, the key and the value follow it in memory.
///
/// The first bytes of the key are repeated here as two numbers: they decide most comparisons, and with them a search
/// looks at one cache line of a node instead of two.
#[repr(C)]
struct Node {
    head: Head,
    trailer: u64,
    key_len: u32,
    value_len: u32,
    height: u64,
}

/// The first 16 bytes of a key as big-endian numbers, zeros after its end. If the heads of two keys differ, they are in
/// the order of the keys; if they are equal, the keys themselves decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
struct Head(u64, u64);

impl Head {
    fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 16];
        match key.first_chunk() {
            Some(first) => bytes = *first,
            None => bytes[..key.len()].copy_from_slice(key),
        }
        let both = u128::from_be_bytes(bytes);
        Self((both >> 64) as u64, both as u64)
    }
}

/// A place in the list, with its head.
#[derive(Clone, Copy)]
struct Target<'k> {
    head: Head,
    key: &'k [u8],
    trailer: Trailer,
}

impl<'k> Target<'k> {
    fn new(key: &'k [u8], trailer: Trailer) -> Self {
        Self { head: Head::of(key), key, trailer }
    }

    /// Whether `entry` lies at or after this place.
    #[inline]
    fn is_reached_by(&self, entry: Entry<'_>) -> bool {
        match entry.header().head.cmp(&self.head) {
            cmp::Ordering::Less => false,
            cmp::Ordering::Greater => true,
            cmp::Ordering::Equal => {
                version_order((entry.key(), entry.trailer()), (self.key, self.trailer)).is_ge()
            }
        }
    }
}

const LINK_BYTES: usize = size_of::<AtomicPtr<Node>>();
const HEADER_BYTES: usize = size_of::<Node>();

pub(super) struct SkipList {
    arena: Arena,
    head: NonNull<Node>,
    /// Links in use at the head; grows, never shrinks.
    height: AtomicUsize,
}

// SAFETY: readers only follow `Acquire`-loaded links to complete, immutable nodes; the one writer is kept single by
// the `Inserter`, of which there is exactly one per list. `head` points into `arena` and dies with it.
unsafe impl Send for SkipList {}
// SAFETY: as above.
unsafe impl Sync for SkipList {}

/// The right to insert into one list: its allocator and its source of heights.
pub(super) struct Inserter {
    bump: Bump,
    random: u64,
    /// The last node of every level: where a version that comes after all others is linked without a search.
    tails: [NonNull<Node>; MAX_HEIGHT],
}

// SAFETY: the tails point to nodes of the one list that the inserter belongs to, which outlives it in the same
// memtable; they are only used together with that list.
unsafe impl Send for Inserter {}

/// A node as readers see it.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    node: NonNull<Node>,
    list: PhantomData<&'a SkipList>,
}

impl SkipList {
    pub(super) fn new() -> (Self, Inserter) {
        let (arena, mut bump) = Arena::new();
        let trailer = Trailer::new(Seq::ZERO, Kind::Put);
        let head = new_node(&arena, &mut bump, MAX_HEIGHT, b"", trailer, b"");
        // A fixed seed: the same inserts build the same list in every run.
        let tails = [head; MAX_HEIGHT];
        let inserter = Inserter { bump, random: 0x9E37_79B9_7F4A_7C15, tails };
        (Self { arena, head, height: AtomicUsize::new(1) }, inserter)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// Adds a version; the pair of key and sequence must not be in the list.
    pub(super) fn insert(&self, inserter: &mut Inserter, key: &[u8], trailer: Trailer, value: &[u8]) {
        let target = Target::new(key, trailer);
        let mut before = inserter.tails;
        let last = Entry { node: before[0], list: PhantomData };
        if last.node != self.head && target.is_reached_by(last) {
            before = [self.head; MAX_HEIGHT];
            let after = self.find(target, Some(&mut before));
            debug_assert!(
                after.is_none_or(|node| node.key() != key || node.trailer().seq() != trailer.seq())
            );
        }
        let height = inserter.random_height();
        if height > self.height.load(Ordering::Relaxed) {
            // A reader that still sees the old height just starts lower; one that sees the new height finds null.
            self.height.store(height, Ordering::Relaxed);
        }
        let node = new_node(&self.arena, &mut inserter.bump, height, key, trailer, value);
        for (level, before) in before.iter().enumerate().take(height) {
            let next = link(*before, level).load(Ordering::Relaxed);
            link(node, level).store(next, Ordering::Relaxed);
            link(*before, level).store(node.as_ptr(), PUBLISH);
            if next.is_null() {
                inserter.tails[level] = node;
            }
        }
    }

    pub(super) fn first(&self) -> Option<Entry<'_>> {
        entry(link(self.head, 0).load(Ordering::Acquire))
    }

    /// The first version at or after (`key`, `trailer`).
    pub(super) fn seek(&self, key: &[u8], trailer: Trailer) -> Option<Entry<'_>> {
        self.find(Target::new(key, trailer), None)
    }

    /// The last version before (`key`, `trailer`); without a target, the last one of all.
    pub(super) fn seek_before(&self, target: Option<(&[u8], Trailer)>) -> Option<Entry<'_>> {
        let target = target.map(|(key, trailer)| Target::new(key, trailer));
        let mut at = self.head;
        for level in (0..self.height.load(Ordering::Relaxed)).rev() {
            while let Some(next) = entry(link(at, level).load(Ordering::Acquire)) {
                if target.is_some_and(|target| target.is_reached_by(next)) {
                    break;
                }
                at = next.node;
            }
        }
        (at != self.head).then_some(Entry { node: at, list: PhantomData })
    }

    /// The first node at or after the target; fills `before` with its predecessor on every level.
    fn find(
        &self,
        target: Target<'_>,
        mut before: Option<&mut [NonNull<Node>; MAX_HEIGHT]>,
    ) -> Option<Entry<'_>> {
        let mut at = self.head;
        let mut found = None;
        let mut known_after: *mut Node = ptr::null_mut();
        for level in (0..self.height.load(Ordering::Relaxed)).rev() {
            loop {
                let next = link(at, level).load(Ordering::Acquire);
                if level > 0 {
                    // If the search does not go on to `next`, it goes down to this one: let both misses overlap.
                    prefetch(link(at, level - 1).load(Ordering::Relaxed));
                }
                // A node found to lie after the target on the level above needs no second comparison.
                let Some(candidate) = entry(next).filter(|_| next != known_after) else {
                    found = entry(next);
                    break;
                };
                if target.is_reached_by(candidate) {
                    known_after = next;
                    found = Some(candidate);
                    break;
                }
                at = candidate.node;
            }
            if let Some(before) = before.as_deref_mut() {
                before[level] = at;
            }
        }
        found
    }
}

impl Inserter {
    /// 1 with probability 3/4, 2 with 3/16, and so on (xorshift64*, Vigna 2016).
    fn random_height(&mut self) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        let pairs = (bits as u32 | 1 << 31).trailing_zeros() / 2;
        (pairs as usize + 1).min(MAX_HEIGHT)
    }
}

impl<'a> Entry<'a> {
    pub(super) fn key(self) -> &'a [u8] {
        let header = self.header();
        self.bytes(0, header.key_len as usize)
    }

    pub(super) fn value(self) -> &'a [u8] {
        let header = self.header();
        self.bytes(header.key_len as usize, header.value_len as usize)
    }

    pub(super) fn trailer(self) -> Trailer {
        let raw = self.header().trailer;
        debug_assert!(Trailer::from_raw(raw).is_some());
        Trailer::from_raw(raw).unwrap_or(Trailer::new(Seq::ZERO, Kind::Put))
    }

    pub(super) fn next(self) -> Option<Self> {
        entry(link(self.node, 0).load(Ordering::Acquire))
    }

    /// The node itself, for a cursor that keeps the list alive by other means.
    pub(super) fn into_raw(self) -> RawEntry {
        RawEntry(self.node)
    }

    fn header(self) -> &'a Node {
        // SAFETY: an entry points to a complete node, and the list that owns it is borrowed for 'a.
        unsafe { self.node.as_ref() }
    }

    fn bytes(self, start: usize, len: usize) -> &'a [u8] {
        let offset = HEADER_BYTES + self.header().height as usize * LINK_BYTES + start;
        // SAFETY: key and value lie behind the links in the same piece and were written by `new_node`.
        unsafe { std::slice::from_raw_parts(self.node.as_ptr().cast::<u8>().add(offset), len) }
    }
}

/// An entry without the borrow of its list.
#[derive(Clone, Copy)]
pub(super) struct RawEntry(NonNull<Node>);

// SAFETY: nodes are immutable and may be read from any thread while their list lives.
unsafe impl Send for RawEntry {}
// SAFETY: as above.
unsafe impl Sync for RawEntry {}

impl RawEntry {
    /// The entry, for as long as its list is borrowed.
    ///
    /// # Safety
    /// The entry must come from `list`.
    pub(super) unsafe fn of(self, _list: &SkipList) -> Entry<'_> {
        Entry { node: self.0, list: PhantomData }
    }
}

fn entry<'a>(node: *mut Node) -> Option<Entry<'a>> {
    NonNull::new(node).map(|node| Entry { node, list: PhantomData })
}

/// Asks for the cache line of a node that may be needed next.
#[inline]
fn prefetch(node: *const Node) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it reads nothing and faults at no address, null included.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(node.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = node;
}

/// Link number `level` of a node; `level` must be below the node's height.
fn link<'a>(node: NonNull<Node>, level: usize) -> &'a AtomicPtr<Node> {
    // SAFETY: nodes are complete and live as long as the list. Callers reach a node on `level` only through a link
    // of that level or the head, so its tower has that link.
    unsafe {
        debug_assert!(level < (*node.as_ptr()).height as usize);
        &*node.as_ptr().cast::<u8>().add(HEADER_BYTES + level * LINK_BYTES).cast::<AtomicPtr<Node>>()
    }
}

fn new_node(
    arena: &Arena,
    bump: &mut Bump,
    height: usize,
    key: &[u8],
    trailer: Trailer,
    value: &[u8],
) -> NonNull<Node> {
    let links = height * LINK_BYTES;
    let piece = arena.alloc(bump, HEADER_BYTES + links + key.len() + value.len());
    let node = piece.cast::<Node>();
    let header = Node {
        head: Head::of(key),
        trailer: trailer.raw(),
        key_len: key.len() as u32,
        value_len: value.len() as u32,
        height: height as u64,
    };
    // SAFETY: the piece is large enough and aligned for the header, the links behind it and the bytes behind these;
    // nobody else knows it yet.
    unsafe {
        node.write(header);
        let tower = piece.as_ptr().add(HEADER_BYTES);
        for level in 0..height {
            tower.add(level * LINK_BYTES).cast::<AtomicPtr<Node>>().write(AtomicPtr::new(ptr::null_mut()));
        }
        let bytes = tower.add(links);
        ptr::copy_nonoverlapping(key.as_ptr(), bytes, key.len());
        ptr::copy_nonoverlapping(value.as_ptr(), bytes.add(key.len()), value.len());
    }
    node
}

// The links must be aligned in a piece aligned to 8.
const _: () = assert!(HEADER_BYTES.is_multiple_of(8) && align_of::<Node>() <= super::arena::ALIGN);
const _: () = assert!(align_of::<AtomicPtr<Node>>() <= super::arena::ALIGN);
const _: () = assert!(LINK_BYTES == 8 || cfg!(any(feature = "shuttle", target_pointer_width = "32")));

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    fn trailer(seq: u64) -> Trailer {
        Trailer::new(Seq::new(seq).unwrap(), Kind::Put)
    }

    #[test]
    fn heads_never_contradict_their_keys() {
        let mut keys: Vec<Vec<u8>> =
            vec![vec![], vec![0], vec![0, 0], b"a".to_vec(), b"a\0".to_vec(), vec![0xFF; 40]];
        for len in [7, 8, 9, 15, 16, 17, 30] {
            keys.extend((0..4u8).map(|last| [vec![b'k'; len], vec![last]].concat()));
        }
        for a in &keys {
            for b in &keys {
                let heads = Head::of(a).cmp(&Head::of(b));
                assert!(heads.is_eq() || heads == a.cmp(b), "{a:?} {b:?}");
            }
        }
        assert!(Head::of(&[b'k'; 15]) != Head::of(&[b'k'; 16]));
    }

    #[test]
    fn order_and_contents_equal_those_of_a_sorted_map() {
        let (list, mut inserter) = SkipList::new();
        let mut model = BTreeMap::new();
        let mut random = 7u64;
        for seq in 1..=5000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = format!("{:03}", (random >> 33) % 600).into_bytes();
            let value = vec![seq as u8; (random >> 40) as usize % 50];
            list.insert(&mut inserter, &key, trailer(seq), &value);
            model.insert((key, std::cmp::Reverse(seq)), value);
        }
        let mut at = list.first();
        for ((key, seq), value) in &model {
            let entry = at.unwrap();
            assert_eq!((entry.key(), entry.trailer(), entry.value()), (&key[..], trailer(seq.0), &value[..]));
            at = entry.next();
        }
        assert!(at.is_none());
        let mut last = list.seek_before(None);
        for ((key, seq), _) in model.iter().rev() {
            let entry = last.unwrap();
            assert_eq!((entry.key(), entry.trailer()), (&key[..], trailer(seq.0)));
            last = list.seek_before(Some((entry.key(), entry.trailer())));
        }
        assert!(last.is_none());
    }

    #[test]
    fn ascending_inserts_and_others_between_them_keep_the_order() {
        let (list, mut inserter) = SkipList::new();
        let mut model = std::collections::BTreeSet::new();
        for seq in 1..=4000u64 {
            let number = if seq % 5 == 0 { seq * 7919 % 4001 } else { 10_000 + seq };
            let key = number.to_be_bytes();
            list.insert(&mut inserter, &key, trailer(seq), b"");
            model.insert((key, std::cmp::Reverse(seq)));
        }
        let mut at = list.first();
        for (key, seq) in &model {
            let entry = at.unwrap();
            assert_eq!((entry.key(), entry.trailer()), (&key[..], trailer(seq.0)));
            assert_eq!(list.seek(key, trailer(seq.0)).map(Entry::trailer), Some(trailer(seq.0)));
            at = entry.next();
        }
        assert!(at.is_none());
    }

    #[test]
    fn readers_see_a_sorted_list_and_every_finished_insert_while_a_writer_inserts() {
        let (list, mut inserter) = SkipList::new();
        let done = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let finished = done.load(Ordering::Acquire);
                        if finished > 0 {
                            let key = (finished.wrapping_mul(2_654_435_761) % 100_003).to_be_bytes();
                            let entry = list.seek(&key, trailer(finished)).unwrap();
                            assert_eq!(entry.key(), key);
                            assert_eq!(entry.value(), &[key, key].concat()[..]);
                        }
                        let (mut previous, mut at, mut count) = (None, list.first(), 0u64);
                        while let Some(entry) = at {
                            let place = (entry.key(), entry.trailer());
                            assert!(previous.is_none_or(|previous| version_order(previous, place).is_lt()));
                            (previous, at, count) = (Some(place), entry.next(), count + 1);
                        }
                        assert!(count >= finished);
                    }
                });
            }
            for seq in 1..=20_000u64 {
                let key = (seq.wrapping_mul(2_654_435_761) % 100_003).to_be_bytes();
                list.insert(&mut inserter, &key, trailer(seq), &[key, key].concat());
                done.store(seq, Ordering::Release);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
