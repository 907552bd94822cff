//! Indexes whose build is cut short by a crash, at every change of the disk.
//!
//! A store on a simulated disk defines indexes over records that are there already, and goes on writing while they are
//! built; all that happens to the disk is recorded. Then it is crashed at moments all along the recording and opened; the
//! builds go on where they were, and in the end each index that is defined holds what its records say, and no more.

use std::path::Path;
use std::sync::Arc;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::from_json;
use fountain_engine::{
    Bounds, CollectionId, CollectionOptions, Direction, Durability, ErrorCode, IndexScan, IndexScanEnd,
    ManualClock, Page, ReadTier, ScanEnd, ScanRequest, Store, Timestamp, View, WriteSet,
};

use super::Tally;
use super::list::INDEXES;
use super::player::{STORE, Setup, definition, told};
use crate::disk::{Crash, Disk, SimFs};
use crate::metamorphic::storage::place::Place;
use crate::random::Random;

/// Moments of a recording at which the machine crashes.
const CRASHES: usize = 24;

/// One recording, and crashes all along it.
///
/// # Errors
/// The first complaint, with the moment and the crash.
pub fn case(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random::nth(seed, 0xB01D);
    let (before, ops) = record(&mut random).map_err(told)?;
    let stride = ops.len().div_ceil(CRASHES).max(1);
    let mut disk = before;
    let first = random.below(stride);
    for (index, op) in ops.iter().enumerate() {
        disk.apply(op);
        if index % stride != first {
            continue;
        }
        let crash = match random.below(4) {
            0 => Crash::Kill,
            1 => Crash::Synced,
            2 => Crash::Prefix(random.bits()),
            _ => Crash::Sectors(random.bits()),
        };
        let fs = SimFs::new(disk.crash(&crash));
        check(&fs)
            .map_err(|what| format!("documents, after change {index} of a build, {crash:?}: {what}"))?;
        tally.builds += 1;
    }
    Ok(())
}

fn open(fs: &SimFs) -> fountain_engine::Result<Store> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    Store::open(Path::new(STORE), Setup::Small.options(&Place::Simulated(fs.clone()), &clock))
}

/// The disk before, and what happened to it.
fn record(random: &mut Random) -> fountain_engine::Result<(Disk, Vec<crate::disk::Op>)> {
    let fs = SimFs::default();
    let store = open(&fs)?;
    let collection = store.create_collection("plain", CollectionOptions::default(), Durability::Disk)?;
    let count = random.within(300..900) as u32;
    for start in (0..count).step_by(100) {
        write(&store, collection, start..count.min(start + 100), 0)?;
    }
    let before = fs.record_from();
    let mut indexes = Vec::new();
    for (index, (_, unique, ..)) in INDEXES.iter().enumerate() {
        if *unique || random.one_in(2) {
            indexes.push(store.create_index(collection, definition(index)?, Durability::Disk)?);
        }
        let from = random.below(count as usize) as u32;
        write(&store, collection, from..from + 5, 1 + index as u32)?;
    }
    for index in indexes {
        store.wait_for_index(index)?;
    }
    store.close()?;
    Ok((before, fs.take_recording()))
}

/// Puts records; names are unique in every round. One in four is deleted again.
fn write(
    store: &Store,
    collection: CollectionId,
    keys: std::ops::Range<u32>,
    round: u32,
) -> fountain_engine::Result<()> {
    let mut set = WriteSet::new();
    for number in keys {
        let key = encode(&Key::Number(f64::from(number)))?;
        let text =
            format!(r#"{{"n":{},"e":"e{number}.{round}","t":[{},{round}]}}"#, number % 7, number % 3 + 10);
        set.put(collection, &key, &store.encode(&from_json(&text)?)?)?;
        if round > 0 && number % 4 == 0 {
            set.delete(collection, &key)?;
        }
    }
    store.commit(set, Durability::Disk).map(|_| ())
}

/// Opens what a crash left, lets builds end, and compares every index with the records.
fn check(fs: &SimFs) -> Result<(), String> {
    let store = open(fs).map_err(told)?;
    let collection = store.collection("plain").map_err(told)?;
    let info = store.collection_info("plain").map_err(told)?.ok_or("the collection is gone")?;
    for index in &info.indexes {
        match store.wait_for_index(index.id) {
            Ok(()) => {}
            Err(error) if error.code == ErrorCode::NoIndex => continue,
            Err(error) => return Err(told(error)),
        }
        let name = index.definition.name();
        let number = INDEXES.iter().position(|known| known.0 == name).ok_or("an index nobody defined")?;
        let want = expected(&store, collection, number).map_err(told)?;
        let found = entries(&store, collection, name).map_err(told)?;
        if found != want {
            let place = found.iter().zip(&want).take_while(|(found, want)| found == want).count();
            return Err(format!(
                "index {name} has {} entries, {} are due; they differ from {place} on",
                found.len(),
                want.len()
            ));
        }
    }
    store.close().map_err(told)
}

/// The keys that an index must lead to, one for each entry, sorted: worked out by reading everything.
fn expected(store: &Store, collection: CollectionId, number: usize) -> fountain_engine::Result<Vec<Vec<u8>>> {
    let mut request = ScanRequest {
        collection,
        range: fountain_engine::KeyRange::default(),
        direction: Direction::Forward,
        at: View::Newest,
        max_records: 1000,
        max_bytes: usize::MAX,
    };
    let (mut want, mut page) = (Vec::new(), Page::new());
    // Every record has both tags, a number and a name.
    let count = if INDEXES[number].2[0] == "t[]" { 2 } else { 1 };
    loop {
        let end = store.scan(&request, ReadTier::Disk, &mut page)?;
        want.extend(page.records().flat_map(|(key, _)| std::iter::repeat_n(key.to_vec(), count)));
        if end == ScanEnd::Done {
            return Ok(want);
        }
        request.continue_after(&page);
    }
}

fn entries(store: &Store, collection: CollectionId, name: &str) -> fountain_engine::Result<Vec<Vec<u8>>> {
    let mut request = IndexScan {
        collection,
        index: name.to_owned(),
        bounds: Bounds::all(),
        direction: Direction::Forward,
        at: View::Newest,
        after: None,
        max_records: 1000,
        max_bytes: usize::MAX,
    };
    let (mut found, mut page) = (Vec::new(), Page::new());
    loop {
        let end = store.scan_index(&request, ReadTier::Disk, &mut page)?;
        found.extend(page.records().map(|(key, _)| key.to_vec()));
        match end {
            IndexScanEnd::Done => break,
            IndexScanEnd::More(after) => request.after = Some(after),
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_is_cut_short_anywhere_ends_with_a_whole_index() {
        let mut tally = Tally::default();
        for seed in 0..3 {
            case(seed, &mut tally).unwrap();
        }
        assert!(tally.builds >= 45, "{tally:?}");
    }
}
