//! A store that holds what this version does not know is refused with no byte written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::from_json;
use fountain_engine::{
    Durability, ErrorCode, StorageOptions, Store, StoreOptions, WriteSet, salvage, verify,
};
use fountain_lsm::{Db, Options, WriteBatch};

/// Every file below a directory with its bytes, but for the lock.
fn image(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(image(&path));
        } else if !path.ends_with("LOCK") {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// A store with a collection in a table, and another in its log; it was not closed.
fn filled(dir: &Path) {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let put = |collection: &str| {
        let mut writes = WriteSet::new();
        let document = store.encode(&from_json(r#"{"n":1}"#).unwrap()).unwrap();
        let key = encode(&Key::Number(1.0)).unwrap();
        writes.put(store.collection(collection).unwrap(), &key, &document).unwrap();
        store.commit(writes, Durability::Disk).unwrap();
    };
    put("first");
    store.flush().unwrap();
    put("second");
    store.close().unwrap();
}

/// Puts an entry where a later version, or damage, might have put it: in the log or in a table. A store that is dropped and
/// not closed is left as a crash leaves it.
fn plant(dir: &Path, key: &[u8], value: &[u8], in_table: bool) {
    let db = Db::open(dir, Options { background: false, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(key, value).unwrap();
    db.commit(batch, Durability::Disk).unwrap();
    if in_table {
        db.flush().unwrap();
    }
    let mut batch = WriteBatch::new();
    batch.put(b"\0\0\0\x10\x20\x40\0\0\0\0\0\0\0", b"").unwrap();
    db.commit(batch, Durability::Disk).unwrap();
}

#[test]
fn a_store_with_an_entry_of_an_unknown_kind_is_refused_with_no_byte_written() {
    let cases: [(&[u8], &[u8], ErrorCode); 6] = [
        (b"\0\0\0\0\x09later", b"{}", ErrorCode::NewerFormat),
        (b"\0\0\0\0\x03\0\0\0\x10byN", br#"{"id":17,"kind":"fulltext","on":["n"]}"#, ErrorCode::NewerFormat),
        (b"\0\0\0\x07anything", b"1", ErrorCode::NewerFormat),
        (b"\0\0\0\0\x01third", b"{", ErrorCode::Corrupt),
        (b"\0\0\0\x01\0\0\0\x08", b"[\"a\"]", ErrorCode::Corrupt),
        (b"\0\0\0\x01\0\0\0\x01", b"[\"a\",\"a\"]", ErrorCode::Corrupt),
    ];
    for ((key, value, code), in_table) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("store");
        filled(&source);
        plant(&source, key, value, in_table);
        let before = image(&source);
        let error = Store::open(&source, StoreOptions::default()).err().unwrap();
        assert_eq!(error.code, *code, "{key:?}: {error}");
        assert_eq!(image(&source), before, "{key:?}, in a table: {in_table}");

        if *code == ErrorCode::NewerFormat {
            let options = StorageOptions::default();
            assert_eq!(verify(&source, &options).err().unwrap().code, *code, "{key:?}");
            let dest = dir.path().join("dest");
            assert_eq!(salvage(&source, &dest, &options).err().unwrap().code, *code, "{key:?}");
            assert!(!dest.exists());
        }
        assert_eq!(image(&source), before, "{key:?}");
    }
}

#[test]
fn a_store_whose_unknown_entry_is_gone_again_opens() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    plant(dir.path(), b"\0\0\0\0\x09later", b"{}", true);
    let db = Db::open(dir.path(), Options::default()).unwrap();
    let mut batch = WriteBatch::new();
    batch.delete(b"\0\0\0\0\x09later").unwrap();
    db.commit(batch, Durability::Disk).unwrap();
    drop(db);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.collections().unwrap(), ["first", "second"]);
}
