//! Tables whose index is too large to stay in memory.

use super::*;
use crate::limits::{INDEX_LEAF_BLOCKS, MAX_KEY_BYTES};
use crate::table::{MultiGet, key_hash};
use crate::{Error, ReadTier};

/// Keys that no separator can shorten, each in a data block of its own, one in five with older versions.
fn rows() -> Vec<Row> {
    let key = |n: u64| [vec![b'k'; MAX_KEY_BYTES - 4], format!("{n:04}").into_bytes()].concat();
    let versions = |n: u64| if n.is_multiple_of(5) { 8 } else { 1 };
    let rows =
        (0..300u64).flat_map(|n| (0..versions(n)).map(move |version| row(key(n), version + 1, Some(b"v"))));
    in_order(rows.collect())
}

fn open(fixture: &Fixture, cache_bytes: usize) -> Arc<Table> {
    let table = fixture.open_as(STORE, fixture.meta.clone(), cache_bytes).unwrap();
    for section in [Section::Current, Section::History] {
        assert!(
            table.tail.index(section).unwrap().has_leaves()
                && table.blocks(section) > usize::from(INDEX_LEAF_BLOCKS.get())
        );
    }
    table
}

#[test]
fn only_the_root_stays_in_memory_and_everything_is_found() {
    let rows = rows();
    let fixture = Fixture::write(&rows, Compression::None);
    let table = open(&fixture, 32 << 20);
    assert!(table.memory_bytes() < 100_000, "{}", table.memory_bytes());
    for (key, at, _) in &rows {
        for at in [at - 1, *at, Seq::MAX.get()] {
            let found = table.get(key, key_hash(key), seq(at), ReadTier::Disk).unwrap();
            assert!(is_as_expected(found.as_ref(), expected(&rows, key, at)), "at {at}");
        }
    }
    for at in [seq(3), Seq::MAX] {
        let mut reads = MultiGet::new(&table, at, ReadTier::Disk);
        for (key, ..) in &rows {
            let found = reads.get(key).unwrap().map(|(_, version)| version);
            assert!(is_as_expected(found.as_ref(), expected(&rows, key, at.get())), "at {at}");
        }
    }
    for mut cursor in [table.cursor(ReadTier::Disk), table.cursor_past_cache()] {
        cursor.seek_first().unwrap();
        for (key, at, _) in &rows {
            assert_eq!((cursor.key(), cursor.trailer().seq()), (key.as_slice(), seq(*at)));
            cursor.next().unwrap();
        }
        assert!(!cursor.valid());
        cursor.seek_last().unwrap();
        for (key, at, _) in rows.iter().rev() {
            assert_eq!((cursor.key(), cursor.trailer().seq()), (key.as_slice(), seq(*at)));
            cursor.prev().unwrap();
        }
        cursor.seek(b"z", trailer(1, Kind::Put)).unwrap();
        assert!(!cursor.valid());
    }
    table.verify().unwrap();
}

#[test]
fn a_memory_read_needs_the_leaf_in_memory_too() {
    let rows = rows();
    let fixture = Fixture::write(&rows, Compression::None);
    let table = open(&fixture, 32 << 20);
    let key = &rows[0].0;
    let get = |tier| table.get(key, key_hash(key), Seq::MAX, tier);
    assert!(matches!(get(ReadTier::Memory), Err(Error::WouldBlock)));
    assert!(matches!(get(ReadTier::Disk), Ok(Some(Version::Put(_)))));
    assert!(matches!(get(ReadTier::Memory), Ok(Some(Version::Put(_)))));
}

#[test]
fn who_only_guesses_counts_as_no_lookup_whether_the_leaf_is_in_memory_or_not() {
    let rows = rows();
    let fixture = Fixture::write(&rows, Compression::None);
    let table = open(&fixture, 32 << 20);
    let index = table.tail.index(Section::Current).unwrap();
    let key = &rows[rows.len() / 4].0;
    let guess = || (index.blocks_before(&table, key).unwrap(), index.ends_before(&table, 0, key));
    let counted = || (table.cache().stats().hits, table.cache().stats().misses);
    assert_eq!(guess(), (usize::from(INDEX_LEAF_BLOCKS.get()) / 2, false), "the middle of the leaf");
    assert_eq!(counted(), (0, 0));
    let exactly = index.lower_bound(&table, key, Seq::MAX, ReadTier::Disk).unwrap();
    assert!((50..100).contains(&exactly), "{exactly}");
    let before = counted();
    assert_eq!(guess(), (exactly, true));
    assert_eq!(counted(), before);
}

#[test]
fn damage_in_a_leaf_is_noticed() {
    let rows = rows();
    let fixture = Fixture::write(&rows, Compression::None);
    let leaves = open(&fixture, 0).tail.index(Section::Current).unwrap().root_handles().unwrap();
    assert_eq!(leaves.len(), 2);
    let bytes = fixture.bytes();
    for leaf in leaves {
        for at in [0, 1, leaf.stored_bytes() / 2, leaf.stored_bytes() - 1] {
            let mut damaged = bytes.clone();
            damaged[leaf.offset as usize + at] ^= 1;
            std::fs::write(fixture.path(), damaged).unwrap();
            let table = open(&fixture, 0);
            assert!(matches!(table.verify(), Err(Error::Corrupt { offset, .. }) if offset == leaf.offset));
        }
    }
}
