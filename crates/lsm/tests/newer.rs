//! A store that says that it needs more than this version knows is refused untouched.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fountain_lsm::{Db, Error, KeyRange, Options, VerifyOptions, verify, verify_with};
use support::{fast_dir, files, put, small};

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

/// Sets a bit of the incompatible features and makes the checksum right: CRC-32C of store id, file number, offset, bytes.
fn require_unknown_feature(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let is_table = path.extension().is_some_and(|extension| extension == "sst");
    let (at, bit, covered) = if is_table { (bytes.len() - 96, 71, 84) } else { (0, 47, 92) };
    let salt = if is_table {
        let properties = u64::from_le_bytes(bytes[at + 48..at + 56].try_into().unwrap()) as usize;
        bytes[properties..properties + 24].to_vec()
    } else {
        bytes[16..40].to_vec()
    };
    bytes[at + bit] |= 0x80;
    let sealed = [&salt[..], &(at as u64).to_le_bytes(), &bytes[at..at + covered]].concat();
    bytes[at + covered..at + covered + 4].copy_from_slice(&crc32c::crc32c(&sealed).to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_store_that_needs_an_unknown_feature_is_refused_with_no_byte_written() {
    for kind in ["MANIFEST", "wal", "tables"] {
        let dir = fast_dir();
        let store = dir.path().join("store");
        let db = Db::open(&store, small()).unwrap();
        put(&db, "in a table", "1");
        db.flush().unwrap();
        put(&db, "in the log", "2");
        drop(db);
        std::fs::remove_file(store.join("LOCK")).unwrap();

        let is_of_kind =
            |path: &&PathBuf| path.strip_prefix(&store).unwrap().to_string_lossy().starts_with(kind);
        let all = image(&store);
        let path = all.keys().rfind(is_of_kind).unwrap();
        require_unknown_feature(path);
        let before = image(&store);
        match Db::open(&store, small()) {
            Err(Error::Newer { path: found, .. }) => assert_eq!(found, *path),
            other => panic!("{kind}: {:?}", other.err()),
        }
        assert_eq!(image(&store), before, "{kind}");
        // The manifest is looked at even before the lock.
        assert_eq!(store.join("LOCK").exists(), kind != "MANIFEST");
        let verified = verify(&store, &VerifyOptions::default());
        assert!(matches!(verified, Err(Error::Newer { .. })), "{kind}: {verified:?}");
        assert_eq!(image(&store), before, "{kind}");
    }
}

/// What a preview shows, as text.
fn shown(preview: &fountain_lsm::Preview, range: KeyRange) -> Result<Vec<String>, Error> {
    let (mut cursor, mut found) = (preview.cursor(range), Vec::new());
    while cursor.next()? {
        let (key, value) = (String::from_utf8_lossy(cursor.key()), String::from_utf8_lossy(cursor.value()));
        found.push(format!("{key}={value}"));
    }
    Ok(found)
}

/// A store whose log has more than one memtable of commits.
fn filled(store: &Path) {
    let db = Db::open(store, Options { background: false, ..Options::default() }).unwrap();
    for (key, value) in [("a", "old"), ("b", "1"), ("c", "2"), ("d", "3")] {
        put(&db, key, value);
    }
    db.flush().unwrap();
    put(&db, "a", "new");
    let mut batch = fountain_lsm::WriteBatch::new();
    batch.delete_range(&KeyRange { start: b"b".to_vec(), end: Some(b"d".to_vec()) }).unwrap();
    db.commit(batch, fountain_lsm::Durability::Disk).unwrap();
    put(&db, "c", "4");
    for number in 0..200 {
        put(&db, &format!("x{number}"), &"y".repeat(1000));
    }
}

#[test]
fn who_opens_a_store_sees_what_it_holds_and_may_refuse_it_with_no_byte_written() {
    let dir = fast_dir();
    let store = dir.path().join("store");
    filled(&store);
    let before = image(&store);
    let options = || Options { memtable_bytes: 64 << 10, ..small() };
    let keys = KeyRange { start: b"c".to_vec(), end: Some(b"x1".to_vec()) };
    let refused = Db::open_if(&store, options(), &keys, |preview| {
        assert_eq!(preview.sequence().get(), 207);
        let all = shown(preview, KeyRange { start: Vec::new(), end: Some(b"x".to_vec()) })?;
        // Of keys that nobody asked about only the tables tell.
        assert_eq!(all, ["a=old", "c=4", "d=3"]);
        assert!(preview.get(b"x0")?.is_some() && preview.get(b"x1")?.is_none());
        Err(Error::Newer { path: store.clone(), what: "the test".to_owned() })
    });
    assert!(matches!(refused.err(), Some(Error::Newer { .. })));
    assert_eq!(image(&store), before);

    let whole = |preview: &fountain_lsm::Preview| {
        assert!(preview.get(b"b")?.is_none());
        shown(preview, KeyRange { start: Vec::new(), end: Some(b"x".to_vec()) })
    };
    let (report, inspected) = verify_with(&store, &VerifyOptions::default(), whole).unwrap();
    assert!(report.is_sound());
    assert_eq!(inspected.unwrap(), ["a=new", "c=4", "d=3"]);
    assert_eq!(image(&store), before);

    let db = Db::open_if(&store, options(), &keys, |_| Ok::<(), Error>(())).unwrap();
    assert_eq!(db.visible().get(), 207);
    drop(db);
    std::fs::remove_file(store.join("CURRENT")).unwrap();
    let (report, inspected) = verify_with(&store, &VerifyOptions::default(), whole).unwrap();
    assert!(!report.is_sound() && inspected.is_none());
}

#[test]
fn a_store_that_is_created_has_nothing_to_be_refused_for() {
    let dir = fast_dir();
    let refuse = |_: &fountain_lsm::Preview| Err(Error::Closed);
    let db = Db::open_if(&dir.path().join("new"), small(), &KeyRange::default(), refuse).unwrap();
    put(&db, "a", "1");
    drop(db);
    let again = Db::open_if(&dir.path().join("new"), small(), &KeyRange::default(), refuse);
    assert!(matches!(again.err(), Some(Error::Closed)));
}
