//! What is read of damaged logs for verification and salvage: it goes on behind damage, so beside what all decoders promise,
//! nothing may turn up that was never written, and nothing may be missing that is not told to be.

use std::sync::OnceLock;

use super::logs::{self, FIRST, SECOND, STORE, Told, paths, seq};
use super::{Decoded, Disk, digest};
use crate::manifest::{StoreState, load, survey_manifest};
use crate::types::Seq;
use crate::wal::survey_log;

/// What a sound log of two segments tells.
fn whole_log() -> &'static [String] {
    static TOLD: OnceLock<Vec<String>> = OnceLock::new();
    TOLD.get_or_init(|| {
        let first = logs::segment(FIRST, false).unwrap_or_default();
        survey(&first).0
    })
}

/// The last commits of the two segments.
const LAST: u64 = 8;

/// What is told of a log whose first segment is `input`, and whether all of it is right.
fn survey(input: &[u8]) -> (Vec<String>, bool) {
    static NEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let disk = Disk::with(paths().wal(FIRST), input);
    disk.put(paths().wal(SECOND), NEXT.get_or_init(|| logs::segment(SECOND, true).unwrap_or_default()));
    let mut told = Told::default();
    let found = survey_log(&disk, &paths(), STORE, &[FIRST, SECOND], Some(Seq::ZERO), &mut told);
    let is_sound = found.lost.is_empty() && found.segments.iter().all(|segment| segment.faults.is_empty());
    for commit in (1..=LAST).map(seq) {
        let is_lost = found.lost.iter().any(|lost| (lost.first..=lost.last).contains(&commit));
        assert!(is_lost || told.0.contains(&commit.to_string()), "commit {commit} is missing in silence");
    }
    (told.0, is_sound)
}

pub(super) fn run_segment(input: &[u8]) -> Decoded {
    let (told, is_sound) = survey(input);
    assert!(told.iter().all(|line| whole_log().contains(line)), "something that was never written");
    is_sound.then(|| digest(told))
}

/// What a sound manifest adds up to.
fn whole_state() -> &'static StoreState {
    static STATE: OnceLock<StoreState> = OnceLock::new();
    STATE.get_or_init(|| {
        let disk = logs::manifest_disk().ok();
        disk.and_then(|disk| load(disk.as_ref(), &paths()).ok()).map(|found| found.state).unwrap_or_default()
    })
}

pub(super) fn run_manifest(input: &[u8]) -> Decoded {
    let disk = Disk::with(paths().manifest(FIRST), input);
    let found = survey_manifest(&disk, &paths(), FIRST).ok()?;
    let state = &found.state;
    for (number, (level, meta)) in &state.tables {
        let is_known = match whole_state().tables.get(number) {
            Some(whole) => *whole == (*level, meta.clone()),
            // Those that a later edit removed.
            None => [3, 4].contains(&number.0) && *level == 0,
        };
        assert!(is_known, "table {number} was never in level {level} like this");
    }
    assert!(state.last_seq <= whole_state().last_seq && state.next_file <= whole_state().next_file);
    found.is_sound().then(|| digest(format!("{:?} {state:?}", found.store)))
}
