//! Point reads and what the writer says about its table.

use super::super::{MultiGet, key_hash};
use super::*;
use crate::limits::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use crate::{Error, ReadTier};

fn check_all_gets(table: &Table, rows: &[Row]) {
    for (key, at, _) in rows {
        for at in [at.saturating_sub(1), *at, *at + 1, Seq::MAX.get()] {
            let found = table.get(key, key_hash(key), seq(at), ReadTier::Disk).unwrap();
            assert!(is_as_expected(found.as_ref(), expected(rows, key, at)), "{key:?} at {at}: {found:?}");
        }
        let other = [key.as_slice(), b"\0"].concat();
        let found = table.get(&other, key_hash(&other), Seq::MAX, ReadTier::Disk).unwrap();
        assert!(is_as_expected(found.as_ref(), expected(rows, &other, u64::MAX)), "{other:?}: {found:?}");
    }
    check_multi_gets(table, rows);
}

/// Several keys at once, some of them twice and some that are not there: at every distance from one another.
fn check_multi_gets(table: &Table, rows: &[Row]) {
    let mut keys: Vec<Vec<u8>> = rows.iter().map(|(key, ..)| key.clone()).collect();
    keys.extend(rows.iter().map(|(key, ..)| [key.as_slice(), b"\0"].concat()));
    keys.push(vec![0xFF; 400]);
    keys.sort();
    for at in [Seq::ZERO, seq(5), seq(20), seq(101), Seq::MAX] {
        for step in [1, 2, 7, 50] {
            let mut reads = MultiGet::new(table, at, ReadTier::Disk);
            for key in keys.iter().step_by(step) {
                let found = reads.get(key).unwrap().map(|(_, version)| version);
                assert!(
                    is_as_expected(found.as_ref(), expected(rows, key, at.get())),
                    "{key:?} at {at}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn every_version_is_found_whatever_the_shape_of_keys() {
    let mut rows = vec![row(b"", 1, Some(b"empty key")), row([0], 2, Some(b"")), row([0xFF; 300], 3, None)];
    rows.push((vec![b'k'; MAX_KEY_BYTES], 4, Some(vec![1; 10_000])));
    rows.push((vec![b'k'; MAX_KEY_BYTES - 1], 4, Some(vec![2; 10])));
    for n in 0..400u64 {
        rows.push(row(n.to_be_bytes(), n + 1, Some(&n.to_le_bytes())));
        rows.push(row(format!("user/{n:05}/name"), n * 7 % 50 + 1, Some(&[3; 90])));
        rows.push(row("x".repeat(n as usize % 40), n, (n % 3 > 0).then_some(b"run")));
    }
    let rows = in_order(rows);
    for compression in [Compression::None, Compression::Lz4] {
        let fixture = Fixture::write(&rows, compression);
        let table = fixture.open().unwrap();
        assert!(table.blocks(Section::Current) > 10);
        check_all_gets(&table, &rows);
        table.verify().unwrap();
    }
}

#[test]
fn versions_of_one_key_that_fill_several_blocks_are_all_found() {
    let mut rows = vec![row("a", 5, Some(b"before")), row("c", 5, Some(b"after"))];
    // Odd sequences only, so that reads between two versions are tried as well.
    rows.extend((0..500u64).map(|n| row("b", n * 2 + 11, (n % 7 > 0).then_some(&[n as u8; 100]))));
    let rows = in_order(rows);
    let fixture = Fixture::write(&rows, Compression::None);
    let table = fixture.open().unwrap();
    assert!(table.blocks(Section::History) > 5);
    check_all_gets(&table, &rows);
}

#[test]
fn a_large_value_has_a_block_of_its_own() {
    let rows = [row("a", 1, Some(b"1")), row("b", 1, Some(&vec![7; 100_000])), row("c", 1, Some(b"3"))];
    let fixture = Fixture::write(&rows, Compression::None);
    let table = fixture.open().unwrap();
    assert_eq!(table.blocks(Section::Current), 3);
    check_all_gets(&table, &rows);
}

#[test]
fn the_meta_describes_the_table_and_verification_agrees() {
    let rows = in_order(vec![row("k1", 9, Some(b"v")), row("k1", 4, None), row("k2", 6, Some(b"vv"))]);
    let fixture = Fixture::write(&rows, Compression::None);
    let expected = TableMeta {
        number: NUMBER,
        base: Seq::ZERO,
        size: std::fs::metadata(fixture.path()).unwrap().len(),
        entries: 3,
        tombstones: 1,
        superseded: 1,
        least_seq: seq(4),
        greatest_seq: seq(9),
        smallest: Box::from(&b"k1"[..]),
        largest: Box::from(&b"k2"[..]),
        largest_exclusive: false,
    };
    assert_eq!(fixture.meta, expected);
    let properties = fixture.open().unwrap().verify().unwrap();
    assert_eq!((properties.key_bytes, properties.value_bytes, properties.data_blocks), (6, 3, 2));
}

#[test]
fn the_size_foretold_is_close_to_the_size_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        TableWriter::create(&RealFs, dir.path().join("t"), STORE, NUMBER, Compression::None).unwrap();
    for n in 0..20_000u32 {
        writer.add(format!("key{n:08}").as_bytes(), trailer(1, Kind::Put), &[1; 100]).unwrap();
    }
    let foretold = writer.bytes_written();
    let written = writer.finish().unwrap().size;
    assert!(written.abs_diff(foretold) < 4096, "{foretold} foretold, {written} written");
}

#[test]
fn keys_and_values_over_their_limit_and_empty_tables_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let create = |name| TableWriter::create(&RealFs, dir.path().join(name), STORE, NUMBER, Compression::None);
    let mut writer = create("a").unwrap();
    let put = trailer(1, Kind::Put);
    let error = writer.add(&vec![0; MAX_KEY_BYTES + 1], put, b"").unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "key", .. }), "{error}");
    let error = writer.add(b"k", put, &vec![0; MAX_VALUE_BYTES + 1]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "value", .. }), "{error}");
    assert!(matches!(writer.finish().unwrap_err(), Error::Io { op: "finish", .. }));
    assert!(matches!(create("a").err(), Some(Error::Io { op: "create", .. })), "files are never reused");
}

#[test]
fn the_largest_entry_fits_a_block() {
    let rows = [(vec![b'k'; MAX_KEY_BYTES], Seq::MAX.get(), Some(vec![9; MAX_VALUE_BYTES]))];
    for compression in [Compression::None, Compression::Lz4] {
        let fixture = Fixture::write(&rows, compression);
        let table = fixture.open().unwrap();
        let found = table.get(&rows[0].0, key_hash(&rows[0].0), Seq::MAX, ReadTier::Disk).unwrap();
        assert!(is_as_expected(found.as_ref(), Some(&rows[0])));
    }
}

#[test]
fn the_same_entries_make_the_same_bytes() {
    let rows: Vec<Row> =
        (0..2000u64).map(|n| row(format!("key{n:06}"), n + 1, Some(&n.to_le_bytes().repeat(9)))).collect();
    for compression in [Compression::None, Compression::Lz4] {
        assert_eq!(Fixture::write(&rows, compression).bytes(), Fixture::write(&rows, compression).bytes());
    }
}
