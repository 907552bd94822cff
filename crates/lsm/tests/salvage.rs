//! Salvage of stores that are sound, damaged in every kind of file, or incomplete: what is there is the truth, what is
//! missing is in the report, and the source is left as it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fountain_lsm::{
    Db, Durability, Error, FaultCode, KeyRange, LossCode, Options, ReadTier, Retention, SalvageReport, Seq,
    StoreId, VerifyOptions, WriteBatch, salvage, salvage_with, verify,
};
use support::{fast_dir, files, killed, seq, small};

/// What commits did, one after the other.
#[derive(Clone, Default)]
struct Model {
    commits: Vec<Vec<Op>>,
    keys: BTreeSet<String>,
}

#[derive(Clone)]
enum Op {
    Put(String, String),
    Delete(String),
    DeleteRange(String, String),
}

impl Model {
    fn commit(&mut self, db: &Db, ops: Vec<Op>) {
        let mut batch = WriteBatch::new();
        for op in &ops {
            match op {
                Op::Put(key, value) => {
                    self.keys.insert(key.clone());
                    batch.put(key.as_bytes(), value.as_bytes()).unwrap();
                }
                Op::Delete(key) => batch.delete(key.as_bytes()).unwrap(),
                Op::DeleteRange(start, end) => {
                    let range = KeyRange { start: start.clone().into(), end: Some(end.clone().into()) };
                    batch.delete_range(&range).unwrap();
                }
            }
        }
        let seq = db.commit(batch, Durability::Disk).unwrap();
        self.commits.push(ops);
        assert_eq!(seq.get(), self.newest());
    }

    fn newest(&self) -> u64 {
        self.commits.len() as u64
    }

    /// The value of a key as of a commit, and the commit that made it so; 0 if none did.
    fn value(&self, key: &str, at: u64) -> (Option<&str>, u64) {
        for seq in (1..=at.min(self.newest())).rev() {
            for op in self.commits[seq as usize - 1].iter().rev() {
                match op {
                    Op::Put(put, value) if put == key => return (Some(value), seq),
                    Op::Delete(deleted) if deleted == key => return (None, seq),
                    Op::DeleteRange(start, end) if (start.as_str()..end.as_str()).contains(&key) => {
                        return (None, seq);
                    }
                    _ => {}
                }
            }
        }
        (None, 0)
    }
}

fn key(number: usize) -> String {
    format!("key {number:03}")
}

/// A store with tables in two levels, with history, deletions of keys and ranges, and commits in the log.
fn filled(dir: &Path, options: Options) -> (Db, Model) {
    let db = Db::open(dir, options).unwrap();
    let mut model = Model::default();
    for round in 0..4 {
        for number in (0..120).step_by(2 + round) {
            let value = format!("{round} {}", "x".repeat(number % 90));
            model.commit(&db, vec![Op::Put(key(number), value.clone()), Op::Put(key(119 - number), value)]);
        }
        model.commit(&db, vec![Op::DeleteRange(key(30 + round), key(40 + round)), Op::Delete(key(5))]);
        if round == 1 {
            db.compact().unwrap();
        }
        if round < 3 {
            db.flush().unwrap();
        }
    }
    model.commit(&db, vec![Op::Delete(key(7)), Op::Put(key(8), "last".into())]);
    (db, model)
}

fn options() -> Options {
    Options { store_id: Some(StoreId([7; 16])), ..small() }
}

fn copy_options() -> Options {
    Options { store_id: Some(StoreId([8; 16])), table_bytes: 4 << 10, ..small() }
}

/// Every file below a directory with its bytes and its time.
fn image(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for path in files(dir) {
        let time = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            found.extend(image(&path));
            found.insert(path, (Vec::new(), time));
        } else {
            found.insert(path.clone(), (std::fs::read(path).unwrap(), time));
        }
    }
    found
}

/// Salvages and checks the source, that everything read is true, and that everything else is reported.
fn saved(source: &Path, model: &Model, what: &str) -> (SalvageReport, Db) {
    let dest = source.with_extension("saved");
    let _ = std::fs::remove_dir_all(&dest);
    let before = image(source);
    let report = salvage(source, &dest, &copy_options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(image(source) == before, "{what}: the source has changed");
    let verified = verify(&dest, &VerifyOptions::default()).unwrap();
    assert!(verified.is_sound() && verified.notes.is_empty() && verified.closed_cleanly, "{what}");
    let db = Db::open(&dest, Options { create_if_missing: false, ..copy_options() }).unwrap();
    assert_eq!((db.visible(), db.recovery().clean), (report.sequence, true), "{what}");
    assert!(report.sequence.get() <= model.newest(), "{what}");
    for key in &model.keys {
        for at in report.history_from.get()..=report.sequence.get() {
            check(&db, &report, model, key, at, what);
        }
        // What is newer than the newest that is known must be lost with a name.
        let (value, seq) = model.value(key, model.newest());
        let found = support::get(&db, key);
        assert!(found.as_deref() == value || is_reported(&report, key, seq), "{what}: {key}");
    }
    (report, db)
}

fn check(db: &Db, report: &SalvageReport, model: &Model, key: &str, at: u64, what: &str) {
    let (value, by) = model.value(key, at);
    let found = db.get(key.as_bytes(), seq(at), ReadTier::Disk).unwrap();
    let found = found.map(|found| String::from_utf8(found.to_vec()).unwrap());
    if found.as_deref() == value {
        return;
    }
    assert!(
        is_reported(report, key, by),
        "{what}: {key} as of {at} is {found:?}, not {value:?}; not reported"
    );
    let was_true = found.is_none() || (1..at).any(|at| model.value(key, at).0 == found.as_deref());
    assert!(was_true, "{what}: {key} never was {found:?}");
}

/// Whether a loss says that what the commit did to the key may be missing.
fn is_reported(report: &SalvageReport, key: &str, by: u64) -> bool {
    report.losses.iter().any(|loss| {
        loss.keys.contains(key.as_bytes()) && (loss.sequences.first..=loss.sequences.last).contains(&seq(by))
    })
}

fn codes(report: &SalvageReport) -> BTreeSet<LossCode> {
    report.losses.iter().map(|loss| loss.code).collect()
}

#[test]
fn a_sound_store_is_copied_with_its_history_its_floors_and_its_deletions() {
    let dir = fast_dir();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (db, model) = filled(&live, options());
    killed(&live, &crashed);
    let versions = |db: &Db, key: &String| {
        let mut found = Vec::new();
        let mut versions = db.versions(key.as_bytes(), seq(model.newest()), ReadTier::Disk).unwrap();
        while versions.next().unwrap() {
            found.push((versions.seq(), versions.value().map(<[u8]>::to_vec)));
        }
        found
    };
    let expected: Vec<_> = model.keys.iter().map(|key| versions(&db, key)).collect();
    db.close().unwrap();
    for store in [&live, &crashed] {
        let (report, copy) = saved(store, &model, "sound");
        assert!(report.is_complete() && report.manifest_sound, "{:?}", report.losses);
        assert_eq!((report.sequence, report.history_from), (seq(model.newest()), Seq::ZERO));
        assert!(report.tables > 1 && report.versions > 200 && report.range_deletions >= 4);
        assert_eq!((report.source_store, report.store), (StoreId([7; 16]), StoreId([8; 16])));
        let found: Vec<_> = model.keys.iter().map(|key| versions(&copy, key)).collect();
        assert_eq!(found, expected);
        // It goes on as the source would.
        let next = support::put(&copy, "after", "1");
        assert_eq!(next, seq(model.newest() + 1));
    }
}

#[test]
fn what_retention_has_dropped_stays_dropped_and_cannot_be_read() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let (db, model) = filled(&live, Options { retention: Retention::LatestOnly, ..options() });
    db.compact().unwrap();
    drop(db);
    let (report, copy) = saved(&live, &model, "latest only");
    assert!(report.is_complete());
    assert!(report.history_from > Seq::ZERO);
    let early = copy.get(b"key 010", seq(1), ReadTier::Disk);
    assert!(matches!(early, Err(Error::HistoryTruncated { .. })), "{early:?}");
}

#[test]
fn of_a_store_with_any_byte_flipped_everything_is_saved_or_reported() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let db = Db::open(&live, options()).unwrap();
    let mut model = Model::default();
    for round in 0..3 {
        for number in 0..12 {
            model.commit(&db, vec![Op::Put(key(number), format!("{round} of {number}"))]);
        }
        model.commit(&db, vec![Op::DeleteRange(key(3), key(5 + round)), Op::Delete(key(9))]);
        if round < 2 {
            db.flush().unwrap();
        }
    }
    drop(db);
    let mut seen = BTreeSet::new();
    let all: Vec<_> = image(&live).into_iter().filter(|(path, _)| path.is_file()).collect();
    for (path, (good, _)) in all.into_iter().filter(|(path, _)| !path.ends_with("LOCK")) {
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x21;
            std::fs::write(&path, &bad).unwrap();
            let what = format!("{} byte {at}", path.display());
            let (report, copy) = saved(&live, &model, &what);
            seen.extend(codes(&report));
            let is_log = path.extension().is_some_and(|extension| extension == "wal");
            if is_log {
                continue;
            }
            // The log has all of its commits, and one flipped byte takes one block of a table with it at most.
            assert_eq!(report.sequence.get(), model.newest(), "{what}");
            let blocks = report.losses.iter().filter(|loss| loss.certain).count();
            assert!(blocks <= 1, "{what}: {:?}", report.losses);
            let in_table = path.extension().is_some();
            if !in_table {
                // Everything is there, even if nothing can vouch for it.
                for key in &model.keys {
                    let value = support::get(&copy, key);
                    assert_eq!(value.as_deref(), model.value(key, model.newest()).0, "{what}: {key}");
                }
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
    let expected =
        [LossCode::Block, LossCode::RangeDeletions, LossCode::Log, LossCode::TornTail, LossCode::Manifest];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn without_its_tail_a_table_is_read_block_by_block_and_nothing_is_lost() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let (db, model) = filled(&live, options());
    drop(db);
    for path in files(&live.join("tables")) {
        let good = std::fs::read(&path).unwrap();
        // Footer and properties; then the root of the index, found through the footer.
        let root = u64::from_le_bytes(good[good.len() - 96..][..8].try_into().unwrap()) as usize;
        for at in [good.len() - 1, good.len() - 96, root] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let (report, _) = saved(&live, &model, "a bad tail");
            assert!(report.is_complete(), "byte {at}: {:?}", report.losses);
            let faults: Vec<_> = report.files.iter().filter(|file| !file.faults.is_empty()).collect();
            assert!(faults.len() == 1 && faults[0].path == path, "{faults:?}");
        }
        std::fs::write(&path, [&good[..], &[0; 300]].concat()).unwrap();
        assert!(saved(&live, &model, "junk behind the end").0.is_complete());
        for cut in [0, 1, good.len() / 2, good.len() - 96] {
            std::fs::write(&path, &good[..cut]).unwrap();
            let (report, _) = saved(&live, &model, "cut off");
            assert!(
                report.losses.iter().all(|loss| loss.path == path && loss.certain),
                "{:?}",
                report.losses
            );
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_missing_file_costs_what_it_held_and_no_more() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let (db, model) = filled(&live, options());
    drop(db);
    let newest = |copy: &Db, what: &str| {
        for key in &model.keys {
            assert_eq!(
                support::get(copy, key).as_deref(),
                model.value(key, model.newest()).0,
                "{what}: {key}"
            );
        }
    };
    let all: Vec<_> = image(&live).into_iter().filter(|(path, _)| path.is_file()).collect();
    for (path, (bytes, _)) in all {
        std::fs::remove_file(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (report, copy) = saved(&live, &model, &name);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sst") => {
                assert_eq!(codes(&report), BTreeSet::from([LossCode::Table]), "{name}");
                assert!(report.losses.iter().all(|loss| loss.path == path && loss.keys.end.is_some()));
            }
            Some("wal") => assert_eq!(codes(&report), BTreeSet::from([LossCode::Log]), "{name}"),
            _ if name == "CURRENT" => {
                assert!(report.is_complete(), "{:?}", report.losses);
                newest(&copy, &name);
            }
            _ if name == "LOCK" => assert!(report.is_complete()),
            _ => {
                assert!(!report.manifest_sound);
                assert_eq!(codes(&report), BTreeSet::from([LossCode::Manifest]));
                newest(&copy, &name);
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    // The manifest and the file that names it.
    std::fs::remove_file(live.join("CURRENT")).unwrap();
    let manifest = files(&live).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    std::fs::remove_file(manifest).unwrap();
    let (report, copy) = saved(&live, &model, "no manifest at all");
    assert_eq!(report.history_from, report.sequence);
    newest(&copy, "no manifest at all");
}

#[test]
fn a_manifest_of_another_store_is_not_believed() {
    let dir = fast_dir();
    let (live, other) = (dir.path().join("live"), dir.path().join("other"));
    let (db, model) = filled(&live, options());
    drop(db);
    let db = Db::open(&other, Options { store_id: Some(StoreId([9; 16])), ..small() }).unwrap();
    support::put(&db, "stranger", "1");
    drop(db);
    let manifest = |dir: &Path| {
        let all = files(dir).into_iter();
        all.rev().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap()
    };
    assert_eq!(manifest(&live).file_name(), manifest(&other).file_name());
    std::fs::copy(manifest(&other), manifest(&live)).unwrap();
    let (report, copy) = saved(&live, &model, "a foreign manifest");
    assert_eq!((report.source_store, report.manifest_sound), (StoreId([7; 16]), false));
    assert_eq!(codes(&report), BTreeSet::from([LossCode::Manifest]));
    for key in &model.keys {
        assert_eq!(support::get(&copy, key).as_deref(), model.value(key, model.newest()).0, "{key}");
    }
    let verified = verify(&live, &VerifyOptions::default()).unwrap();
    let faults: Vec<_> = verified.faults().map(|(path, fault)| (path.to_path_buf(), fault.code)).collect();
    assert_eq!(
        (verified.store, faults),
        (Some(StoreId([7; 16])), vec![(manifest(&live), FaultCode::Preamble)])
    );
}

#[test]
fn a_log_that_is_damaged_and_was_not_closed_may_lack_its_end() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let db = Db::open(&live, options()).unwrap();
    let mut model = Model::default();
    let path = files(&live.join("wal")).remove(0);
    let mut log = Vec::new();
    for number in 0..4 {
        // Without the last commit, the log ends exactly behind a frame.
        log = std::fs::read(&path).unwrap();
        model.commit(&db, vec![Op::Put(key(number), "x".repeat(50))]);
    }
    drop(db);
    std::fs::write(&path, &log).unwrap();
    let report = salvage(&live, &live.with_extension("short"), &copy_options()).unwrap();
    assert_eq!((report.sequence, report.losses), (seq(3), vec![]), "nothing tells of a fourth commit");
    let second = log.windows(7).position(|bytes| bytes == b"key 001").unwrap();
    log[second] ^= 1;
    std::fs::write(&path, &log).unwrap();
    let (report, _) = saved(&live, &model, "damaged and cut");
    let found: Vec<_> = report.losses.iter().map(|loss| (loss.code, loss.sequences.first)).collect();
    assert_eq!(found, [(LossCode::Log, seq(2)), (LossCode::TornTail, seq(4))]);
}

#[test]
fn a_left_over_table_does_not_bring_back_what_was_deleted() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let db = Db::open(&live, Options { retention: Retention::LatestOnly, ..options() }).unwrap();
    let mut model = Model::default();
    model.commit(&db, vec![Op::Put(key(1), "dead".into()), Op::Put(key(2), "alive".into())]);
    db.flush().unwrap();
    let first = files(&live.join("tables")).remove(0);
    let old = std::fs::read(&first).unwrap();
    model.commit(&db, vec![Op::Delete(key(1)), Op::Put(key(3), "alive".into())]);
    db.compact().unwrap();
    drop(db);
    assert!(!first.exists());
    std::fs::write(&first, old).unwrap();
    let (report, copy) = saved(&live, &model, "a left-over");
    assert!(report.is_complete());
    assert_eq!(support::get(&copy, &key(1)), None);
    assert!(report.notes.iter().any(|note| note.path == first));
    drop(copy);
    // Without the manifest nobody can tell that it was replaced; then the report says so.
    let manifest = files(&live).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    std::fs::remove_file(manifest).unwrap();
    let (report, copy) = saved(&live, &model, "a left-over and no manifest");
    assert_eq!(support::get(&copy, &key(1)).as_deref(), Some("dead"));
    assert!(is_reported(&report, &key(1), 2));
}

#[test]
fn a_bulk_ingest_keeps_its_sequence_and_without_the_manifest_its_keys_are_named() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let db = Db::open(&live, options()).unwrap();
    let mut model = Model::default();
    model.commit(&db, vec![Op::Put(key(1), "before".into()), Op::Put(key(9), "before".into())]);
    let ingested = db.ingest((0..5).map(|number| (key(number), "ingested"))).unwrap();
    let ops = (0..5).map(|number| Op::Put(key(number), "ingested".into()));
    model.commits.push(ops.collect());
    model.keys.extend((0..5).map(key));
    assert_eq!(ingested.get(), model.newest());
    model.commit(&db, vec![Op::Put(key(2), "after".into()), Op::Delete(key(3))]);
    drop(db);
    assert!(saved(&live, &model, "an ingest").0.is_complete());
    let manifest = files(&live).into_iter().find(|path| path.to_string_lossy().contains("MANIFEST")).unwrap();
    std::fs::remove_file(manifest).unwrap();
    let (report, copy) = saved(&live, &model, "an ingest and no manifest");
    let order: Vec<_> = report.losses.iter().filter(|loss| loss.code == LossCode::Order).collect();
    assert!(order.len() == 1 && order[0].keys.contains(key(4).as_bytes()), "{:?}", report.losses);
    assert!(!order[0].keys.contains(key(9).as_bytes()));
    for (key, value) in [(1, Some("ingested")), (2, Some("after")), (3, None), (9, Some("before"))] {
        assert_eq!(support::get(&copy, &self::key(key)).as_deref(), value);
    }
}

#[test]
fn what_a_layer_above_mends_is_in_the_new_store_from_the_first_or_there_is_none() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let (db, _) = filled(&live, options());
    drop(db);
    let (dest, temp) = (dir.path().join("dest"), dir.path().join("dest.tmp"));
    let mend = |place: &Path| {
        assert!(!dest.exists() && place == temp);
        let db = Db::open(place, Options { create_if_missing: false, ..copy_options() })?;
        support::put(&db, "mended", "yes");
        db.close()
    };
    let failed = salvage_with(&live, &dest, &copy_options(), |place, _| {
        mend(place)?;
        Err::<(), _>(Error::Closed)
    });
    assert!(matches!(failed, Err(Error::Closed)), "{failed:?}");
    assert!(!dest.exists() && !temp.exists());

    let said =
        salvage_with(&live, &dest, &copy_options(), |place, report| mend(place).map(|()| report.destination));
    assert_eq!(said.unwrap(), dest);
    let copy = Db::open(&dest, copy_options()).unwrap();
    assert_eq!(support::get(&copy, "mended").as_deref(), Some("yes"));
    assert!(!temp.exists());
}

#[test]
fn what_must_not_be_is_refused_and_leaves_no_trace() {
    let dir = fast_dir();
    let live = dir.path().join("live");
    let (db, model) = filled(&live, options());
    let dest = dir.path().join("dest");
    assert!(matches!(salvage(&live, &dest, &copy_options()), Err(Error::Locked { .. })));
    drop(db);
    let inside = salvage(&live, &live.join("dest"), &copy_options());
    assert!(matches!(inside, Err(Error::Io { .. })), "{inside:?}");
    let nowhere = salvage(&dir.path().join("nowhere"), &dest, &copy_options());
    assert!(matches!(nowhere, Err(Error::Missing { .. })));
    assert!(!dest.exists() && !dir.path().join("dest.tmp").exists());

    std::fs::create_dir(&dest).unwrap();
    std::fs::write(dest.join("mine"), b"1").unwrap();
    assert!(matches!(salvage(&live, &dest, &copy_options()), Err(Error::Io { .. })));
    assert_eq!(files(&dest), [dest.join("mine")]);
    std::fs::remove_file(dest.join("mine")).unwrap();
    assert!(salvage(&live, &dest, &copy_options()).unwrap().is_complete());
    drop(Db::open(&dest, copy_options()).unwrap());

    // Without its id nothing of a store can be checked.
    let lost = dir.path().join("lost");
    killed(&live, &lost);
    for path in image(&lost).into_keys().filter(|path| path.is_file()) {
        std::fs::write(&path, vec![0x55; std::fs::read(&path).unwrap().len()]).unwrap();
    }
    match salvage(&lost, &dir.path().join("other"), &copy_options()) {
        Err(Error::Corrupt { code, .. }) => assert_eq!(code, FaultCode::Preamble),
        other => panic!("{other:?}"),
    }
    assert!(model.newest() > 0 && !dir.path().join("other").exists());
}
