//! Damaged, misplaced and foreign tables: always an error that says so, never a wrong answer.

use proptest::prelude::*;

use super::super::block::{Block, Origin};
use super::super::block_builder::BlockBuilder;
use super::super::block_cursor::BlockCursor;
use super::super::key_hash;
use super::*;
use crate::{Error, ReadTier};

/// Several blocks in few bytes.
fn rows() -> Vec<Row> {
    let rows =
        (0..60u64).map(|n| row(format!("key{:02}", n / 2), n + 1, (n % 9 > 0).then_some(&[b'v'; 400])));
    in_order(rows.collect())
}

fn small() -> Fixture {
    let fixture = Fixture::write(&rows(), Compression::Lz4);
    let table = fixture.open().unwrap();
    assert!(table.blocks(Section::Current) > 2 && table.blocks(Section::History) > 2);
    assert!(fixture.meta.size < 4000, "{}", fixture.meta.size);
    fixture
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. })
}

/// Every read of a damaged table must be right or be refused, and verification must notice.
fn assert_noticed(fixture: &Fixture, rows: &[Row], what: &str) {
    let table = match fixture.open() {
        Ok(table) => table,
        Err(error) => return assert!(is_damage(&error), "{what}: {error}"),
    };
    for (key, at, _) in rows {
        match table.get(key, key_hash(key), seq(*at), ReadTier::Disk) {
            Ok(found) => {
                assert!(is_as_expected(found.as_ref(), expected(rows, key, *at)), "{what}: {key:?} at {at}");
            }
            Err(error) => assert!(is_damage(&error), "{what}: {error}"),
        }
    }
    let error = table.verify().unwrap_err();
    assert!(is_damage(&error), "{what}: {error}");
}

#[test]
fn every_flipped_byte_is_noticed() {
    let plain = [row("a", 1, Some(b"x")), row("a1", 9, None), row("b", 2, Some(b"yy"))];
    for (fixture, rows) in [(small(), rows()), (Fixture::write(&plain, Compression::None), plain.to_vec())] {
        let bytes = fixture.bytes();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xFF] {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                std::fs::write(fixture.path(), damaged).unwrap();
                assert_noticed(&fixture, &rows, &format!("byte {at} ^ {mask:02x}"));
            }
        }
    }
}

#[test]
fn every_truncation_is_refused_at_open() {
    let fixture = small();
    let bytes = fixture.bytes();
    for len in 0..bytes.len() {
        std::fs::write(fixture.path(), &bytes[..len]).unwrap();
        assert!(is_damage(&fixture.open().unwrap_err_or_panic(len)), "cut to {len}");
        // Also when the manifest has the shorter size.
        let meta = TableMeta { size: len as u64, ..fixture.meta.clone() };
        let opened = fixture.open_as(STORE, meta, 0);
        assert!(is_damage(&opened.unwrap_err_or_panic(len)), "cut to {len}, meta too");
    }
}

#[test]
fn bytes_behind_the_footer_are_refused_at_open() {
    let fixture = small();
    let mut bytes = fixture.bytes();
    bytes.push(0);
    std::fs::write(fixture.path(), &bytes).unwrap();
    assert!(is_damage(&fixture.open().unwrap_err_or_panic(0)));
}

#[test]
fn swapped_blocks_are_noticed() {
    // Two blocks of the same length, each of them valid where it was.
    let rows: Vec<Row> = ["a", "b"].map(|key| row(key, 1, Some(&[7; 5000]))).to_vec();
    let fixture = Fixture::write(&rows, Compression::None);
    let table = fixture.open().unwrap();
    let (first, second) = (data_block(&table, 0), data_block(&table, 1));
    assert_eq!(first.size, second.size);
    let mut bytes = fixture.bytes();
    let (left, right) = bytes.split_at_mut(second.offset as usize);
    left.swap_with_slice(&mut right[..first.stored_bytes()]);
    std::fs::write(fixture.path(), bytes).unwrap();
    let error = table.get(b"a", key_hash(b"a"), Seq::MAX, ReadTier::Disk).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error}");
    assert_noticed(&fixture, &rows, "swapped blocks");
}

#[test]
fn a_table_of_another_store_or_number_is_refused_by_name() {
    let fixture = small();
    let error = fixture.open_as(StoreId([1; 16]), fixture.meta.clone(), 0).unwrap_err_or_panic(0);
    let text = "table 000007 of store a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5, in the wrong place";
    assert!(is_damage(&error) && error.to_string().contains(text), "{error}");
    let meta = TableMeta { number: FileNumber(8), ..fixture.meta.clone() };
    let error = fixture.open_as(STORE, meta, 0).unwrap_err_or_panic(0);
    assert!(is_damage(&error) && error.to_string().contains(text), "{error}");
}

#[test]
fn a_table_that_the_manifest_describes_otherwise_is_refused() {
    let fixture = small();
    let meta = || fixture.meta.clone();
    for wrong in [
        TableMeta { entries: 61, ..meta() },
        TableMeta { tombstones: 0, ..meta() },
        TableMeta { superseded: 29, ..meta() },
        TableMeta { least_seq: seq(2), ..meta() },
        TableMeta { greatest_seq: seq(61), ..meta() },
        TableMeta { smallest: Box::from(&b"key"[..]), ..meta() },
        TableMeta { largest: Box::from(&b"key3"[..]), ..meta() },
        TableMeta { largest_exclusive: true, ..meta() },
    ] {
        let error = fixture.open_as(STORE, wrong, 0).unwrap_err_or_panic(0);
        assert!(is_damage(&error) && error.to_string().contains("do not agree"), "{error}");
    }
}

/// `Table` has no `Debug`, so `unwrap_err` cannot show it.
trait UnwrapErrOrPanic {
    fn unwrap_err_or_panic(self, len: usize) -> Error;
}

impl UnwrapErrOrPanic for Result<Arc<Table>> {
    fn unwrap_err_or_panic(self, len: usize) -> Error {
        self.err().unwrap_or_else(|| panic!("opened with {len} bytes"))
    }
}

fn block(bytes: Vec<u8>) -> Result<Arc<Block>> {
    let path: Arc<std::path::Path> = PathBuf::from("t").into();
    Block::new(bytes, Origin { path, offset: 40 }).map(Arc::new)
}

type Move = fn(&mut BlockCursor) -> Result<()>;

/// Walks over a block in every way; any answer will do as long as it is one.
fn exercise(block: &Arc<Block>, key: &[u8], at: Seq) {
    let _ = block.find(key, at);
    let mut cursor = BlockCursor::new(Arc::clone(block));
    for (start, step) in [
        (BlockCursor::seek_first as Move, BlockCursor::next as Move),
        (BlockCursor::seek_last, BlockCursor::prev),
    ] {
        let mut result = start(&mut cursor);
        while result.is_ok() && cursor.valid() {
            let _ = (cursor.key(), cursor.value(), cursor.at_restart());
            result = step(&mut cursor);
        }
        if let Err(error) = result {
            assert!(matches!(error, Error::Corrupt { offset: 40, .. }), "{error}");
            assert!(!cursor.valid());
        }
    }
    let _ = cursor.seek(key, Trailer::new(at, Kind::Put));
    let _ = cursor.prev();
    let _ = cursor.seek_before(key);
    let _ = cursor.next();
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(
        entries in prop::collection::vec(any::<u8>(), 0..120),
        restarts in prop::collection::vec((0..120u32, 0..120u32), 0..5),
        key in prop::collection::vec(any::<u8>(), 0..5),
        at in 0..1000u64,
    ) {
        let mut bytes = entries;
        bytes.extend(restarts.iter().flat_map(|(head, value)| [head.to_le_bytes(), value.to_le_bytes()].concat()));
        if let Ok(block) = block(bytes.clone()) {
            exercise(&block, &key, seq(at));
        }
        bytes.extend_from_slice(&(restarts.len() as u32).to_le_bytes());
        if let Ok(block) = block(bytes) {
            exercise(&block, &key, seq(at));
        }
    }

    #[test]
    fn nearly_right_payloads_never_panic(
        keys in prop::collection::btree_set("[ab]{0,6}", 1..60),
        at: prop::sample::Index,
        mask in 1..=255u8,
    ) {
        let mut builder = BlockBuilder::new(16);
        for key in &keys {
            builder.add(key.as_bytes(), trailer(5, Kind::Put), b"value");
        }
        let mut bytes = builder.finish().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(block) = block(bytes) {
            for key in &keys {
                exercise(&block, key.as_bytes(), seq(5));
            }
        }
    }
}

#[test]
fn payloads_with_impossible_restarts_or_entries_are_refused() {
    for (what, payload) in [
        ("empty", &b""[..]),
        ("no restart", b"\0\0\0\0"),
        ("first restart not at 0", b"\0\x01\0\x04a\x01\0\0\0\x05\0\0\0\x01\0\0\0"),
        ("restart behind the heads", b"\0\x01\0\x04a\0\0\0\0\x05\0\0\0\x05\0\0\0\x05\0\0\0\x02\0\0\0"),
        ("restarts out of order", b"\0\x01\0\x04a\0\0\0\0\x05\0\0\0\0\0\0\0\x05\0\0\0\x02\0\0\0"),
        ("value behind the values", b"\0\x01\0\x04a\0\0\0\0\x06\0\0\0\x01\0\0\0"),
        ("more restarts than bytes", b"\0\x01\0\x04a\0\0\0\0\xFF\0\0\0"),
        ("no entry", b"\0\0\0\0\0\0\0\0\x01\0\0\0"),
    ] {
        assert!(block(payload.to_vec()).is_err(), "{what}");
    }
    for (what, head, value) in [
        ("shares at a restart", &b"\x01\x01\0\x04a"[..], &b""[..]),
        ("key longer than the heads", b"\0\x02\0\x04a", b""),
        ("value longer than the values", b"\0\x01\x01\x04a", b""),
        ("unknown kind", b"\0\x01\0\x06a", b""),
        ("delete with a value", b"\0\x01\x01\x05a", b"v"),
        ("padded integer", b"\0\x81\0\0\x04a", b""),
    ] {
        let values_start = (head.len() as u32).to_le_bytes();
        let payload = [head, value, b"\0\0\0\0", &values_start, b"\x01\0\0\0"].concat();
        assert!(block(payload).is_err_and(|error| is_damage(&error)), "{what} at a restart");

        // The same behind a good restart, where it is met only by whoever comes that far.
        let good = b"\0\0\0\x08";
        let values_start = ((good.len() + head.len()) as u32).to_le_bytes();
        let payload = [good, head, value, b"\0\0\0\0", &values_start, b"\x01\0\0\0"].concat();
        let mut cursor = BlockCursor::new(block(payload).unwrap_or_else(|error| panic!("{what}: {error}")));
        cursor.seek_first().unwrap();
        assert!(is_damage(&cursor.next().unwrap_err()), "{what}");
        assert!(is_damage(&cursor.seek_last().unwrap_err()), "{what}");
        assert!(is_damage(&cursor.seek(b"a", trailer(1, Kind::Put)).unwrap_err()), "{what}");
        assert!(!cursor.valid());
    }
}

#[test]
fn a_value_that_no_entry_owns_is_refused() {
    let payload = b"\0\x01\0\x04av\0\0\0\0\x05\0\0\0\x01\0\0\0".to_vec();
    let mut cursor = BlockCursor::new(block(payload).unwrap_or_else(|error| panic!("{error}")));
    cursor.seek_first().unwrap();
    assert!(is_damage(&cursor.next().unwrap_err()));
    assert!(is_damage(&cursor.seek_last().unwrap_err()));
}
