//! Every engine that is built in does what the trait says, so that all are asked to do the same work.

use super::*;
use crate::keys;

fn config(sync: Sync) -> Config {
    Config {
        cache_bytes: 8 << 20,
        compression: Compression::None,
        sync,
        keep: Keep::Newest,
        memtable_bytes: MEMTABLE_BYTES,
    }
}

fn keys_seen(scan: impl FnOnce(SeeRecord) -> Outcome<()>, limit: usize) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    scan(&mut |key, _| {
        seen.push(key.to_vec());
        Ok(seen.len() < limit)
    })
    .unwrap();
    seen
}

fn value(reader: &dyn Reader, id: u64) -> Option<Vec<u8>> {
    let mut seen = None;
    let found = reader
        .get(&keys::present(id), &mut |value| {
            seen = Some(value.to_vec());
            Ok(())
        })
        .unwrap();
    assert_eq!(found, seen.is_some());
    seen
}

#[test]
fn every_engine_reads_scans_and_reopens_what_was_written() {
    for kind in Kind::ALL {
        for sync in [Sync::Os, Sync::Disk] {
            let dir = tempfile::tempdir().unwrap();
            let engine = kind.open(dir.path(), &config(sync)).unwrap();
            let puts: Vec<_> = (0..50).map(|id| (keys::present(id), vec![1; 30])).collect();
            engine.batch(&puts).unwrap();
            engine.put(&keys::present(7), &[2; 30]).unwrap();
            engine.delete(&keys::present(8)).unwrap();
            engine.flush().unwrap();
            engine.close().unwrap();

            let engine = kind.open(dir.path(), &config(sync)).unwrap();
            let reader = engine.reader().unwrap();
            assert_eq!(value(&*reader, 6), Some(vec![1; 30]), "{}", kind.name);
            assert_eq!(value(&*reader, 7), Some(vec![2; 30]), "{}", kind.name);
            assert_eq!(value(&*reader, 8), None, "{}", kind.name);
            let expected: Vec<_> =
                (0..50).filter(|id| *id != 8).map(|id| keys::present(id).to_vec()).collect();
            assert_eq!(keys_seen(|see| reader.scan(None, see), 99), expected, "{}", kind.name);
            let back = keys_seen(|see| reader.scan_back(see), 99);
            assert!(back.iter().eq(expected.iter().rev()), "{}", kind.name);
            let from = keys_seen(|see| reader.scan(Some(&keys::absent(6)), see), 2);
            assert_eq!(from, [expected[7].clone(), expected[8].clone()], "{}", kind.name);
            drop(reader);
            engine.close().unwrap();
        }
    }
}

#[test]
fn a_refreshed_reader_sees_what_was_committed_before() {
    for kind in Kind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path(), &config(Sync::Os)).unwrap();
        let mut reader = engine.reader().unwrap();
        for generation in 0..5 {
            engine.put(&keys::present(1), &[generation; 20]).unwrap();
            reader.refresh().unwrap();
            assert_eq!(value(&*reader, 1), Some(vec![generation; 20]), "{}", kind.name);
        }
        drop(reader);
        engine.close().unwrap();
    }
}

#[test]
fn an_engine_with_versions_reads_the_past() {
    for kind in Kind::ALL.iter().filter(|kind| kind.has_versions) {
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path(), &Config { keep: Keep::All, ..config(Sync::Os) }).unwrap();
        let versions = engine.versions().unwrap();
        engine.put(&keys::present(1), &[1; 20]).unwrap();
        let first = versions.now();
        engine.put(&keys::present(1), &[2; 20]).unwrap();
        assert_eq!(versions.now(), first + 1);
        versions.compact().unwrap();
        let mut seen = Vec::new();
        let found = versions.get_at(&keys::present(1), first, &mut |value| {
            seen = value.to_vec();
            Ok(())
        });
        assert!(found.unwrap());
        assert_eq!(seen, [1; 20]);
        engine.close().unwrap();
    }
}

#[test]
fn an_engine_that_is_not_built_in_is_named_with_the_remedy() {
    let error = Kind::named("leveldb").err().unwrap().to_string();
    assert!(error.contains("'leveldb'") && error.contains("--features peers"), "{error}");
}
