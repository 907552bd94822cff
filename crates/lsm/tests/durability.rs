//! What a resolved commit means, seen from the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fountain_lsm::{Db, Durability, Options, WriteBatch};
use support::{Asked, TestFs, get, small};

fn open(fs: &Arc<TestFs>, dir: &std::path::Path) -> Db {
    Db::open(dir, Options { fs: fs.clone(), ..small() }).unwrap()
}

fn batch(key: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(format!("key {key:06}").as_bytes(), b"value").unwrap();
    batch
}

fn wal_requests(fs: &TestFs) -> Vec<Asked> {
    let of_wal = |asked: &Asked| matches!(asked, Asked::Write(n) | Asked::Sync(n) if n.ends_with(".wal"));
    fs.take_asked().into_iter().filter(of_wal).collect()
}

#[test]
fn a_durable_commit_writes_and_then_syncs_its_log_before_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let fs = TestFs::new();
    let db = open(&fs, dir.path());
    fs.take_asked();
    db.commit(batch(1), Durability::Disk).unwrap();
    let asked = wal_requests(&fs);
    assert!(matches!(&asked[..], [Asked::Write(a), Asked::Sync(b)] if a == b), "{asked:?}");
    db.close().unwrap();
}

#[test]
fn weaker_commits_write_without_a_sync_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let fs = TestFs::new();
    let db = open(&fs, dir.path());
    fs.take_asked();
    db.commit(batch(1), Durability::Memory).unwrap();
    assert_eq!(wal_requests(&fs), []);
    db.commit(batch(2), Durability::Os).unwrap();
    assert!(matches!(&wal_requests(&fs)[..], [Asked::Write(_)]));
    assert_eq!(get(&db, "key 000001").as_deref(), Some("value"));
    db.commit(batch(3), Durability::Disk).unwrap();
    assert!(matches!(&wal_requests(&fs)[..], [Asked::Write(_), Asked::Sync(_)]));
    db.close().unwrap();
}

#[test]
fn a_thousand_commits_handed_over_together_share_one_write_and_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let fs = TestFs::new();
    let db = open(&fs, dir.path());
    fs.take_asked();
    let range = db.commit_many((0..1000).map(batch).collect(), Durability::Disk).unwrap();
    assert_eq!(range.last.get() - range.first.get(), 999);
    assert!(matches!(&wal_requests(&fs)[..], [Asked::Write(_), Asked::Sync(_)]));
    db.close().unwrap();
}

#[test]
fn concurrent_durable_commits_share_syncs_and_get_sequences_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let (threads, each) = (8usize, 200usize);
    let mut seqs: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let db = &db;
                scope.spawn(move || {
                    let commit = |index| {
                        let seq = db.commit(batch(thread * each + index), Durability::Disk).unwrap();
                        assert!(db.visible() >= seq, "a returned commit is visible");
                        seq.get()
                    };
                    (0..each).map(commit).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=(threads * each) as u64).collect::<Vec<_>>());
    let metrics = db.metrics();
    assert!(metrics.wal_syncs < metrics.commits, "{} syncs, {} commits", metrics.wal_syncs, metrics.commits);
    db.close().unwrap();
}

#[test]
fn a_flush_makes_table_and_name_durable_before_the_manifest_names_them_and_only_then_drops_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let fs = TestFs::new();
    let db = open(&fs, dir.path());
    db.commit_many((0..100).map(batch).collect(), Durability::Disk).unwrap();
    fs.take_asked();
    db.flush().unwrap();
    let asked = fs.take_asked();
    let at = |wanted: &dyn Fn(&Asked) -> bool| {
        asked.iter().position(wanted).unwrap_or_else(|| panic!("{asked:?}"))
    };
    let new_segment = at(&|a| matches!(a, Asked::SyncDir(n) if n == "wal"));
    let table_synced = at(&|a| matches!(a, Asked::Sync(n) if n.ends_with(".sst")));
    let name_synced = at(&|a| matches!(a, Asked::SyncDir(n) if n == "tables"));
    let edit_written = at(&|a| matches!(a, Asked::Write(n) if n.starts_with("MANIFEST")));
    let edit_synced = at(&|a| matches!(a, Asked::Sync(n) if n.starts_with("MANIFEST")));
    let log_removed = at(&|a| matches!(a, Asked::Remove(n) if n.ends_with(".wal")));
    assert!(new_segment < table_synced, "{asked:?}");
    assert!(table_synced < name_synced && name_synced < edit_written, "{asked:?}");
    assert!(edit_written < edit_synced && edit_synced < log_removed, "{asked:?}");
    db.close().unwrap();
}

#[test]
fn an_oversized_commit_becomes_a_run_of_its_own() {
    let dir = support::fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    db.commit(batch(1), Durability::Disk).unwrap();
    let mut large = WriteBatch::new();
    for key in 0..300 {
        large.put(format!("large {key:04}").as_bytes(), &[7; 1024]).unwrap();
    }
    db.commit(large, Durability::Disk).unwrap();
    assert_eq!(db.metrics().sealed_memtables, 1, "what was there before has been sealed");
    db.commit(batch(2), Durability::Disk).unwrap();
    db.flush().unwrap();
    let metrics = db.metrics();
    assert_eq!((metrics.flushes, metrics.level_tables[0]), (3, 3), "before, the large one, after");
    assert_eq!(get(&db, "large 0299").map(|value| value.len()), Some(1024));
}

#[test]
fn the_log_is_made_longer_ahead_of_small_durable_commits_and_ends_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let (live, image) = (dir.path().join("live"), dir.path().join("image"));
    let db = Db::open(&live, Options::default()).unwrap();
    let segment = support::files(&live.join("wal")).remove(0);
    let is_longer = || segment.metadata().unwrap().len() > db.metrics().wal_bytes + 128 * 1024;
    for key in 0..1000 {
        db.commit(batch(key), Durability::Os).unwrap();
    }
    assert!(!is_longer(), "only syncs gain by it");
    let begin = std::time::Instant::now();
    let mut commits = 1000;
    while !is_longer() {
        assert!(begin.elapsed().as_secs() < 20, "no longer after {commits} commits");
        db.commit(batch(commits), Durability::Disk).unwrap();
        commits += 1;
    }
    db.commit(batch(commits), Durability::Disk).unwrap();
    assert!(db.scrub().unwrap().is_sound());
    support::killed(&live, &image);
    let again = Db::open(&image, Options::default()).unwrap();
    assert_eq!(again.recovery().discarded, []);
    assert_eq!(again.recovery().replayed_commits, commits as u64 + 1);
    again.verify().unwrap();
}

/// A file system on which the first request of a kind for a log segment ends only when it is let go.
struct SlowLog {
    fs: Arc<TestFs>,
    begun: mpsc::Receiver<()>,
    let_go: mpsc::Sender<()>,
}

impl SlowLog {
    fn syncing(fs: &Arc<TestFs>) -> Self {
        Self::of(fs, |asked| matches!(asked, Asked::Sync(_)))
    }

    fn of(fs: &Arc<TestFs>, is_slow: fn(&Asked) -> bool) -> Self {
        let (begins, begun) = mpsc::channel();
        let (let_go, gone) = mpsc::channel::<()>();
        let gate = Mutex::new(Some((begins, gone)));
        fs.fail_when(move |asked| {
            let is_first = is_slow(asked) && asked.name().ends_with(".wal");
            // Not under the lock: later requests of the kind are as fast as ever.
            let held = if is_first { gate.lock().unwrap().take() } else { None };
            if let Some((begins, gone)) = held {
                begins.send(()).unwrap();
                let _ = gone.recv();
            }
            None
        });
        Self { fs: Arc::clone(fs), begun, let_go }
    }

    /// Runs `slow` on a thread of its own, and `meanwhile` on another one while the sync of `slow` does not end.
    fn beside(self, slow: impl FnOnce() + Send, meanwhile: impl FnOnce() + Send) {
        std::thread::scope(|threads| {
            let slow = threads.spawn(slow);
            self.begun.recv().unwrap();
            let (ends, ended) = mpsc::channel();
            let meanwhile = threads.spawn(move || {
                meanwhile();
                let _ = ends.send(());
            });
            // Only for the report if it hangs: the outcome does not depend on the time.
            let went_on = ended.recv_timeout(Duration::from_secs(60)).is_ok();
            self.let_go.send(()).unwrap();
            slow.join().unwrap();
            meanwhile.join().unwrap();
            assert!(went_on, "commits waited for the sync");
        });
        self.fs.heal();
    }
}

#[test]
fn a_close_lets_go_of_the_directory_only_when_a_flush_makes_no_file_in_it_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let fs = TestFs::new();
    let db =
        Db::open(dir.path(), Options { fs: fs.clone(), background: false, ..Options::default() }).unwrap();
    db.commit(batch(0), Durability::Os).unwrap();
    let SlowLog { begun, let_go, .. } = SlowLog::of(&fs, |asked| matches!(asked, Asked::Create(_)));
    let (ends, ended) = mpsc::channel();
    std::thread::scope(|threads| {
        // Whichever comes first: the flush is done, or it finds the store closed.
        threads.spawn(|| drop(db.flush()));
        begun.recv().unwrap();
        threads.spawn(|| {
            db.close().unwrap();
            ends.send(()).unwrap();
        });
        let too_early = ended.recv_timeout(Duration::from_millis(300)).is_ok();
        let_go.send(()).unwrap();
        assert!(!too_early, "the directory was free while a file was being made in it");
    });
    fs.heal();
    let db = Db::open(dir.path(), Options::default()).unwrap();
    assert_eq!(db.recovery().removed_files, 2, "the manifest and the log segment of before");
    assert_eq!(get(&db, "key 000000").as_deref(), Some("value"));
}

#[test]
fn commits_go_on_while_a_flush_or_a_checkpoint_waits_for_the_disk() {
    for background in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let fs = TestFs::new();
        let options = Options { fs: fs.clone(), background, ..Options::default() };
        let db = Db::open(&dir.path().join("store"), options).unwrap();
        let commit_some = |first: usize| {
            for key in first..first + 100 {
                db.commit(batch(key), Durability::Os).unwrap();
            }
        };
        commit_some(0);
        SlowLog::syncing(&fs).beside(|| db.flush().unwrap(), || commit_some(100));
        assert_eq!(db.metrics().sealed_memtables, 0);
        let copy = dir.path().join("copy");
        let checkpoint = || {
            db.checkpoint(&copy).unwrap();
        };
        SlowLog::syncing(&fs).beside(checkpoint, || commit_some(200));
        db.close().unwrap();
        for store in ["store", "copy"] {
            let db = Db::open(&dir.path().join(store), Options::default()).unwrap();
            assert_eq!(get(&db, "key 000199").as_deref(), Some("value"), "{store}");
        }
    }
}
