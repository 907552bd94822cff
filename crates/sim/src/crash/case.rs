//! One case: a scenario with a seed, run once and crashed everywhere.

use super::config::Config;
use super::explore::{Depth, Explorer, Recording, Tally};
use super::ledger::Ledger;
use super::script::{Script, Step};
use super::session::{Check, STORE, Session};
use super::verify;
use crate::disk::{Crash, Disk, Op, SimFs};
use crate::model::Model;
use crate::random::Random;
use fountain_lsm::{Db, ManualClock, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// What a case did beside its crash states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// The crash states.
    pub tally: Tally,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// States of a disk that had lied about its last syncs.
    pub lies: u64,
    /// Those of them that were refused as damaged.
    pub lies_noticed: u64,
}

/// Runs a case; what is wrong is told in words.
pub fn run(seed: u64, script: &Script, depth: Depth, counts: &mut Counts) -> Check<()> {
    let config = Config::from_seed(seed);
    let recording = record(&config, seed, &script.0)?;
    let mut explorer = Explorer::new(&config, depth, seed);
    let explored = explorer.explore(&recording);
    let checked = explored
        .and_then(|()| failing_syncs(&config, seed, script, &recording, &mut explorer, counts))
        .and_then(|()| lies(&config, &recording, seed, counts));
    counts.tally.add(&explorer.tally);
    checked
}

fn record(config: &Config, seed: u64, steps: &[Step]) -> Check<Recording> {
    let before = Disk::default();
    let fs = SimFs::new(before.clone());
    fs.record();
    let mut session = Session::new(config, fs, Model::default(), seed);
    session.open(&Ledger::default())?;
    session.run(steps)?;
    session.end(Random::nth(seed, 0xED).one_in(2))?;
    Ok(Recording::of(session, before, Ledger::default(), Model::default()))
}

/// P6: a sync fails and the machine goes on. The process ends, another opens the store from what the machine shows, and
/// then the power fails, which loses what the failed sync should have written.
fn failing_syncs(
    config: &Config,
    seed: u64,
    script: &Script,
    recording: &Recording,
    explorer: &mut Explorer<'_>,
    counts: &mut Counts,
) -> Check<()> {
    let syncs = recording.ops.iter().filter(|op| matches!(op, Op::Sync { .. })).count();
    let mut random = Random::nth(seed, 0xF5);
    for _ in 0..syncs.min(3) {
        let after = random.below(syncs);
        fail_one_sync(config, seed, script, after, explorer)
            .map_err(|what| format!("{what}\n  sync {after} failed"))?;
        counts.failed_syncs += 1;
    }
    Ok(())
}

fn fail_one_sync(
    config: &Config,
    seed: u64,
    script: &Script,
    after: usize,
    explorer: &mut Explorer<'_>,
) -> Check<()> {
    let fs = SimFs::default();
    fs.fail_sync_after(after);
    let mut session = Session::new(config, fs.clone(), Model::default(), seed);
    session.faulty = true;
    // A store that could not be created may be there or not, and holds nothing.
    let opened = session.open(&Ledger::default());
    let ledger = match opened {
        Ok(_) => {
            session.run(&script.0)?;
            session.end(false)?;
            let mut ledger = Ledger::default();
            session.marks.iter().for_each(|(_, mark)| ledger.note(mark));
            ledger
        }
        Err(what) if !fs.has_failed() => return Err(what),
        Err(_) => Ledger::default(),
    };
    explorer.after_kill(&fs.disk(), &ledger, &session.model)
}

/// P7: the disk said that syncs had happened, and up to three of the last ones had not. Commits may be missing then, but
/// what opens holds a prefix of them and no more.
fn lies(config: &Config, recording: &Recording, seed: u64, counts: &mut Counts) -> Check<()> {
    let is_sync = |op: &Op| matches!(op, Op::Sync { .. } | Op::SyncDir { .. });
    let syncs: Vec<usize> =
        recording.ops.iter().enumerate().filter(|(_, op)| is_sync(op)).map(|(index, _)| index).collect();
    let mut random = Random::nth(seed, 0x11);
    for _ in 0..syncs.len().min(6) {
        let last = random.below(syncs.len());
        let recent = &syncs[(last + 1).saturating_sub(RECENT_SYNCS)..=last];
        let left_out = [0; 3].map(|_| *random.pick(recent));
        let mut disk = recording.before.clone();
        for (index, op) in recording.ops[..=syncs[last]].iter().enumerate() {
            if !left_out.contains(&index) {
                disk.apply(op);
            }
        }
        counts.lies += 1;
        counts.lies_noticed += u64::from(lied(config, &disk, recording)?);
    }
    Ok(())
}

/// Syncs among which those that a disk lies about are chosen.
const RECENT_SYNCS: usize = 8;

/// Whether the lie was noticed; if not, what is there must be a prefix.
fn lied(config: &Config, disk: &Disk, recording: &Recording) -> Check<bool> {
    let fs = SimFs::new(disk.crash(&Crash::Synced));
    let clock = Arc::new(ManualClock::new(Timestamp::UNKNOWN));
    let Ok(db) = Db::open(Path::new(STORE), config.options(&fs, &clock)) else { return Ok(true) };
    let state = verify::state_at(&db, db.visible(), &recording.model_after);
    state.map(|()| false).map_err(|what| format!("after a disk lied, {what}"))
}
