//! Memory-only reads and the block cache.

use std::io;

use super::super::{MultiGet, key_hash};
use super::*;
use crate::fs::{File, Fs};
use crate::metrics::Counters;
use crate::{Error, ReadTier};

fn rows() -> Vec<Row> {
    (0..300u64).map(|n| row(format!("key{n:05}"), 1, Some(&[n as u8; 100]))).collect()
}

fn open(fixture: &Fixture, cache: &Arc<BlockCache>) -> Arc<Table> {
    Arc::new(Table::open(&RealFs, fixture.path(), STORE, fixture.meta.clone(), Arc::clone(cache)).unwrap())
}

fn get(table: &Table, key: &str, tier: ReadTier) -> Result<Option<Version>> {
    table.get(key.as_bytes(), key_hash(key.as_bytes()), Seq::MAX, tier)
}

#[test]
fn a_memory_read_of_a_cold_block_would_block_and_of_a_warm_one_answers() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let cache = Arc::new(BlockCache::new(1 << 20));
    let table = open(&fixture, &cache);
    assert!(matches!(get(&table, "key00150", ReadTier::Memory), Err(Error::WouldBlock)));
    assert!(matches!(get(&table, "key00150", ReadTier::Disk), Ok(Some(Version::Put(_)))));
    assert!(matches!(get(&table, "key00150", ReadTier::Memory), Ok(Some(Version::Put(_)))));
    assert!(
        matches!(get(&table, "no such key", ReadTier::Memory), Ok(None)),
        "the filter is always in memory"
    );
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts), (1, 2, 1));
    assert!(stats.bytes > 4000 && stats.bytes < 6000, "{stats:?}");
}

#[test]
fn a_long_scan_does_not_push_out_what_reads_of_single_keys_use() {
    const HOT: u64 = 40;
    // A block for each key, some thirty times what the cache holds.
    let rows: Vec<Row> = (0..2000u64).map(|n| row(format!("key{n:05}"), 1, Some(&[n as u8; 4000]))).collect();
    let fixture = Fixture::write(&rows, Compression::None);
    let cache = Arc::new(BlockCache::new(256 << 10));
    let table = open(&fixture, &cache);
    assert!(table.blocks(Section::Current) as u64 * 4000 > 25 * cache.stats().capacity);
    let read_hot = || {
        let before = cache.stats().misses;
        for n in 0..HOT {
            get(&table, &format!("key{:05}", n * 50), ReadTier::Disk).unwrap();
        }
        cache.stats().misses - before
    };
    assert_eq!(read_hot(), HOT, "nothing is in memory at first");
    for _ in 0..3 {
        read_hot();
    }
    let before = read_hot();
    assert!(before <= HOT / 10, "{before} misses before the scan");
    let mut cursor = table.cursor(ReadTier::Disk);
    cursor.seek_first().unwrap();
    let mut keys = 0;
    while cursor.valid() {
        keys += 1;
        cursor.next().unwrap();
    }
    assert_eq!(keys, rows.len());
    let after = read_hot();
    assert!(after <= HOT / 4, "{after} misses after the scan, {before} before");
}

/// A file of which the system has the first bytes in memory.
struct PartlyResident(Box<dyn File>, u64);

impl File for PartlyResident {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }

    fn read_at_once(&self, offset: u64, buf: &mut [u8]) -> bool {
        offset + buf.len() as u64 <= self.1 && self.0.read_at(offset, buf).is_ok_and(|read| read == buf.len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

#[test]
fn a_read_that_must_not_wait_takes_what_the_system_has_in_memory_and_keeps_it() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let cache = Arc::new(BlockCache::new(1 << 20));
    let mut table = Arc::into_inner(open(&fixture, &cache)).unwrap();
    table.file = Box::new(PartlyResident(RealFs.open(&fixture.path()).unwrap(), 20_000));
    let table = Arc::new(table);
    assert!(matches!(get(&table, "key00010", ReadTier::Memory), Err(Error::WouldBlock)));
    assert!(matches!(get(&table, "key00010", ReadTier::System), Ok(Some(Version::Put(_)))));
    assert!(matches!(get(&table, "key00010", ReadTier::Memory), Ok(Some(Version::Put(_)))));
    assert!(matches!(get(&table, "key00290", ReadTier::System), Err(Error::WouldBlock)));

    let mut cursor = table.cursor(ReadTier::System);
    cursor.seek_first().unwrap();
    let mut steps = 1;
    let error = loop {
        match cursor.next() {
            Ok(()) => steps += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::WouldBlock));
    assert!((100..200).contains(&steps), "{steps} of 300 lie in the first 20,000 bytes");
    let mut reads = MultiGet::new(&table, Seq::MAX, ReadTier::System);
    assert!(matches!(reads.get(b"key00020"), Ok(Some(_))));
    assert!(matches!(reads.get(b"key00280"), Err(Error::WouldBlock)));
}

#[test]
fn a_walk_that_must_not_wait_ends_before_it_takes_long_and_large_blocks_are_left_to_others() {
    let rows: Vec<Row> = (0..3000u64).map(|n| row(format!("key{n:05}"), 1, Some(&[n as u8; 1000]))).collect();
    let fixture = Fixture::write(&rows, Compression::None);
    let resident = |cache_bytes| {
        let mut table = Arc::into_inner(open(&fixture, &Arc::new(BlockCache::new(cache_bytes)))).unwrap();
        table.file = Box::new(PartlyResident(RealFs.open(&fixture.path()).unwrap(), u64::MAX));
        Arc::new(table)
    };
    let mut cursor = resident(0).cursor(ReadTier::System);
    cursor.seek_first().unwrap();
    let mut steps = 1;
    while cursor.next().is_ok() {
        steps += 1;
    }
    assert!((128..1000).contains(&steps), "{steps} of 3000");

    let fixture = Fixture::write(&[row("large", 1, Some(&vec![1; 300_000]))], Compression::None);
    let mut table = Arc::into_inner(open(&fixture, &Arc::new(BlockCache::new(1 << 20)))).unwrap();
    table.file = Box::new(PartlyResident(RealFs.open(&fixture.path()).unwrap(), u64::MAX));
    assert!(matches!(get(&table, "large", ReadTier::System), Err(Error::WouldBlock)));
}

#[test]
fn what_the_system_had_in_memory_is_timed_and_what_would_have_had_to_wait_is_not() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let counters = Arc::new(Counters::default());
    let cache = Arc::new(BlockCache::new(1 << 20).recorded_in(Arc::clone(&counters)));
    let mut table = Arc::into_inner(open(&fixture, &cache)).unwrap();
    table.file = Box::new(PartlyResident(RealFs.open(&fixture.path()).unwrap(), 20_000));
    for (key, tier, is_found, timed) in [
        ("key00010", ReadTier::Memory, false, 0),
        ("key00290", ReadTier::System, false, 0),
        ("key00010", ReadTier::System, true, 1),
        ("key00010", ReadTier::System, true, 1),
        ("key00290", ReadTier::Disk, true, 2),
    ] {
        let found = get(&table, key, tier);
        let summary = counters.latencies.summary().block_read;
        assert_eq!((found.is_ok(), summary.count), (is_found, timed), "{key} from {tier:?}");
    }
}

#[test]
fn a_damaged_block_that_the_system_has_in_memory_is_an_error_and_not_a_reason_to_wait() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let mut bytes = fixture.bytes();
    bytes[100] ^= 1;
    std::fs::write(fixture.path(), bytes).unwrap();
    let mut table = Arc::into_inner(open(&fixture, &Arc::new(BlockCache::new(1 << 20)))).unwrap();
    table.file = Box::new(PartlyResident(RealFs.open(&fixture.path()).unwrap(), u64::MAX));
    assert!(matches!(get(&table, "key00000", ReadTier::System), Err(Error::Corrupt { .. })));
}

#[test]
fn a_memory_cursor_would_block_at_a_cold_block_and_is_not_valid_then() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let table = fixture.open().unwrap();
    assert!(matches!(table.cursor(ReadTier::Memory).seek_first(), Err(Error::WouldBlock)));
    table.cursor(ReadTier::Disk).seek_first().unwrap();
    let mut cursor = table.cursor(ReadTier::Memory);
    cursor.seek_first().unwrap();
    let mut steps = 0;
    let error = loop {
        assert!(cursor.valid());
        match cursor.next() {
            Ok(()) => steps += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::WouldBlock));
    assert!(steps > 20 && !cursor.valid());
    cursor.seek_first().unwrap();
    assert_eq!(cursor.key(), b"key00000");
}

#[test]
fn without_capacity_everything_works_and_nothing_is_kept() {
    let fixture = Fixture::write(&rows(), Compression::Lz4);
    let cache = Arc::new(BlockCache::new(0));
    let table = open(&fixture, &cache);
    for (key, ..) in rows() {
        let key = String::from_utf8(key).unwrap();
        assert!(matches!(get(&table, &key, ReadTier::Disk), Ok(Some(Version::Put(_)))));
        assert!(matches!(get(&table, &key, ReadTier::Memory), Err(Error::WouldBlock)));
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts, stats.bytes), (0, 600, 0, 0));
}

#[test]
fn the_cache_stays_within_its_capacity_and_refuses_what_is_larger() {
    let mut rows = rows();
    rows.push(row("large", 1, Some(&vec![1; 50_000])));
    let fixture = Fixture::write(&rows, Compression::None);
    let cache = Arc::new(BlockCache::new(20_000));
    let table = open(&fixture, &cache);
    let mut cursor = table.cursor(ReadTier::Disk);
    cursor.seek_first().unwrap();
    while cursor.valid() {
        assert!(cache.stats().bytes <= 20_000);
        cursor.next().unwrap();
    }
    assert!(cache.stats().bytes > 8_000, "{:?}", cache.stats());
    assert!(matches!(get(&table, "large", ReadTier::Disk), Ok(Some(Version::Put(_)))));
    assert!(matches!(get(&table, "large", ReadTier::Memory), Err(Error::WouldBlock)));
}

#[test]
fn a_value_outlives_its_table_and_cache() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let found = get(&fixture.open().unwrap(), "key00007", ReadTier::Disk).unwrap();
    assert!(is_as_expected(found.as_ref(), Some(&rows()[7])));
}

#[test]
fn equal_places_in_different_files_are_different_blocks() {
    let cache = Arc::new(BlockCache::new(1 << 20));
    let (first, other) = (rows(), vec![row("key00000", 1, Some(b"other"))]);
    let tables: Vec<_> = [(&first, 1), (&other, 2)]
        .into_iter()
        .map(|(rows, number)| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t");
            let number = FileNumber(number);
            let mut writer =
                TableWriter::create(&RealFs, path.clone(), STORE, number, Compression::None).unwrap();
            for (key, at, value) in rows {
                writer.add(key, trailer(*at, Kind::Put), value.as_deref().unwrap()).unwrap();
            }
            let meta = writer.finish().unwrap();
            (Table::open(&RealFs, path, STORE, meta, Arc::clone(&cache)).unwrap(), dir)
        })
        .collect();
    for _ in 0..2 {
        let found = get(&tables[0].0, "key00000", ReadTier::Disk).unwrap();
        assert!(is_as_expected(found.as_ref(), Some(&first[0])));
        let found = get(&tables[1].0, "key00000", ReadTier::Disk).unwrap();
        assert!(is_as_expected(found.as_ref(), Some(&other[0])));
    }
}

/// Keys with few versions and one with many, none of them small.
fn rows_with_history() -> Vec<Row> {
    let versions = |n: u64| if n == 50 { 100 } else { n % 3 + 1 };
    let rows = (0..100u64).flat_map(|n| {
        (0..versions(n))
            .map(move |version| row(format!("key{n:03}"), version * 10 + 1, Some(&[n as u8; 300])))
    });
    in_order(rows.collect())
}

/// Fills the cache with what reads of the newest state need.
fn warm_current(table: &Arc<Table>) {
    let mut cursor = table.cursor_at(ReadTier::Disk, Seq::MAX);
    cursor.seek_first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
}

#[test]
fn reads_of_the_newest_state_never_touch_history() {
    let rows = rows_with_history();
    let fixture = Fixture::write(&rows, Compression::None);
    let cache = Arc::new(BlockCache::new(1 << 20));
    let table = open(&fixture, &cache);
    assert!(table.blocks(Section::History) > 10);
    warm_current(&table);
    assert_eq!(cache.stats().inserts, table.blocks(Section::Current) as u64);
    let newest = fixture.meta.greatest_seq;
    for (key, ..) in &rows {
        let found = table.get(key, key_hash(key), newest, ReadTier::Memory).unwrap();
        assert!(is_as_expected(found.as_ref(), expected(&rows, key, newest.get())));
    }
    let mut cursor = table.cursor_at(ReadTier::Memory, newest);
    cursor.seek_first().unwrap();
    let mut keys = 0;
    while cursor.valid() {
        keys += 1;
        cursor.next().unwrap();
    }
    assert_eq!(keys, 100);
}

#[test]
fn a_read_of_the_past_looks_into_history_only_when_the_newest_version_is_too_new() {
    let rows = rows_with_history();
    let fixture = Fixture::write(&rows, Compression::None);
    let table = fixture.open().unwrap();
    warm_current(&table);
    for (key, ..) in &rows {
        let newest = expected(&rows, key, u64::MAX).unwrap();
        for at in [0, 1, 11, 25, 500] {
            let found = table.get(key, key_hash(key), seq(at), ReadTier::Memory);
            if newest.1 <= at {
                assert!(is_as_expected(found.unwrap().as_ref(), Some(newest)), "{key:?} at {at}");
            } else if at > 0 && rows.iter().any(|(found, seq, _)| found == key && *seq <= at) {
                assert!(matches!(found, Err(Error::WouldBlock)), "{key:?} at {at}");
            }
        }
    }
}

#[test]
fn a_read_of_the_past_does_not_look_at_a_block_of_newest_versions_that_are_all_too_new() {
    let versions = |n: u64| [1, 2, 900 + n].map(|seq| row(format!("key{n:03}"), seq, Some(&[n as u8; 300])));
    let rows = in_order((0..100).flat_map(versions).collect());
    let fixture = Fixture::write(&rows, Compression::None);
    for together in [false, true] {
        let cache = Arc::new(BlockCache::new(1 << 20));
        let table = open(&fixture, &cache);
        let mut reads = MultiGet::new(&table, seq(2), ReadTier::Disk);
        for (key, ..) in rows.iter().step_by(3) {
            let one = || table.get(key, key_hash(key), seq(2), ReadTier::Disk);
            let found = if together { reads.get(key).map(|found| Some(found?.1)) } else { one() };
            assert!(is_as_expected(found.unwrap().as_ref(), expected(&rows, key, 2)), "{key:?}");
        }
        assert_eq!(cache.stats().inserts, table.blocks(Section::History) as u64, "together: {together}");
    }
}

#[test]
fn a_cursor_of_the_past_passes_over_blocks_that_are_newer() {
    // The long history of key050 fills blocks of its own, and most of them are newer than 15.
    let rows = rows_with_history();
    let fixture = Fixture::write(&rows, Compression::None);
    let cache = Arc::new(BlockCache::new(1 << 20));
    let table = open(&fixture, &cache);
    let mut cursor = table.cursor_at(ReadTier::Disk, seq(15));
    cursor.seek_first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
    let all = (table.blocks(Section::Current) + table.blocks(Section::History)) as u64;
    assert!(cache.stats().inserts + 5 < all, "{:?} of {all} blocks", cache.stats());
}

/// Walks over the whole table through the cache.
fn scan(table: &Arc<Table>) {
    let mut cursor = table.cursor(ReadTier::Disk);
    cursor.seek_first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
}

#[test]
fn open_tables_take_their_indexes_and_filters_from_the_budget_and_give_them_back() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let cache = Arc::new(BlockCache::new(40_000));
    let table = open(&fixture, &cache);
    let charged = table.memory_bytes() as u64;
    assert!(charged > 500);
    assert_eq!(cache.stats().charged, charged);
    // As good as all of the rest goes to somebody else, and blocks keep a quarter.
    cache.charge(1_000_000);
    scan(&table);
    let stats = cache.stats();
    assert!(stats.bytes <= 10_000 && stats.bytes > 4_000, "{stats:?}");
    assert!(stats.evictions > 0, "{stats:?}");
    cache.release(1_000_000);
    scan(&table);
    let stats = cache.stats();
    assert!(stats.bytes > 20_000 && stats.bytes + stats.charged <= 40_000, "{stats:?}");
    drop(table);
    assert_eq!(cache.stats().charged, 0);
}

#[test]
fn charging_makes_room_at_once() {
    let fixture = Fixture::write(&rows(), Compression::None);
    let cache = Arc::new(BlockCache::new(100_000));
    scan(&open(&fixture, &cache));
    let before = cache.stats();
    assert!(before.bytes > 30_000 && before.evictions == 0, "{before:?}");
    cache.charge(90_000);
    let after = cache.stats();
    assert!(after.bytes <= 25_000 && after.evictions > 0, "{after:?}");
}

#[test]
fn several_keys_look_each_block_up_once() {
    let fixture = Fixture::write(&rows(), Compression::Lz4);
    let cache = Arc::new(BlockCache::new(1 << 20));
    let table = open(&fixture, &cache);
    let read = |step: usize| {
        let before = cache.stats();
        let mut reads = MultiGet::new(&table, Seq::MAX, ReadTier::Disk);
        for (key, ..) in rows().iter().step_by(step) {
            assert!(reads.get(key).unwrap().is_some());
        }
        let after = cache.stats();
        (after.hits - before.hits, after.misses - before.misses)
    };
    let blocks = table.blocks(Section::Current) as u64;
    assert!((7..20).contains(&blocks), "{blocks}");
    assert_eq!(read(1), (0, blocks), "300 keys");
    assert_eq!(read(1), (blocks, 0));
    assert_eq!(read(100), (3, 0), "no two of these in one block");
}
