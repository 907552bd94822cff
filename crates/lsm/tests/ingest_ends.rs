//! A bulk ingest that waits, and one that ends before its time: it keeps nobody else waiting, and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::sync::Arc;

use fountain_lsm::{Db, Error, Options};
use support::busy::{compacting_for_hours, full, slow, soon};
use support::{all, fast_dir, files, get, put, records, seq, small};

#[test]
fn closing_ends_an_ingest_and_leaves_nothing_of_it() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    put(&db, "a", "1");
    std::thread::scope(|scope| {
        let mut closing = None;
        let endless = (0..).map(|number: u64| {
            if number == 5000 {
                closing = Some(scope.spawn(|| db.close()));
            }
            (number.to_be_bytes(), [7; 100])
        });
        assert!(matches!(db.ingest(endless), Err(Error::Closed)));
        closing.unwrap().join().unwrap().unwrap();
    });
    drop(db);
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(db.recovery().clean && db.recovery().removed_files <= 2, "{:?}", db.recovery());
    assert_eq!((db.visible(), all(&db, seq(1)).len()), (seq(1), 1));
}

/// One waits behind a compaction that would take hours, one behind that, and one is given its records slowly.
#[test]
fn ingests_end_when_they_are_told_to_also_while_they_wait_for_their_turn() {
    let dir = fast_dir();
    let db = compacting_for_hours(dir.path());
    let (visible, tables) = (db.visible(), files(&dir.path().join("tables")).len());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| db.ingest(records(0..5000, "value")));
        // Its table is written, so it waits behind the compaction now or soon.
        assert!(soon(|| files(&dir.path().join("tables")).len() > tables));
        let second = scope.spawn(|| db.ingest(records(0..10, "value")));
        db.stop_compacting();
        let end_first =
            soon(|| first.is_finished() && second.is_finished()) && db.compaction_status().running.is_some();
        let later = end_first.then(|| db.ingest(records(0..10, "value")));
        assert_eq!((db.visible(), db.metrics().ingests), (visible, 0));
        // The compaction writes one.
        let left = files(&dir.path().join("tables")).len();
        assert!(!end_first || left <= tables + 1, "{left} tables, before there were {tables}");
        db.close().unwrap();
        assert!(matches!(
            (first.join().unwrap(), second.join().unwrap()),
            (Err(Error::Closed), Err(Error::Closed))
        ));
        assert!(end_first, "they waited for the compaction");
        assert!(matches!(later, Some(Err(Error::Closed))));
    });
    drop(db);
    let db = Db::open(dir.path(), Options { background: false, ..slow() }).unwrap();
    assert!(db.recovery().clean && db.recovery().removed_files <= 2, "{:?}", db.recovery());
    assert_eq!(all(&db, visible).len(), 600);
}

#[test]
fn an_ingest_ends_when_it_is_told_to_while_it_is_given_its_records() {
    let dir = fast_dir();
    let db = Db::open(dir.path(), small()).unwrap();
    let many = (0..50_000).map(|number: u64| {
        if number == 5000 {
            db.stop_compacting();
        }
        (number.to_be_bytes(), [7; 100])
    });
    assert!(matches!(db.ingest(many), Err(Error::Closed)));
    assert_eq!((db.visible(), files(&dir.path().join("tables")).len()), (seq(0), 0));
    put(&db, "a", "1");
    db.close().unwrap();
}

#[test]
fn an_ingest_waits_for_room_as_writers_do_keeps_nobody_else_waiting_and_goes_on_when_there_is_some() {
    let dir = fast_dir();
    let full = full(dir.path(), Options { background: true, ..small() });
    let db = &full.db;
    let before = db.visible();
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| db.ingest(records(100..200, "bulk")));
        let waits = soon(|| db.metrics().write_stalls == 1 && full.gate.is_waited_at());
        // None of these writes, and none may need what the ingest has taken for itself.
        let others = scope.spawn(|| {
            let copied = db.checkpoint(&dir.path().join("copy"));
            (get(db, "key 000149"), all(db, before).len(), db.flush(), copied.map(|_| ()), db.verify())
        });
        let (others_end, ingest_waits) = (soon(|| others.is_finished()), !ingest.is_finished());
        let (tables, ingests) = (db.metrics().level_tables.iter().sum::<u64>(), db.metrics().ingests);
        full.gate.open();
        assert!(waits && others_end && ingest_waits, "{waits} {others_end} {ingest_waits}");
        assert_eq!((tables, ingests), (40, 0));
        let (value, count, flushed, copied, verified) = others.join().unwrap();
        assert_eq!((value.as_deref(), count), (Some("of table 39"), 150));
        flushed.and(copied).and(verified).unwrap();
        assert_eq!(ingest.join().unwrap().unwrap().get(), before.get() + 1);
    });
    assert_eq!(get(db, "key 000149").as_deref(), Some("bulk 149"));
    assert_eq!((all(db, before).len(), all(db, db.visible()).len()), (150, 200));
    assert!(db.metrics().level_tables[0] < 36, "there was room: {:?}", db.metrics().level_tables);
    db.verify().unwrap();
}

/// Who only writes is not told, and goes on when there is room.
#[test]
fn an_ingest_that_waits_for_room_ends_when_it_is_told_to_and_a_writer_beside_it_waits_on() {
    let dir = fast_dir();
    let full = full(dir.path(), Options { background: true, ..small() });
    let db = &full.db;
    let before = db.visible();
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| db.ingest(records(100..200, "bulk")));
        let writer = scope.spawn(|| put(db, "key 000000", "written"));
        let wait = soon(|| db.metrics().write_stalls == 2);
        db.stop_compacting();
        let ingest_ends = soon(|| ingest.is_finished());
        let writer_waits = !writer.is_finished();
        full.gate.open();
        assert!(wait && ingest_ends && writer_waits, "{wait} {ingest_ends} {writer_waits}");
        assert!(matches!(ingest.join().unwrap(), Err(Error::Closed)));
        assert_eq!(writer.join().unwrap().get(), before.get() + 1);
    });
    assert!(matches!(db.ingest(records(100..200, "bulk")), Err(Error::Closed)));
    assert_eq!((db.metrics().ingests, all(db, db.visible()).len()), (0, 150));
    db.close().unwrap();
}

#[test]
fn closing_ends_an_ingest_that_waits_for_room() {
    let dir = fast_dir();
    let full = full(dir.path(), Options { background: true, ..small() });
    let before = full.db.visible();
    // On threads that nobody waits for: a store that did not end it could never be closed.
    let (for_ingest, for_close) = (Arc::clone(&full.db), Arc::clone(&full.db));
    let ingest = std::thread::spawn(move || for_ingest.ingest(records(100..200, "bulk")));
    assert!(soon(|| full.db.metrics().write_stalls == 1));
    let closing = std::thread::spawn(move || for_close.close());
    assert!(soon(|| ingest.is_finished()) && !closing.is_finished());
    full.gate.open();
    assert!(matches!(ingest.join().unwrap(), Err(Error::Closed)));
    closing.join().unwrap().unwrap();
    drop(full);
    let db = Db::open(dir.path(), small()).unwrap();
    assert!(db.recovery().clean, "{:?}", db.recovery());
    assert_eq!((db.visible(), all(&db, before).len()), (before, 150));
    db.verify().unwrap();
}

/// Without threads it makes the room itself, by compactions that nobody else has asked for.
#[test]
fn an_ingest_that_makes_room_itself_ends_when_it_is_told_to_and_merges_nothing() {
    let dir = fast_dir();
    let full = full(dir.path(), small());
    let db = &full.db;
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| db.ingest(records(100..200, "bulk")));
        let makes_room = soon(|| full.gate.is_waited_at());
        db.stop_compacting();
        full.gate.open();
        assert!(makes_room);
        assert!(matches!(ingest.join().unwrap(), Err(Error::Closed)));
    });
    assert_eq!((db.metrics().compactions, db.metrics().level_tables[0]), (0, 40));
    assert_eq!(files(&dir.path().join("tables")).len(), 40);
    // A writer is not told.
    put(db, "key 000000", "written");
    assert!(db.metrics().compactions > 0);
    db.close().unwrap();
}
