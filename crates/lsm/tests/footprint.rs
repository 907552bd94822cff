//! The memory of a store at work: at most its cache, its memtables and 64 MiB.
//!
//! One test, so that nothing else allocates in this process. What counts is the peak of what is allocated, on every system, and
//! on Linux also the peak of the process, which includes what the allocator wastes. Neither depends on the speed of the
//! machine. That the measurement can fail is shown by a store that keeps more than it is allowed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(unsafe_code, reason = "an allocator that counts what is held")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fountain_lsm::{Db, Direction, Durability, KeyRange, Options, ReadTier, Retention, WriteBatch};
use support::killed;

const MIB: usize = 1 << 20;
const CACHE_BYTES: usize = 16 * MIB;
const MEMTABLE_BYTES: usize = 4 * MIB;
/// Three that wait for the flush, and the one that takes the commits.
const MEMTABLES: usize = 4;
/// What everything else may take: merges, flushes, lists of tables, threads.
const OWN_BYTES: usize = 64 * MIB;
const ALLOWED_BYTES: usize = CACHE_BYTES + MEMTABLES * MEMTABLE_BYTES + OWN_BYTES;

/// Together far more than is allowed.
const RECORDS: u64 = 30_000;
const VALUE_BYTES: usize = 4000;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator; knows how many bytes are held, and were at most.
struct Counting;

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are held while one is copied to the other.
        took(size);
        // SAFETY: as above.
        let moved = unsafe { System.realloc(piece, layout, size) };
        HELD.fetch_sub(layout.size(), Relaxed);
        moved
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(piece, layout) };
        HELD.fetch_sub(layout.size(), Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn took(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
}

/// The most bytes that were held at once while `work` ran.
fn peak_of(work: impl FnOnce()) -> usize {
    PEAK.store(HELD.load(Relaxed), Relaxed);
    work();
    PEAK.load(Relaxed)
}

/// The most memory that this process has had, as far as the system tells.
fn peak_of_process() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

fn options(cache_bytes: usize) -> Options {
    Options {
        cache_bytes,
        memtable_bytes: MEMTABLE_BYTES,
        table_bytes: 2 << 20,
        wal_segment_bytes: 8 << 20,
        retention: Retention::LatestOnly,
        ..Options::default()
    }
}

/// The numbers below [`RECORDS`] in an order that jumps.
fn shuffled() -> impl Iterator<Item = u64> {
    (0..RECORDS).map(|index| index * 7919 % RECORDS)
}

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Bytes that do not compress, cut out of those of [`noise`] somewhere else for each record and round.
fn value(number: u64, round: u64) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(noise);
    let at = (number * 31 + round * 17) as usize % (noise.len() - VALUE_BYTES);
    &noise[at..at + VALUE_BYTES]
}

fn noise() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..MIB / 8).flat_map(|_| next().to_le_bytes()).collect()
}

fn put(db: &Db, number: u64, round: u64) {
    let mut batch = WriteBatch::new();
    batch.put(&key(number), value(number, round)).unwrap();
    db.commit(batch, Durability::Os).unwrap();
}

fn read_all(db: &Db, round: u64) {
    for number in shuffled() {
        let found = db.get_newest(&key(number), ReadTier::Disk).unwrap().unwrap();
        assert!(*found == *value(number, round), "{number}");
    }
}

fn count_by_scan(db: &Db, direction: Direction) -> u64 {
    let mut cursor = db.cursor(KeyRange::default(), db.visible(), direction, ReadTier::Disk).unwrap();
    let mut records = 0;
    while cursor.next().unwrap() {
        records += 1;
    }
    records
}

/// Fills a store, reads it in every way, overwrites it beside a reader, merges, copies and checks it, and opens it again.
fn work_with(dir: &Path, cache_bytes: usize) {
    let db = Db::open(dir, options(cache_bytes)).unwrap();
    shuffled().for_each(|number| put(&db, number, 0));
    read_all(&db, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(count_by_scan(&db, Direction::Forward), RECORDS));
        shuffled().for_each(|number| put(&db, number, 1));
    });
    db.compact().unwrap();
    let keys: Vec<_> = (0..RECORDS).step_by(100).map(key).collect();
    let found = db.get_many(&keys, db.visible(), ReadTier::Disk).unwrap();
    assert!(found.iter().all(Option::is_some));
    drop(found);
    db.checkpoint(&dir.with_extension("copy")).unwrap();
    assert_eq!(db.scrub().unwrap().faults().count(), 0);
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir, options(cache_bytes)).unwrap();
    assert_eq!(count_by_scan(&db, Direction::Reverse), RECORDS);
    read_all(&db, 1);
    db.close().unwrap();
}

/// A store of half of the records, all of them in the log alone.
fn leave_a_full_log(dir: &Path) {
    let alive = dir.with_extension("alive");
    let db =
        Db::open(&alive, Options { memtable_bytes: 256 << 20, background: false, ..options(CACHE_BYTES) })
            .unwrap();
    shuffled().take(RECORDS as usize / 2).for_each(|number| put(&db, number, 0));
    killed(&alive, dir);
    db.close().unwrap();
}

#[test]
fn a_store_takes_at_most_its_cache_its_memtables_and_64_mib() {
    let temp = tempfile::tempdir().unwrap();
    let within = |peak: usize| peak <= ALLOWED_BYTES;

    let peak = peak_of(|| work_with(&temp.path().join("store"), CACHE_BYTES));
    let process = peak_of_process().unwrap_or(peak);
    println!("at work: {} MiB held, {} MiB of the process", peak / MIB, process / MIB);
    assert!(within(peak) && within(process), "{peak} held, {process} of the process");

    let log = temp.path().join("log");
    leave_a_full_log(&log);
    let peak = peak_of(|| {
        let db = Db::open(&log, options(CACHE_BYTES)).unwrap();
        assert_eq!(count_by_scan(&db, Direction::Forward), RECORDS / 2);
    });
    println!("opening: {} MiB held", peak / MIB);
    assert!(within(peak), "{peak} held while a full log was replayed");

    let peak = peak_of(|| {
        let db = Db::open(&temp.path().join("greedy"), options(ALLOWED_BYTES + CACHE_BYTES)).unwrap();
        shuffled().for_each(|number| put(&db, number, 0));
        read_all(&db, 0);
    });
    println!("with a cache that takes more than it may: {} MiB held", peak / MIB);
    assert!(!within(peak), "more than may be held was not noticed: {peak}");
}
