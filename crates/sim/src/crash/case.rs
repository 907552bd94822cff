//! One case: a scenario with a seed, run once and crashed everywhere.

use super::config::Config;
use super::explore::{Depth, Explorer, Recording, Tally};
use super::ledger::Ledger;
use super::lies;
use super::script::{Script, Step};
use super::session::{Check, Session};
use crate::disk::{Disk, Op, SimFs};
use crate::model::Model;
use crate::protocol::Judged;
use crate::random::Random;

/// What a case did beside its crash states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// The crash states.
    pub tally: Tally,
    /// Syncs of files that failed.
    pub failed_syncs: u64,
    /// Syncs of directories that failed.
    pub failed_dir_syncs: u64,
    /// Disks that did less than they must.
    pub lies: lies::Tally,
}

/// Runs a case; what is wrong is told in words. With or without syncs that fail and disks that lie.
pub fn run(seed: u64, script: &Script, depth: Depth, bad_disks: bool, counts: &mut Counts) -> Check<()> {
    let config = Config::from_seed(seed);
    let recording = record(&config, seed, &script.0)?;
    let mut explorer = Explorer::new(&config, depth, seed);
    let explored = explorer.explore(&recording);
    if !bad_disks {
        counts.tally.add(&explorer.tally);
        return explored;
    }
    let checked = explored
        .and_then(|()| failing_syncs(&config, seed, script, &recording, &mut explorer, counts))
        .and_then(|()| lies::explore(&config, &recording, seed, &mut counts.lies));
    counts.tally.add(&explorer.tally);
    checked
}

/// Runs a scenario and looks at nothing but the order of its changes: whatever else is wrong is for others to find.
pub fn order(seed: u64, script: &Script, judged: &mut Judged) -> Check<()> {
    let config = Config::from_seed(seed);
    let Ok(recording) = record(&config, seed, &script.0) else { return Ok(()) };
    let mut explorer = Explorer::new(&config, Depth { second: 1, third: 1, crashes: 1 }, seed);
    let checked = explorer.order(&recording);
    *judged += explorer.tally.judged;
    checked
}

fn record(config: &Config, seed: u64, steps: &[Step]) -> Check<Recording> {
    let before = Disk::default();
    let fs = SimFs::new(before.clone());
    fs.record();
    let mut session = Session::new(config, fs, Model::default(), &Ledger::default(), seed);
    session.open(&Ledger::default())?;
    session.run(steps)?;
    session.end(Random::nth(seed, 0xED).one_in(2))?;
    Ok(Recording::of(session, before, Ledger::default(), Model::default()))
}

/// P6: a sync of a file or a directory fails and the machine goes on.
fn failing_syncs(
    config: &Config,
    seed: u64,
    script: &Script,
    recording: &Recording,
    explorer: &mut Explorer<'_>,
    counts: &mut Counts,
) -> Check<()> {
    let syncs: Vec<_> = recording.ops.iter().filter(|op| is_sync(op)).collect();
    let of_files = syncs.iter().map(|op| matches!(op, Op::Sync { .. }));
    let (files, dirs): (Vec<_>, Vec<_>) = (0..syncs.len()).zip(of_files).partition(|(_, of_file)| *of_file);
    let mut random = Random::nth(seed, 0xF5);
    for (list, count) in [(files, 2), (dirs, 1)] {
        for _ in 0..list.len().min(count) {
            let (after, _) = *random.pick(&list);
            let failed = fail_one_sync(config, seed, script, after, explorer)
                .map_err(|what| format!("{what}\n  sync {after} failed"))?;
            match failed {
                Some(Op::FailedSyncDir { .. }) => counts.failed_dir_syncs += 1,
                Some(_) => counts.failed_syncs += 1,
                None => {}
            }
        }
    }
    Ok(())
}

const fn is_sync(op: &Op) -> bool {
    matches!(op, Op::Sync { .. } | Op::SyncDir { .. })
}

/// Gives the change that became a failure. With another draw of what follows there may be fewer syncs, and none.
fn fail_one_sync(
    config: &Config,
    seed: u64,
    script: &Script,
    after: usize,
    explorer: &mut Explorer<'_>,
) -> Check<Option<Op>> {
    let fs = SimFs::default();
    fs.fail_sync_after(after);
    fs.record();
    let mut session = Session::new(config, fs, Model::default(), &Ledger::default(), seed);
    session.faulty = true;
    // A store that could not be created may be there or not, and holds nothing.
    session.open(&Ledger::default())?;
    session.run(&script.0)?;
    session.end(false)?;
    if !session.has_failed() {
        return Ok(None);
    }
    explorer.tally.failed_opens += u64::from(session.failed_in_open);
    let recording = Recording::of(session, Disk::default(), Ledger::default(), Model::default());
    let failure = explorer.explore_failed_sync(&recording, 0)?;
    Ok(Some(failure))
}
