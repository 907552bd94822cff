//! Cursors and reads against a sorted list.

use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::key_hash;
use super::*;
use crate::ReadTier;
use crate::table::TableCursor;

/// Position in the model: `None` where the cursor is not valid.
type Position = Option<usize>;

#[derive(Clone, Debug)]
enum Step {
    First,
    Last,
    Seek(Vec<u8>, u64),
    SeekBefore(Vec<u8>),
    Next,
    Prev,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(0..3u8, 0..5),
        (0..60u32).prop_map(|n| format!("collection/{n:03}").into_bytes()),
        // Long runs of equal prefixes.
        (0..2u8, 0..100u8)
            .prop_map(|(a, b)| [b"collection/".as_slice(), &[a], b"/alike/alike/", &[b]].concat()),
        vec(any::<u8>(), 0..20),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![
        1 => Just(None),
        6 => vec(any::<u8>(), 0..40).prop_map(Some),
        2 => (any::<u8>(), 200..1500usize).prop_map(|(byte, len)| Some(vec![byte; len])),
    ];
    vec((key(), 1..30u64, value), 1..150).prop_map(in_order)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::First),
        1 => Just(Step::Last),
        3 => (key(), 0..31u64).prop_map(|(key, at)| Step::Seek(key, at)),
        3 => key().prop_map(Step::SeekBefore),
        8 => Just(Step::Next),
        8 => Just(Step::Prev),
    ]
}

fn compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(vec![
        Compression::None,
        Compression::Lz4,
        #[cfg(feature = "zstd")]
        Compression::Zstd,
    ])
}

/// From the usual blocks to those of one version, from the usual indexes to those of which each leaf names one block.
fn layout() -> impl Strategy<Value = TableLayout> {
    let tiny = (0..600usize, 0..600usize, 1..6u16).prop_map(|(block_bytes, index_bytes, leaf_blocks)| {
        TableLayout { block_bytes, index_bytes, leaf_blocks: NonZeroU16::new(leaf_blocks).unwrap() }
    });
    prop_oneof![1 => Just(TableLayout::default()), 3 => tiny]
}

fn model_step(rows: &[Row], at: Position, step: &Step) -> Position {
    match step {
        Step::First => Some(0),
        Step::Last => Some(rows.len() - 1),
        Step::Seek(key, seq) => rows.iter().position(|(k, s, _)| k > key || (k == key && s <= seq)),
        Step::SeekBefore(key) => rows.iter().rposition(|(k, ..)| k < key),
        Step::Next => at.map(|at| at + 1).filter(|&at| at < rows.len()),
        Step::Prev => at.and_then(|at| at.checked_sub(1)),
    }
}

fn cursor_step(cursor: &mut TableCursor, step: &Step) -> Result<()> {
    match step {
        Step::First => cursor.seek_first(),
        Step::Last => cursor.seek_last(),
        Step::Seek(key, at) => cursor.seek(key, trailer(*at, Kind::Put)),
        Step::SeekBefore(key) => cursor.seek_before(key),
        Step::Next => cursor.next(),
        Step::Prev => cursor.prev(),
    }
}

fn at_row(cursor: &TableCursor) -> Option<Row> {
    cursor.valid().then(|| {
        let value = (cursor.trailer().kind() == Kind::Put).then(|| cursor.value().to_vec());
        (cursor.key().to_vec(), cursor.trailer().seq().get(), value)
    })
}

fn scan(cursor: &mut TableCursor, step: &Step) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(row) = at_row(cursor) {
        rows.push(row);
        cursor_step(cursor, step).unwrap();
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_cursor_moves_like_an_index_into_a_sorted_list(
        rows in rows(),
        compression in compression(),
        layout in layout(),
        steps in vec(step(), 1..80),
    ) {
        let table = Fixture::write_as(&rows, compression, layout).open().unwrap();
        let mut cursor = table.cursor(ReadTier::Disk);
        let mut at = None;
        for step in steps {
            at = model_step(&rows, at, &step);
            cursor_step(&mut cursor, &step).unwrap();
            prop_assert_eq!(at_row(&cursor), at.map(|at| rows[at].clone()), "after {:?}", step);
        }
    }

    #[test]
    fn a_scan_forwards_is_the_rows_and_one_in_reverse_the_same_reversed(
        rows in rows(),
        compression in compression(),
        layout in layout(),
    ) {
        let table = Fixture::write_as(&rows, compression, layout).open().unwrap();
        let mut cursor = table.cursor(ReadTier::Disk);
        cursor.seek_first().unwrap();
        prop_assert_eq!(&scan(&mut cursor, &Step::Next), &rows);
        cursor.seek_last().unwrap();
        let mut reversed = scan(&mut cursor, &Step::Prev);
        reversed.reverse();
        prop_assert_eq!(&reversed, &rows);
    }

    #[test]
    fn a_cursor_as_of_a_sequence_comes_by_all_that_is_visible_then(
        rows in rows(),
        compression in compression(),
        layout in layout(),
        key in key(),
    ) {
        let table = Fixture::write_as(&rows, compression, layout).open().unwrap();
        for at in (0..31).step_by(3) {
            let visible = |found: &[Row]| -> Vec<Row> {
                let mut found: Vec<Row> = found.iter().filter(|(_, seq, _)| *seq <= at).cloned().collect();
                found.dedup_by(|a, b| a.0 == b.0);
                found
            };
            let mut cursor = table.cursor_at(ReadTier::Disk, seq(at));
            cursor.seek_first().unwrap();
            prop_assert_eq!(visible(&scan(&mut cursor, &Step::Next)), visible(&rows));
            cursor.seek_last().unwrap();
            let mut reversed = scan(&mut cursor, &Step::Prev);
            reversed.reverse();
            prop_assert_eq!(visible(&reversed), visible(&rows));
            cursor.seek(&key, trailer(at, Kind::Put)).unwrap();
            let start = rows.partition_point(|(found, ..)| *found < key);
            prop_assert_eq!(visible(&scan(&mut cursor, &Step::Next)), visible(&rows[start..]));
            cursor.seek_before(&key).unwrap();
            let mut reversed = scan(&mut cursor, &Step::Prev);
            reversed.reverse();
            prop_assert_eq!(visible(&reversed), visible(&rows[..start]));
        }
    }

    #[test]
    fn a_point_read_finds_the_newest_version_in_time(
        rows in rows(),
        compression in compression(),
        layout in layout(),
        others in vec(key(), 0..50),
    ) {
        let table = Fixture::write_as(&rows, compression, layout).open().unwrap();
        for key in rows.iter().map(|(key, ..)| key).chain(&others) {
            for at in 0..31 {
                let found = table.get(key, key_hash(key), seq(at), ReadTier::Disk).unwrap();
                prop_assert!(is_as_expected(found.as_ref(), expected(&rows, key, at)), "{:?} at {}", key, at);
            }
        }
        table.verify().unwrap();
    }
}
