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

use fountain_lsm::{Db, Error, VerifyOptions, verify};
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
