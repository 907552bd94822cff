//! The commit pipeline, the memtable and the snapshots under thousands of schedules.
//!
//! Every scenario runs under a scheduler that chooses at random before each step, and under one that changes priorities
//! a few times (PCT, Burckhardt et al., 2010), which finds bugs that need a rare order of few events. The seeds are
//! fixed, so a failure comes back; it prints its schedule, too. Weak memory is not simulated: every atomic operation is
//! sequentially consistent here. What is weaker is ThreadSanitizer's to find (`npm run sanitize`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "support/memory.rs"]
mod memory;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fountain_lsm::fs::Fs;
#[cfg(feature = "planted")]
use fountain_lsm::planted::{Bug, plant};
use fountain_lsm::{
    Db, Direction, Durability, Error, KeyRange, Options, ReadTier, Result, Retention, Seq, StoreId,
    WriteBatch,
};
use memory::{MemoryFs, Request, step};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{JoinHandle, spawn};
use shuttle::{Config, Runner};

/// Schedules per scenario and scheduler.
const SCHEDULES: usize = 2_000;
/// Changes of priority in one schedule.
const DEPTH: usize = 3;
const SEED: u64 = 0x0F0A_57A1;

/// Runs a scenario in every schedule.
fn explore(scenario: fn()) {
    explore_some(SCHEDULES, scenario);
}

fn explore_some(schedules: usize, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    config.silence_warnings = true;
    let random = RandomScheduler::new_from_seed(SEED, schedules);
    assert_eq!(Runner::new(random, config.clone()).run(scenario), schedules);
    let pct = PctScheduler::new_from_seed(SEED, DEPTH, schedules);
    assert_eq!(Runner::new(pct, config).run(scenario), schedules);
}

/// What became of a commit of one key, whose value is the key itself.
struct Done {
    key: String,
    durability: Durability,
    outcome: Result<Seq>,
}

fn open_with(fs: &MemoryFs, change: impl FnOnce(&mut Options)) -> Arc<Db> {
    let mut options = Options {
        fs: Arc::new(fs.clone()),
        store_id: Some(StoreId([7; 16])),
        cache_bytes: 0,
        background: false,
        ..Options::default()
    };
    change(&mut options);
    Arc::new(Db::open(Path::new("store"), options).unwrap())
}

fn open(fs: &MemoryFs) -> Arc<Db> {
    open_with(fs, |_| {})
}

fn commit(db: &Db, key: &str, value: &str, durability: Durability) -> Result<Seq> {
    let mut batch = WriteBatch::new();
    batch.put(key.as_bytes(), value.as_bytes()).unwrap();
    db.commit(batch, durability)
}

fn get(db: &Db, key: &str, at: Seq) -> Option<String> {
    let value = db.get(key.as_bytes(), at, ReadTier::Disk).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// A thread that commits two keys of its own, one after the other.
fn writer(db: &Arc<Db>, name: &'static str, durability: Durability) -> JoinHandle<Vec<Done>> {
    let db = Arc::clone(db);
    spawn(move || {
        let one = |number| {
            let key = format!("{name}{number}");
            let outcome = commit(&db, &key, &key, durability);
            if let Ok(seq) = outcome {
                assert!(db.visible() >= seq, "a returned commit is visible");
                assert_eq!(get(&db, &key, seq).as_deref(), Some(&*key));
            }
            Done { key, durability, outcome }
        };
        (0..2).map(one).collect()
    })
}

/// Writers of every durability.
fn writers(db: &Arc<Db>) -> Vec<JoinHandle<Vec<Done>>> {
    [("disk", Durability::Disk), ("os", Durability::Os), ("memory", Durability::Memory)]
        .map(|(name, durability)| writer(db, name, durability))
        .into()
}

fn join(writers: Vec<JoinHandle<Vec<Done>>>) -> Vec<Done> {
    writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
}

fn sequences(done: &[Done]) -> Vec<u64> {
    let mut found: Vec<u64> =
        done.iter().filter_map(|done| done.outcome.as_ref().ok()).map(|seq| seq.get()).collect();
    found.sort_unstable();
    found
}

/// The sequences of the commits that went well are 1, 2, 3 and so on.
fn assert_no_gap(done: &[Done]) {
    let found = sequences(done);
    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
}

/// Commits that went well are visible, the others are not.
fn assert_visible_as_told(db: &Db, done: &[Done]) {
    for done in done {
        let expected = done.outcome.is_ok().then_some(&*done.key);
        assert_eq!(get(db, &done.key, db.visible()).as_deref(), expected, "{}", done.key);
    }
}

/// A store opened from `disk` has all commits up to some sequence, and among them every one that `must` be there.
fn assert_recovers(disk: &MemoryFs, done: &[Done], must: impl Fn(&Done, Seq) -> bool) {
    let db = open(disk);
    let last = db.visible();
    for done in done {
        let Ok(seq) = done.outcome else { continue };
        assert!(seq <= last || !must(done, seq), "{} was lost: the log ends at {last}", done.key);
        let expected = (seq <= last).then_some(&*done.key);
        assert_eq!(get(&db, &done.key, last).as_deref(), expected, "recovered up to {last}");
    }
}

#[test]
fn sequences_have_no_gap_and_nothing_durable_is_seen_before_it_is_on_disk() {
    explore(commits_of_every_durability);
}

fn commits_of_every_durability() {
    let fs = MemoryFs::default();
    let db = open(&fs);
    let watched = (Arc::clone(&db), fs.clone());
    let watcher = spawn(move || {
        let (db, fs) = watched;
        let look = |_| {
            step();
            (db.visible(), fs.after_power_loss())
        };
        (0..3).map(look).collect::<Vec<_>>()
    });
    let done = join(writers(&db));
    assert_eq!(sequences(&done), (1..=6).collect::<Vec<_>>());
    for (seen, disk) in watcher.join().unwrap() {
        if seen > Seq::ZERO {
            assert_recovers(&disk, &done, |done, seq| done.durability == Durability::Disk && seq <= seen);
        }
    }
    assert_recovers(&fs.after_power_loss(), &done, |done, _| done.durability == Durability::Disk);
}

#[test]
fn durable_groups_that_grow_while_another_is_synced_hold_up_nobody_for_ever() {
    explore(|| {
        let fs = MemoryFs::default();
        let db = open(&fs);
        let durable = ["one", "two", "three"].map(|name| writer(&db, name, Durability::Disk));
        let done = join(durable.into_iter().chain([writer(&db, "os", Durability::Os)]).collect());
        assert_eq!(sequences(&done), (1..=8).collect::<Vec<_>>());
        assert_visible_as_told(&db, &done);
        assert_recovers(&fs.after_power_loss(), &done, |done, _| done.durability == Durability::Disk);
    });
}

#[test]
fn a_group_refused_for_want_of_space_leaves_no_trace_between_the_others() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    explore(|| {
        let fs = MemoryFs::default();
        let db = open(&fs);
        fs.fail_log(Request::Write, 1, ErrorKind::StorageFull);
        let mut done = join(writers(&db));
        let refused = done.iter().filter(|done| done.outcome.is_err());
        for refused in refused {
            assert!(matches!(refused.outcome, Err(Error::DiskFull { .. })), "{:?}", refused.outcome);
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        done.extend(join(vec![writer(&db, "later", Durability::Disk)]));
        assert_no_gap(&done);
        assert_visible_as_told(&db, &done);
        let disk = fs.after_power_loss();
        assert_recovers(&disk, &done, |_, _| true);
        assert_visible_as_told(&open(&disk), &done);
    });
    assert!(REFUSED.load(Ordering::Relaxed) > 0, "no schedule refused a commit");
}

#[test]
fn after_a_failed_sync_nothing_later_is_committed_or_seen() {
    static FAILED: AtomicUsize = AtomicUsize::new(0);
    explore(|| {
        let fs = MemoryFs::default();
        let db = open(&fs);
        fs.fail_log(Request::Sync, 1, ErrorKind::Other);
        let mut all = writers(&db);
        all.push(writer(&db, "second", Durability::Disk));
        let done = join(all);
        assert_no_gap(&done);
        assert_visible_as_told(&db, &done);
        assert_eq!(db.visible().get(), sequences(&done).len() as u64, "nothing that failed is visible");
        if done.iter().any(|done| done.outcome.is_err()) {
            FAILED.fetch_add(1, Ordering::Relaxed);
            let later = commit(&db, "later", "later", Durability::Memory);
            assert!(matches!(later, Err(Error::Poisoned { .. })), "{later:?}");
        }
        assert_recovers(&fs.after_power_loss(), &done, |done, _| done.durability == Durability::Disk);
    });
    assert!(FAILED.load(Ordering::Relaxed) > 0, "no schedule met the failing sync");
}

#[test]
fn a_close_lets_commits_in_flight_end_well_and_refuses_the_rest() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    explore(|| {
        let fs = MemoryFs::default();
        let db = open(&fs);
        let all = writers_that_may_be_refused(&db);
        let closed = Arc::clone(&db);
        let closer = spawn(move || closed.close().unwrap());
        let done = join(all);
        closer.join().unwrap();
        for done in &done {
            assert!(matches!(done.outcome, Ok(_) | Err(Error::Closed)), "{:?}", done.outcome);
            REFUSED.fetch_add(usize::from(done.outcome.is_err()), Ordering::Relaxed);
        }
        assert_no_gap(&done);
        let disk = fs.after_power_loss();
        assert_recovers(&disk, &done, |_, _| true);
        assert_visible_as_told(&open(&disk), &done);
    });
    assert!(REFUSED.load(Ordering::Relaxed) > 0, "no schedule refused a commit");
}

/// Like [`writers`], but without looking at the store afterwards: it may be closed by then.
fn writers_that_may_be_refused(db: &Arc<Db>) -> Vec<JoinHandle<Vec<Done>>> {
    let one = |(name, durability)| {
        let db = Arc::clone(db);
        spawn(move || {
            let one = |number| {
                let key = format!("{name}{number}");
                let outcome = commit(&db, &key, &key, durability);
                Done { key, durability, outcome }
            };
            (0..2).map(one).collect()
        })
    };
    [("disk", Durability::Disk), ("os", Durability::Os), ("memory", Durability::Memory)].map(one).into()
}

#[test]
fn a_snapshot_taken_while_floors_are_announced_keeps_what_it_sees() {
    explore(snapshots_beside_compactions);
}

fn snapshots_beside_compactions() {
    let fs = MemoryFs::default();
    let db = open_with(&fs, |options| options.retention = Retention::LatestOnly);
    // The value of the one key is always the sequence of its commit.
    commit(&db, "key", "1", Durability::Memory).unwrap();
    let compacted = Arc::clone(&db);
    let compacter = spawn(move || {
        for value in ["2", "3"] {
            commit(&compacted, "key", value, Durability::Memory).unwrap();
            compacted.compact().unwrap();
        }
    });
    let reader = |earlier: bool| {
        let db = Arc::clone(&db);
        spawn(move || {
            for _ in 0..8 {
                let newest = db.visible();
                let taken = if earlier { db.snapshot_at(newest) } else { Ok(db.snapshot()) };
                let Ok(snapshot) = taken else { continue };
                let seq = snapshot.seq();
                assert_eq!(get(&db, "key", seq), Some(seq.to_string()));
                step();
                assert_eq!(get(&db, "key", seq), Some(seq.to_string()));
            }
        })
    };
    let readers = [reader(false), reader(true)];
    compacter.join().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn readers_see_every_finished_insert_in_order_while_a_writer_inserts() {
    const KEYS: u64 = 6;
    fn key(seq: u64) -> String {
        format!("{:02}", seq * 7 % 11)
    }
    explore(|| {
        let fs = MemoryFs::default();
        let db = open(&fs);
        let read = Arc::clone(&db);
        let reader = spawn(move || {
            for direction in [Direction::Forward, Direction::Reverse] {
                let seen = read.visible();
                for seq in 1..=seen.get() {
                    assert_eq!(get(&read, &key(seq), seen), Some(key(seq)));
                }
                let mut cursor = read.cursor(KeyRange::default(), seen, direction, ReadTier::Memory).unwrap();
                let mut found = Vec::new();
                while cursor.next().unwrap() {
                    found.push(String::from_utf8(cursor.key().to_vec()).unwrap());
                }
                let mut expected: Vec<_> = (1..=seen.get()).map(key).collect();
                expected.sort();
                if direction == Direction::Reverse {
                    expected.reverse();
                }
                assert_eq!(found, expected);
            }
        });
        for seq in 1..=KEYS {
            let key = key(seq);
            assert_eq!(commit(&db, &key, &key, Durability::Memory).unwrap().get(), seq);
        }
        reader.join().unwrap();
    });
}

#[test]
fn commits_are_seen_and_kept_while_memtables_rotate_and_flush_in_the_background() {
    explore(|| {
        let fs = MemoryFs::default();
        let db = open_with(&fs, |options| {
            // Every commit finds the memtable full.
            options.memtable_bytes = 1;
            options.background = true;
        });
        let done = join(vec![writer(&db, "disk", Durability::Disk), writer(&db, "os", Durability::Os)]);
        assert_no_gap(&done);
        assert_visible_as_told(&db, &done);
        assert_recovers(&fs.after_power_loss(), &done, |done, _| done.durability == Durability::Disk);
        db.close().unwrap();
        assert_recovers(&fs.after_power_loss(), &done, |_, _| true);
    });
}

#[test]
fn commits_are_kept_while_the_log_thread_begins_segments_beside_them() {
    explore(|| {
        let fs = MemoryFs::default();
        let db = open_with(&fs, |options| {
            // Two commits fill a segment; with two more a commit begins the next one itself.
            options.wal_segment_bytes = 160;
            options.background = true;
        });
        let done = join(writers(&db));
        assert_no_gap(&done);
        assert_visible_as_told(&db, &done);
        assert!(db.scrub().unwrap().is_sound());
        assert_recovers(&fs.after_power_loss(), &done, |done, _| done.durability == Durability::Disk);
        db.close().unwrap();
        assert!(db.metrics().wal_segments > 1);
        assert_recovers(&fs.after_power_loss(), &done, |_, _| true);
    });
}

#[test]
fn zeros_behind_the_end_of_the_log_never_hide_a_commit() {
    // Fewer, since every image of the disk is large.
    explore_some(SCHEDULES / 10, || {
        let fs = MemoryFs::default();
        let db = open_with(&fs, |options| options.background = true);
        // Beyond the size from which on zeros are written behind the end of the log.
        commit(&db, "large", &"x".repeat(17_000), Durability::Os).unwrap();
        let done = join(vec![writer(&db, "one", Durability::Disk), writer(&db, "two", Durability::Disk)]);
        assert_eq!(sequences(&done), (2..=5).collect::<Vec<_>>());
        assert_recovers(&fs.after_power_loss(), &done, |_, _| true);
    });
}

/// A thread that commits two keys and flushes and compacts after each. A third key is in both commits, so that the second
/// compaction has to merge the tables of the first one and deletes them.
fn mover(db: &Arc<Db>) -> JoinHandle<Vec<Done>> {
    let db = Arc::clone(db);
    spawn(move || {
        let one = |key: &str| {
            let mut batch = WriteBatch::new();
            batch.put(key.as_bytes(), key.as_bytes()).unwrap();
            batch.put(b"shared", key.as_bytes()).unwrap();
            let outcome = db.commit(batch, Durability::Os);
            db.compact().unwrap();
            Done { key: key.to_owned(), durability: Durability::Os, outcome }
        };
        ["moved0", "moved1"].map(one).into()
    })
}

#[test]
fn an_ingest_beside_commits_is_one_commit_between_them() {
    explore_some(SCHEDULES / 2, ingest_beside_commits);
}

fn ingest_beside_commits() {
    const KEYS: [&str; 3] = ["disk0", "ingested", "os1"];
    let fs = MemoryFs::default();
    let db = open(&fs);
    let ingesting = Arc::clone(&db);
    let ingest = spawn(move || {
        let seq = ingesting.ingest(KEYS.map(|key| (key, "ingest"))).unwrap();
        assert!(ingesting.visible() >= seq, "a returned ingest is visible");
        seq
    });
    let watched = (Arc::clone(&db), fs.clone());
    let watcher = spawn(move || {
        let (db, fs) = watched;
        let look = |_| {
            step();
            let seen = db.visible();
            let found = KEYS.map(|key| get(&db, key, seen).as_deref() == Some("ingest"));
            (seen, found, fs.after_power_loss())
        };
        (0..3).map(look).collect::<Vec<_>>()
    });
    let mut all = writers(&db);
    all.push(mover(&db));
    let done = join(all);
    let seq = ingest.join().unwrap();
    let mut given = sequences(&done);
    given.push(seq.get());
    given.sort_unstable();
    assert_eq!(given, (1..=9).collect::<Vec<_>>());
    // What a key has at a sequence: the later of its commit and the ingest.
    let expected = |key: &str, at: Seq| {
        let ingested = (seq <= at && KEYS.contains(&key)).then_some((seq, "ingest"));
        let own = done.iter().find(|done| done.key == key);
        let own = own.map(|done| (*done.outcome.as_ref().unwrap(), &*done.key)).filter(|own| own.0 <= at);
        ingested.max(own).map(|newest| newest.1.to_owned())
    };
    let keys = || done.iter().map(|done| &*done.key).chain(["ingested"]);
    let assert_all = |db: &Db, at: Seq| {
        for key in keys() {
            assert_eq!(get(db, key, at), expected(key, at), "{key} at {at}; ingested at {seq}");
        }
    };
    assert_all(&db, db.visible());
    for (seen, found, disk) in watcher.join().unwrap() {
        let then = KEYS.map(|key| expected(key, seen).as_deref() == Some("ingest"));
        assert_eq!(found, then, "at {seen}; ingested at {seq}");
        let again = open(&disk);
        let last = again.visible();
        assert!(last >= seq || seen < seq, "an ingest that was seen is on disk");
        assert_all(&again, last);
    }
    let again = open(&fs.after_power_loss());
    assert!(again.visible() >= seq);
    assert_all(&again, again.visible());
}

#[test]
fn a_checkpoint_beside_commits_and_compactions_is_the_store_at_one_moment() {
    explore_some(SCHEDULES / 2, checkpoint_beside_commits);
}

fn checkpoint_beside_commits() {
    const COPY: &str = "copies/copy";
    let fs = MemoryFs::default();
    fs.create_dir(Path::new("copies")).unwrap();
    let db = open(&fs);
    let copied = Arc::clone(&db);
    let copy = spawn(move || {
        let seen = copied.visible();
        let info = copied.checkpoint(Path::new(COPY)).unwrap();
        assert!(info.sequence >= seen, "what was visible is in it");
        info.sequence
    });
    let mut all = writers(&db);
    all.push(mover(&db));
    let done = join(all);
    let upto = copy.join().unwrap();
    assert_no_gap(&done);
    assert_visible_as_told(&db, &done);
    let options = Options { fs: Arc::new(fs.after_power_loss()), background: false, ..Options::default() };
    let copy = Db::open(Path::new(COPY), options).unwrap();
    assert_eq!(copy.visible(), upto);
    for done in &done {
        let expected = done.outcome.as_ref().is_ok_and(|seq| *seq <= upto).then_some(&*done.key);
        assert_eq!(get(&copy, &done.key, upto).as_deref(), expected, "{} in the copy at {upto}", done.key);
    }
    copy.verify().unwrap();
    assert_recovers(&fs.after_power_loss(), &done, |done, _| done.durability == Durability::Disk);
}

#[test]
fn a_checkpoint_has_its_tables_although_a_compaction_deletes_them_meanwhile() {
    explore_some(SCHEDULES / 2, checkpoint_beside_one_compaction);
}

/// Few steps beside the links and the deletions, so that they meet in many schedules.
fn checkpoint_beside_one_compaction() {
    const COPY: &str = "copies/copy";
    let fs = MemoryFs::default();
    fs.create_dir(Path::new("copies")).unwrap();
    let db = open(&fs);
    for value in ["old", "new"] {
        commit(&db, "key", value, Durability::Os).unwrap();
        db.flush().unwrap();
    }
    let copied = Arc::clone(&db);
    let copy = spawn(move || copied.checkpoint(Path::new(COPY)).unwrap());
    db.compact().unwrap();
    let upto = copy.join().unwrap().sequence;
    let options = Options { fs: Arc::new(fs.after_power_loss()), background: false, ..Options::default() };
    let copy = Db::open(Path::new(COPY), options).unwrap();
    assert_eq!(get(&copy, "key", upto).as_deref(), Some("new"));
    copy.verify().unwrap();
}

#[test]
fn a_scrub_beside_commits_flushes_and_compactions_finds_nothing_wrong() {
    explore_some(SCHEDULES / 2, scrub_beside_commits);
}

fn scrub_beside_commits() {
    let fs = MemoryFs::default();
    let db = open(&fs);
    let scrubbed = Arc::clone(&db);
    let scrub = spawn(move || {
        for _ in 0..2 {
            let report = scrubbed.scrub().unwrap();
            assert!(report.is_sound(), "{report:?}");
        }
    });
    let done = join(vec![writer(&db, "disk", Durability::Disk), mover(&db)]);
    scrub.join().unwrap();
    assert_no_gap(&done);
    assert_visible_as_told(&db, &done);
    assert!(db.scrub().unwrap().is_sound());
}

/// Bugs and the scenarios that must meet them in one of their schedules.
#[cfg(feature = "planted")]
const PREY: [(Bug, fn()); 5] = [
    (Bug::PublishedOutOfTurn, commits_of_every_durability),
    (Bug::PinsIgnored, snapshots_beside_compactions),
    (Bug::IngestLetsCommitsIn, ingest_beside_commits),
    (Bug::CheckpointHoldsNothing, checkpoint_beside_one_compaction),
    (Bug::ScrubHoldsNothing, scrub_beside_commits),
];

#[cfg(feature = "planted")]
#[test]
fn every_race_that_can_be_planted_is_found_by_its_scenario() {
    for race in Bug::RACES {
        assert!(PREY.iter().any(|(bug, _)| bug == race), "nobody looks for {race:?}");
    }
    for (bug, scenario) in PREY {
        let explored = std::panic::catch_unwind(|| {
            let _planted = plant(bug);
            explore_some(SCHEDULES / 2, scenario);
        });
        assert!(explored.is_err(), "no schedule shows {bug:?}");
    }
}
