//! How many system calls a walk over a table takes.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::ReadTier;
use crate::fs::{File, Fs};
use crate::table::TableCursor;

/// Offset and length of every read.
type ReadLog = Arc<Mutex<Vec<(u64, usize)>>>;

struct LoggedFile(Box<dyn File>, ReadLog);

impl File for LoggedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.1.lock().unwrap().push((offset, buf.len()));
        self.0.read_at(offset, buf)
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

/// A table with so much history, its reads after opening, and its cache.
fn fixture(keys: u64, versions: u64) -> (Fixture, Arc<Table>, ReadLog, Arc<BlockCache>) {
    let rows = (0..keys).flat_map(|n| {
        (0..versions).map(move |version| row(format!("key{n:06}"), version + 1, Some(&[n as u8; 200])))
    });
    let fixture = Fixture::write(&in_order(rows.collect()), Compression::None);
    let (log, cache) = (ReadLog::default(), Arc::new(BlockCache::new(16 << 20)));
    let mut table =
        Table::open(&RealFs, fixture.path(), STORE, fixture.meta.clone(), Arc::clone(&cache)).unwrap();
    table.file = Box::new(LoggedFile(RealFs.open(&fixture.path()).unwrap(), Arc::clone(&log)));
    (fixture, Arc::new(table), log, cache)
}

fn walk(mut cursor: TableCursor) -> u64 {
    cursor.seek_first().unwrap();
    let mut count = 0;
    while cursor.valid() {
        count += 1;
        cursor.next().unwrap();
    }
    count
}

#[test]
fn a_scan_forwards_reads_ahead_further_and_further() {
    let (_fixture, table, log, cache) = fixture(20_000, 1);
    assert_eq!(walk(table.cursor_at(ReadTier::Disk, Seq::MAX)), 20_000);
    let reads = log.lock().unwrap().clone();
    let blocks = table.blocks(Section::Current) as u64;
    assert!(reads.len() < 40 && blocks > 1000, "{} reads of {blocks} blocks", reads.len());
    assert!(reads[..2].iter().all(|&(_, len)| len < 5000), "{reads:?}");
    assert!(reads[2..8].windows(2).all(|pair| pair[0].1 < pair[1].1), "{reads:?}");
    assert!(reads.iter().all(|&(_, len)| len <= 256 << 10), "{reads:?}");
    assert!(
        reads.windows(2).all(|pair| pair[0].0 + pair[0].1 as u64 == pair[1].0),
        "nothing twice: {reads:?}"
    );
    assert_eq!(cache.stats().inserts, blocks, "what is read ahead is kept like anything else");
    walk(table.cursor_at(ReadTier::Memory, Seq::MAX));
}

#[test]
fn a_scan_backwards_reads_ahead_further_and_further() {
    let (_fixture, table, log, cache) = fixture(20_000, 1);
    let mut cursor = table.cursor_at(ReadTier::Disk, Seq::MAX);
    cursor.seek_last().unwrap();
    let mut count = 0;
    while cursor.valid() {
        count += 1;
        cursor.prev().unwrap();
    }
    assert_eq!(count, 20_000);
    let reads = log.lock().unwrap().clone();
    let blocks = table.blocks(Section::Current) as u64;
    assert!(reads.len() < 40 && blocks > 1000, "{} reads of {blocks} blocks", reads.len());
    assert!(reads[..2].iter().all(|&(_, len)| len < 5000), "{reads:?}");
    assert!(reads[2..8].windows(2).all(|pair| pair[0].1 < pair[1].1), "{reads:?}");
    assert!(reads.iter().all(|&(_, len)| len <= 256 << 10), "{reads:?}");
    assert!(
        reads.windows(2).all(|pair| pair[1].0 + pair[1].1 as u64 == pair[0].0),
        "nothing twice: {reads:?}"
    );
    assert_eq!(cache.stats().inserts, blocks);
}

#[test]
fn seeks_read_one_block_each_and_turns_no_more_than_they_need() {
    let (_fixture, table, log, _cache) = fixture(5000, 1);
    let mut cursor = table.cursor(ReadTier::Disk);
    for n in 0..50u64 {
        cursor.seek(format!("key{:06}", n * 1777 % 5000).as_bytes(), trailer(9, Kind::Put)).unwrap();
    }
    let reads = log.lock().unwrap();
    assert!(reads.len() > 40 && reads.iter().all(|&(_, len)| len < 5000), "{reads:?}");
    let (_fixture, table, log, _cache) = fixture(5000, 1);
    let mut cursor = table.cursor(ReadTier::Disk);
    cursor.seek(b"key002500", trailer(9, Kind::Put)).unwrap();
    for _ in 0..10 {
        (0..15).for_each(|_| cursor.prev().unwrap());
        (0..15).for_each(|_| cursor.next().unwrap());
    }
    let reads = log.lock().unwrap();
    assert!(reads.iter().all(|&(_, len)| len < 5000), "{reads:?}");
}

#[test]
fn a_walk_past_the_cache_reads_large_stretches_and_leaves_the_cache_alone() {
    for (keys, versions) in [(20_000, 1), (2000, 10), (20, 1000)] {
        let (_fixture, table, log, cache) = fixture(keys, versions);
        assert_eq!(walk(table.cursor_past_cache()), keys * versions);
        let reads = log.lock().unwrap().clone();
        let bytes: usize = reads.iter().map(|&(_, len)| len).sum();
        let blocks = table.blocks(Section::Current) + table.blocks(Section::History);
        assert!(reads.len() * 6 < blocks, "{versions} versions: {} reads of {blocks} blocks", reads.len());
        assert!((bytes as u64) < table.meta().size * 2, "{versions} versions: {bytes} bytes read");
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.inserts), (0, 0, 0));
    }
}
