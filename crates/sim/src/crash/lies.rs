//! Disks that do less than every store must count on. What was acknowledged may be missing then, and nothing can be done
//! about that; but nothing else may happen: what opens holds a prefix of the commits, each read is right or says that
//! there is damage, and a store in which all is right takes commits that stay.
//!
//! Two kinds: syncs that were reported and had not happened (P7), and writes that spoil their neighbours in the sector,
//! though those had been synced.

use std::path::Path;
use std::sync::Arc;

use fountain_lsm::{
    Db, Direction, Durability, Error, KeyRange, ManualClock, ReadTier, Timestamp, WriteBatch,
};

use super::config::Config;
use super::explore::Recording;
use super::session::{Check, STORE};
use crate::disk::{Crash, Disk, Op, SimFs};
use crate::model::{Model, State};
use crate::random::Random;

/// What was done and found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// States of a disk that had lied about its last syncs.
    pub lies: u64,
    /// Those of them that were refused as damaged.
    pub lies_noticed: u64,
    /// States of a disk that had spoilt whole sectors.
    pub spoilt: u64,
    /// Those of them that were refused as damaged.
    pub spoilt_noticed: u64,
}

/// Syncs among which those that a disk lies about are chosen.
const RECENT_SYNCS: usize = 8;
/// Lies tried in a case, and moments at which sectors are spoilt.
const TRIES: usize = 6;

/// Lets the disk of a recording do both.
pub fn explore(config: &Config, recording: &Recording, seed: u64, tally: &mut Tally) -> Check<()> {
    let mut random = Random::nth(seed, 0x11);
    let syncs: Vec<usize> = recording.positions(|op| matches!(op, Op::Sync { .. } | Op::SyncDir { .. }));
    for _ in 0..syncs.len().min(TRIES) {
        let last = random.below(syncs.len());
        let recent = &syncs[(last + 1).saturating_sub(RECENT_SYNCS)..=last];
        let left_out = [0; 3].map(|_| *random.pick(recent));
        let disk = disk_after(recording, syncs[last], &left_out);
        let noticed = judge(config, &disk.crash(&Crash::Synced), &recording.model_after)
            .map_err(|what| format!("{what}\n  after the disk lied about the syncs {left_out:?}"))?;
        tally.lies += 1;
        tally.lies_noticed += u64::from(noticed);
    }
    let writes = recording.positions(|op| matches!(op, Op::Write { .. }));
    for _ in 0..writes.len().min(TRIES) {
        let (last, crash) = (*random.pick(&writes), Crash::Beside(random.bits()));
        let disk = disk_after(recording, last, &[]);
        let noticed = judge(config, &disk.crash(&crash), &recording.model_after)
            .map_err(|what| format!("{what}\n  after change {last} and {crash:?}"))?;
        tally.spoilt += 1;
        tally.spoilt_noticed += u64::from(noticed);
    }
    Ok(())
}

/// The disk after a change, when some changes before it have not happened.
fn disk_after(recording: &Recording, last: usize, left_out: &[usize]) -> Disk {
    let mut disk = recording.before.clone();
    for (index, op) in recording.ops[..=last].iter().enumerate() {
        if !left_out.contains(&index) {
            disk.apply(op);
        }
    }
    disk
}

/// Whether the store says that it is damaged. If it does not, what it holds is a prefix of the commits, and it goes on.
fn judge(config: &Config, image: &Disk, model: &Model) -> Check<bool> {
    let fs = SimFs::new(image.clone());
    let open = || {
        let clock = Arc::new(ManualClock::new(Timestamp::UNKNOWN));
        Db::open(Path::new(STORE), config.options(&fs, &clock))
    };
    let db = match open() {
        Ok(db) => db,
        Err(error) => return damage(&error).map(|()| true),
    };
    let last = db.visible().get();
    let state = model.at(last).ok_or_else(|| format!("sequence {last} never happened"))?;
    if let Err(error) = db.verify() {
        damage(&error)?;
        // What is not damaged can still be read, and that is right.
        compare(&db, state)?;
        return Ok(true);
    }
    if compare(&db, state)? {
        return Err("a scrub finds nothing, but a read finds damage".to_owned());
    }
    let mut added = state.clone();
    added.insert(b"later".as_slice().into(), b"value".as_slice().into());
    let mut batch = WriteBatch::new();
    let put = batch.put(b"later", b"value").and_then(|()| db.commit(batch, Durability::Disk));
    put.map_err(|error| format!("a store that is sound refuses a commit: {error}"))?;
    drop(db);
    let db = open().map_err(|error| format!("a store that was sound does not open again: {error}"))?;
    if db.visible().get() != last + 1 || compare(&db, &added)? {
        return Err(format!("a commit after {last} did not stay"));
    }
    Ok(false)
}

/// Reads everything, both ways and key by key. Whether damage was met; what was read until then is right.
fn compare(db: &Db, expected: &State) -> Check<bool> {
    let mut damaged = false;
    for (key, value) in expected {
        match db.get_newest(key, ReadTier::Disk) {
            Ok(Some(found)) if *found == **value => {}
            Ok(found) => return Err(format!("{} is {found:?}", key.escape_ascii())),
            Err(error) => damage(&error).map(|()| damaged = true)?,
        }
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        let found = scan(db, direction, expected)?;
        damaged |= found;
    }
    Ok(damaged)
}

/// Whether a scan ended in damage.
fn scan(db: &Db, direction: Direction, expected: &State) -> Check<bool> {
    let mut records: Vec<_> = expected.iter().collect();
    if direction == Direction::Reverse {
        records.reverse();
    }
    let mut records = records.into_iter();
    let mut cursor = match db.cursor(KeyRange::default(), db.visible(), direction, ReadTier::Disk) {
        Ok(cursor) => cursor,
        Err(error) => return damage(&error).map(|()| true),
    };
    loop {
        match cursor.next() {
            Err(error) => return damage(&error).map(|()| true),
            Ok(false) => break,
            Ok(true) => match records.next() {
                Some((key, value)) if (&**key, &**value) == (cursor.key(), cursor.value()) => {}
                other => {
                    let found = cursor.key().escape_ascii();
                    return Err(format!("{found} is there where {other:?} was expected"));
                }
            },
        }
    }
    records.next().map_or(Ok(false), |(key, _)| Err(format!("{} is not there", key.escape_ascii())))
}

/// Nothing but damage is a reason to refuse: in particular no error of the system, and no answer that there is nothing.
fn damage(error: &Error) -> Check<()> {
    match error {
        Error::Corrupt { .. } | Error::NotAStore { .. } => Ok(()),
        other => Err(format!("instead of damage it says: {other}")),
    }
}
