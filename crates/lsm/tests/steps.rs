//! Background work one piece at a time, by whoever opened the store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use fountain_lsm::{Db, Durability, Job, ManualClock, Options, ReadTier, Timestamp, WriteBatch};
use support::{fast_dir, files, small};

fn stepped() -> Options {
    Options { memtable_bytes: 24 * 1024, writers_make_room: false, ..small() }
}

fn fill(db: &Db, from: usize, to: usize) {
    for number in from..to {
        let mut batch = WriteBatch::new();
        batch.put(format!("key {:03}", number % 100).as_bytes(), &[number as u8; 500]).unwrap();
        db.commit(batch, Durability::Os).unwrap();
    }
}

#[test]
fn without_steps_writers_never_wait_and_nothing_is_flushed() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), stepped()).unwrap();
    fill(&db, 0, 1000);
    let metrics = db.metrics();
    assert_eq!((metrics.flushes, metrics.write_stalls, metrics.write_slowdowns), (0, 0, 0));
    assert!(metrics.sealed_memtables > 10, "{}", metrics.sealed_memtables);
    drop(db);
    let db = Db::open(dir.path(), stepped()).unwrap();
    assert_eq!(db.visible().get(), 1000);
    assert_eq!(db.get_newest(b"key 007", ReadTier::Disk).unwrap().as_deref(), Some(&[907u16 as u8; 500][..]));
}

#[test]
fn a_step_flushes_one_memtable_or_does_one_compaction_and_says_whether_there_was_one() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), stepped()).unwrap();
    assert_eq!((db.step(Job::Flush).unwrap(), db.step(Job::Compact).unwrap()), (false, false));
    fill(&db, 0, 300);
    let sealed = db.metrics().sealed_memtables;
    assert!((4..=12).contains(&sealed), "{sealed}");
    for left in (0..sealed).rev() {
        assert!(db.step(Job::Flush).unwrap());
        assert_eq!(db.metrics().sealed_memtables, left);
    }
    assert!(!db.step(Job::Flush).unwrap());
    assert!(db.step(Job::Compact).unwrap());
    assert_eq!((db.metrics().compactions, db.metrics().level_tables[0]), (1, 0));
    assert!(!db.step(Job::Compact).unwrap(), "nothing is over its size any more");
    db.close().unwrap();
    assert!(db.step(Job::Flush).is_err());
}

/// Every file of a store: name and content.
fn image(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut image = Vec::new();
    for path in files(dir) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            image.extend(
                self::image(&path).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)),
            );
        } else if name != "LOCK" {
            image.push((name, std::fs::read(path).unwrap()));
        }
    }
    image
}

#[test]
fn the_same_commits_and_steps_make_the_same_files() {
    let run = || {
        let dir = fast_dir();
        // The time of commits is on disk, too.
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
        let db = Db::open(dir.path(), Options { clock, ..stepped() }).unwrap();
        for round in 0..12 {
            fill(&db, round * 80, round * 80 + 80);
            db.step(Job::Flush).unwrap();
            if round % 3 == 2 {
                while db.step(Job::Compact).unwrap() {}
            }
        }
        let image = image(dir.path());
        assert!(db.metrics().compactions > 0);
        image
    };
    let (first, second) = (run(), run());
    assert!(first.len() > 10, "{}", first.len());
    assert!(first == second);
}
