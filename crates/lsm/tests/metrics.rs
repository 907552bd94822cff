//! What a store tells about its work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::sync::{Mutex, mpsc};

use fountain_lsm::{Db, Direction, Durability, KeyRange, Options, ReadTier, WriteBatch};
use support::{Asked, TestFs, fast_dir, put, scan, seq, small};

#[test]
fn every_stage_of_the_write_path_is_timed() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    for index in 0..20 {
        put(&db, &format!("key {index}"), "value");
    }
    db.compact().unwrap();
    put(&db, "key 3", "newer");
    db.compact().unwrap();
    let latencies = db.metrics().latencies;
    assert_eq!(latencies.commit.count, 21);
    assert!(latencies.wal_write.count >= 21 && latencies.wal_sync.count >= 21, "{latencies:?}");
    assert_eq!(latencies.flush.count, db.metrics().flushes);
    assert_eq!(latencies.compaction.count, db.metrics().compactions);
    assert!(
        latencies.commit.max_us >= latencies.wal_sync.p50_us,
        "a commit contains its sync: {latencies:?}"
    );
    assert_eq!(db.reset_latencies().commit.count, 21);
    assert_eq!(db.metrics().latencies.commit.count, 0);
    assert_eq!(db.metrics().commits, 21, "counters are not reset");
}

#[test]
fn work_on_whole_files_is_timed_each_time() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    for index in 0..5 {
        put(&db, &format!("key {index}"), "value");
        db.flush().unwrap();
    }
    let seal = db.metrics().latencies;
    assert_eq!(seal.log_rotation.count, 5, "each flush begins a segment");
    assert_eq!((seal.ingest.count, seal.checkpoint.count, seal.scrub.count), (0, 0, 0));
    db.ingest([("a", "1"), ("b", "2")]).unwrap();
    db.ingest([("", ""); 0]).unwrap();
    for copy in ["one", "two"] {
        db.checkpoint(&dir.path().with_extension(copy)).unwrap();
        std::fs::remove_dir_all(dir.path().with_extension(copy)).unwrap();
    }
    db.scrub().unwrap();
    db.verify().unwrap();
    db.scrub().unwrap();
    let metrics = db.metrics();
    let latencies = metrics.latencies;
    assert_eq!((latencies.ingest.count, latencies.checkpoint.count, latencies.scrub.count), (1, 2, 3));
    assert_eq!(latencies.manifest_edit.count, metrics.manifest_edits);
    assert!(latencies.manifest_edit.count >= 6, "flushes and the ingest: {latencies:?}");
    let parts = [latencies.manifest_edit, latencies.log_rotation];
    assert!(parts.iter().all(|part| part.max_us > 0.0 && part.p50_us <= latencies.ingest.max_us));
}

#[test]
fn only_blocks_that_the_cache_does_not_have_are_timed_as_read() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    for index in 0..1000 {
        put(&db, &format!("key {index:04}"), &"v".repeat(100));
    }
    db.compact().unwrap();
    db.scrub().unwrap();
    let reads = || db.metrics().latencies.block_read.count;
    assert_eq!(reads(), 0, "compactions and scrubs are not reads");
    let get = |key: &[u8]| db.get_newest(key, ReadTier::Disk).unwrap();
    assert!(get(b"key 0500").is_some());
    assert_eq!(reads(), 1);
    assert!(get(b"key 0500").is_some());
    assert_eq!(reads(), 1, "the block is in the cache");
    assert_eq!((db.metrics().cache_inserts, db.metrics().cache_evictions), (1, 0));
    let scanned = || scan(&db, KeyRange::default(), db.visible(), Direction::Forward).len();
    assert_eq!(scanned(), 1000);
    let after = reads();
    assert!(after > 2, "a scan misses, too: {after}");
    assert_eq!(scanned(), 1000);
    assert_eq!(reads(), after);
}

#[test]
fn reads_are_timed_by_sample() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "key", "value");
    for _ in 0..6400 {
        db.get_newest(b"key", ReadTier::Disk).unwrap();
        scan(&db, KeyRange::default(), db.visible(), Direction::Forward);
    }
    let latencies = db.metrics().latencies;
    for kind in [latencies.get, latencies.seek] {
        assert!((30..300).contains(&kind.count), "{kind:?}");
    }
}

#[test]
fn writes_to_the_log_alone_are_timed_by_sample() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { memtable_bytes: 32 << 20, ..small() }).unwrap();
    for index in 0..6400 {
        let mut batch = WriteBatch::new();
        batch.put(format!("key {index}").as_bytes(), b"value").unwrap();
        db.commit(batch, Durability::Os).unwrap();
    }
    let latencies = db.metrics().latencies;
    assert_eq!(latencies.commit.count, 6400);
    assert!((30..300).contains(&latencies.wal_write.count), "{latencies:?}");
}

#[test]
fn a_waiting_writer_shows_in_the_write_stalls() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), Options { memtable_bytes: 4 * 1024, ..small() }).unwrap();
    for index in 0..200 {
        put(&db, &format!("key {index}"), &"v".repeat(100));
    }
    let metrics = db.metrics();
    assert!(metrics.write_stalls > 0 && metrics.latencies.write_stall.count == metrics.write_stalls);
}

#[test]
fn write_amplification_and_space_follow_from_what_was_written() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(db.metrics().write_amplification().abs() < f64::EPSILON);
    let mut batch = WriteBatch::new();
    for index in 0..1000 {
        batch.put(format!("key {index:06}").as_bytes(), &[7; 100]).unwrap();
    }
    let bytes = batch.size_bytes() as u64;
    db.commit(batch, Durability::Disk).unwrap();
    let before = db.metrics();
    assert_eq!((before.commit_bytes, before.table_bytes), (bytes, 0));
    db.flush().unwrap();
    let metrics = db.metrics();
    assert_eq!(metrics.table_bytes, metrics.level_bytes.iter().sum::<u64>());
    assert_eq!((metrics.table_entries, metrics.table_tombstones), (1000, 0));
    let once = metrics.write_amplification();
    assert!((0.9..1.3).contains(&once), "a flush writes everything once: {once}");
    put(&db, "key 000500", "newer");
    db.compact().unwrap();
    // The compaction compresses what the flush wrote as it was.
    assert!(db.metrics().write_amplification() > once + 0.05);
}

#[test]
fn reads_of_many_keys_of_versions_and_of_changes_are_timed_and_so_is_opening() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    let new = db.metrics().latencies;
    assert_eq!((new.open.count, new.recovery.count), (1, 0), "there was nothing to recover");
    put(&db, "key", "value");
    db.close().unwrap();
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    let opened = db.metrics().latencies;
    assert_eq!((opened.open.count, opened.recovery.count), (1, 1));
    assert!(opened.recovery.max_us > 0.0 && opened.recovery.max_us <= opened.open.max_us);
    let at = db.visible();
    // As many that one in 64 of them is not missed.
    for _ in 0..5000 {
        db.get_many(&["key", "none"], at, ReadTier::Disk).unwrap();
        assert!(db.versions(b"key", at, ReadTier::Disk).unwrap().next().unwrap());
    }
    for _ in 0..3 {
        let mut changes = db.changes(KeyRange::default(), seq(0), at, ReadTier::Disk).unwrap();
        assert!(changes.next().unwrap() && !changes.next().unwrap());
    }
    let mut differences = db.differences(KeyRange::default(), seq(0), at, ReadTier::Disk).unwrap();
    assert!(differences.next().unwrap());
    let latencies = db.metrics().latencies;
    assert!((1..5000).contains(&latencies.get_many.count) && (1..5000).contains(&latencies.versions.count));
    assert_eq!(latencies.changes.count, 4);
}

#[test]
fn a_flush_shows_in_the_status_while_it_runs() {
    let dir = fast_dir();
    let fs = TestFs::new();
    let db = Db::open(dir.path(), Options { fs: fs.clone(), ..small() }).unwrap();
    put(&db, "key", &"value".repeat(100));
    let (begins, begun) = mpsc::channel();
    let (let_go, gone) = mpsc::channel::<()>();
    let gate = Mutex::new(Some((begins, gone)));
    fs.fail_when(move |asked| {
        if matches!(asked, Asked::Sync(name) if name.ends_with(".sst"))
            && let Some((begins, gone)) = gate.lock().unwrap().take()
        {
            begins.send(()).unwrap();
            let _ = gone.recv();
        }
        None
    });
    assert_eq!(db.compaction_status().running_flush, None);
    std::thread::scope(|threads| {
        threads.spawn(|| db.flush().unwrap());
        begun.recv().unwrap();
        let running = db.compaction_status().running_flush.unwrap();
        let_go.send(()).unwrap();
        assert!(running.memtable_bytes > 500 && running.waiting_memtables == 0, "{running:?}");
    });
    assert_eq!(db.compaction_status().running_flush, None);
}
