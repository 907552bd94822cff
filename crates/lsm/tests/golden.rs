//! Stores that lie in `golden/`, as each version of the format wrote them: they are sound, open, say what they must and go on.
//!
//! `cargo run -p fountain-sim -- golden make DIR` made them. Once a version of the format is released, its folder never
//! changes again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fountain_lsm::{Db, Direction, Error, KeyRange, Options, ReadTier, VerifyOptions, verify};
use serde_json::Value;
use support::{fast_dir, files, killed, put, scan, seq};
use twox_hash::XxHash3_64;

const MOST_BYTES: u64 = 64 << 10;

/// Every golden store with its name.
fn goldens() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let versions = files(&root).into_iter().filter(|path| path.is_dir());
    let stores: Vec<_> = versions.flat_map(|version| files(&version)).collect();
    assert!(stores.len() >= 12, "{stores:?}");
    stores.into_iter().map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}

fn options() -> Options {
    Options { create_if_missing: false, background: false, ..Options::default() }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}

/// Compares everything that the store has to say with what it must.
fn check(name: &str, db: &Db, expected: &Value) {
    let newest = expected["sequence"].as_u64().unwrap();
    for state in expected["states"].as_array().unwrap() {
        let at = seq(state[0].as_u64().unwrap());
        let mut bytes = Vec::new();
        for (key, value) in scan(db, KeyRange::default(), at, Direction::Forward) {
            bytes.extend_from_slice(&[&key[..], &[0], &value[..], &[0]].concat());
        }
        assert_eq!(digest(&bytes), state[1].as_str().unwrap(), "{name} as of {at}");
    }
    let floor = expected["floor"].as_u64().unwrap();
    if floor > 0 {
        let early = db.get(b"user/0001", seq(floor - 1), ReadTier::Disk);
        assert!(matches!(early, Err(Error::HistoryTruncated { .. })), "{name}: {early:?}");
        return;
    }
    for (key, expected) in expected["versions"].as_object().unwrap() {
        let mut found = Vec::new();
        let mut versions = db.versions(key.as_bytes(), seq(newest), ReadTier::Disk).unwrap();
        while versions.next().unwrap() {
            found.push((versions.seq().get(), versions.value().map(digest)));
        }
        found.reverse();
        // Deletions of nothing need not be kept.
        let mut live = false;
        found.retain(|(_, value)| std::mem::replace(&mut live, value.is_some()) || value.is_some());
        let expected = expected
            .as_array()
            .unwrap()
            .iter()
            .map(|version| (version[0].as_u64().unwrap(), version[1].as_str().map(str::to_owned)));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{name}: {key}");
    }
}

#[test]
fn every_golden_store_is_sound_opens_says_the_truth_and_goes_on() {
    for (name, golden) in goldens() {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(golden.join("expected.json")).unwrap()).unwrap();
        let dir = fast_dir();
        let (store, crashed) = (dir.path().join("store"), dir.path().join("crashed"));
        killed(&golden.join("store"), &store);
        let bytes: u64 = image(&store).values().map(|bytes| bytes.len() as u64).sum();
        assert!(bytes <= MOST_BYTES, "{name}: {bytes} bytes");
        let newest = seq(expected["sequence"].as_u64().unwrap());
        let clean = expected["clean"].as_bool().unwrap();

        let report = verify(&store, &VerifyOptions::default()).unwrap();
        assert!(report.is_sound(), "{name}: {:?}", report.faults().collect::<Vec<_>>());
        assert_eq!((report.sequence, report.closed_cleanly), (newest, clean), "{name}");

        let db = Db::open(&store, options()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((db.visible(), db.recovery().clean), (newest, clean), "{name}");
        assert_eq!(db.recovery().discarded, [], "{name}");
        check(&name, &db, &expected);
        put(&db, "~after", "1");
        killed(&store, &crashed);
        drop(db);

        let db = Db::open(&crashed, options()).unwrap();
        assert_eq!(support::get(&db, "~after").as_deref(), Some("1"), "{name}");
        check(&name, &db, &expected);
        db.compact().unwrap();
        check(&name, &db, &expected);
        db.verify().unwrap();
        db.close().unwrap();
        assert!(verify(&crashed, &VerifyOptions::default()).unwrap().is_sound(), "{name}");
    }
}

/// Every file below a directory with its bytes, but for the lock.
fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in files(dir) {
        if path.is_dir() {
            found.extend(image(&path));
        } else if !path.ends_with("LOCK") {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}
