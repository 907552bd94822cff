//! What hardly ever happens by chance, brought about on purpose: threads that meet in a sync or in the failure of one, a
//! compaction that is broken off, a manifest that has grown too large, small tables above a large one.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fountain_lsm::fs::Fs;
use fountain_lsm::marks::{Mark, counts};
use fountain_lsm::{
    Compression, Db, Durability, Error, Health, Job, Options, ReadTier, Retention, WriteBatch, limits,
};

use super::session::{STORE, options};
use crate::disk::{Crash, SimFs};
use crate::metamorphic::storage::pause::{Pauses, PausingFs};
use crate::parallel::guarded;

/// A case: its name, and what it does.
type Rare = (&'static str, fn() -> Result<(), String>);

/// All of them.
pub const RARE: [Rare; 6] = [
    ("shared-sync", || threads_in_a_sync(false)),
    ("shared-failure", || until_met(Mark::SyncAfterFailure, || threads_in_a_sync(true))),
    ("broken-off", || until_met(Mark::CompactionBrokenOff, compaction_broken_off)),
    ("manifest", manifest_rotated),
    ("tidied", || until_met(Mark::Level0Tidied, || small_tables_merged(4))),
    ("relieved", || until_met(Mark::Level0Relief, || small_tables_merged(9))),
];

/// Runs the case with this name.
pub fn run(name: &str) -> Option<Result<(), String>> {
    let (_, case) = RARE.iter().find(|(known, _)| *known == name)?;
    Some(guarded(case).unwrap_or_else(Err))
}

/// Threads that commit while one of them is in its sync.
const COMMITTERS: usize = 4;
/// How often threads are brought together: on a busy machine one of them may come too late to meet the others.
const TRIES: usize = 200;
/// Time for threads to get where they wait for another.
const MOMENT: Duration = Duration::from_millis(20);

/// Runs a case until this process has been where it is to get, which is left to how threads meet; how it ends must be
/// right each time.
fn until_met(mark: Mark, case: fn() -> Result<(), String>) -> Result<(), String> {
    for _ in 0..TRIES {
        case()?;
        if counts().contains(&(mark, 0)) {
            continue;
        }
        return Ok(());
    }
    Err(format!("{mark:?} was not met in {TRIES} tries"))
}

fn opened(fs: Arc<dyn Fs>, adjust: impl FnOnce(&mut Options)) -> Result<Db, String> {
    let mut options = options(fs, Retention::Unbounded);
    adjust(&mut options);
    Db::open(Path::new(STORE), options).map_err(|error| format!("it does not open: {error}"))
}

fn one_put(key: &[u8], value: &[u8]) -> fountain_lsm::Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    batch.put(key, value)?;
    Ok(batch)
}

/// A commit is stopped in its sync, others write behind it and wait, and a flush wants the same log on disk. If the sync
/// succeeds, the next one does for all of them; if not, none of them may be told that it is on disk, and nobody may try
/// the sync again. What was told is there after a loss of power.
fn threads_in_a_sync(fails: bool) -> Result<(), String> {
    let (disk, pauses) = (SimFs::default(), Arc::new(Pauses::default()));
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "wal");
    let fs = PausingFs::stopping(Arc::new(disk.clone()), Arc::clone(&pauses), is_log);
    let db = opened(Arc::new(fs), |options| options.wal_segment_bytes = 1 << 20)?;
    let commit = |name: usize| {
        let batch = one_put(format!("key {name}").as_bytes(), b"value")?;
        db.commit(batch, Durability::Disk)
    };
    commit(0).map_err(|error| error.to_string())?;
    // The write passes, the sync does not.
    pauses.arm(1);
    let outcomes: Vec<fountain_lsm::Result<_>> = thread::scope(|scope| {
        let commit = &commit;
        let first = scope.spawn(move || commit(1));
        pauses.wait();
        let others: Vec<_> = (2..2 + COMMITTERS).map(|name| scope.spawn(move || commit(name))).collect();
        let flush = scope.spawn(|| db.flush());
        thread::sleep(MOMENT);
        if fails {
            disk.fail_sync_after(0);
        }
        pauses.disarm();
        // How it ends depends on when it came; that it ends counts.
        let _ = flush.join();
        std::iter::once(first).chain(others).filter_map(|thread| thread.join().ok()).collect()
    });
    let is_poisoned = matches!(db.health(), Health::Poisoned { .. });
    let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    if (succeeded, is_poisoned) != (if fails { 0 } else { 1 + COMMITTERS }, fails) {
        return Err(format!("poisoned: {is_poisoned}; the commits gave {outcomes:?}"));
    }
    let image = disk.disk().crash(&Crash::Synced);
    drop(db);
    let db = opened(Arc::new(SimFs::new(image)), |_| {})?;
    let newest = db.visible().get() as usize;
    if newest < 1 + succeeded {
        Err(format!("{newest} commits are left of {}", 1 + succeeded))
    } else {
        Ok(())
    }
}

/// More versions than pass between two looks at whether the store is being closed.
const VERSIONS: usize = 3000;

/// A store is closed while it compacts: the compaction ends early, and nothing is lost.
fn compaction_broken_off() -> Result<(), String> {
    let (disk, pauses) = (SimFs::default(), Arc::new(Pauses::default()));
    let fs = PausingFs::new(Arc::new(disk.clone()), Arc::clone(&pauses));
    let db = opened(Arc::new(fs), |options| options.memtable_bytes = 1 << 20)?;
    for round in 0..2 {
        let mut batch = WriteBatch::new();
        let put =
            |number: usize| batch.put(format!("key {number:05}").as_bytes(), format!("{round}").as_bytes());
        let filled = (0..VERSIONS).try_for_each(put).and_then(|()| db.commit(batch, Durability::Os));
        filled.and_then(|_| db.flush()).map_err(|error| error.to_string())?;
    }
    pauses.arm(0);
    let (compacted, closed) = thread::scope(|scope| {
        let compacting = scope.spawn(|| {
            let _done = pauses.done_at_end();
            db.compact()
        });
        pauses.wait();
        let closing = scope.spawn(|| db.close());
        while !matches!(db.commit(WriteBatch::new(), Durability::Memory), Err(Error::Closed)) {
            thread::yield_now();
        }
        pauses.disarm();
        (compacting.join(), closing.join())
    });
    match (compacted, closed) {
        // The compaction may still have come to its end.
        (Ok(Ok(()) | Err(Error::Closed)), Ok(Ok(()))) => {}
        other => return Err(format!("compaction and close gave {other:?}")),
    }
    drop(db);
    let db = opened(Arc::new(disk), |_| {})?;
    let value = db.get_newest(format!("key {:05}", VERSIONS - 1).as_bytes(), ReadTier::Disk);
    match value.map_err(|error| error.to_string())? {
        Some(value) if value.to_vec() == b"1" => db.verify().map_err(|error| error.to_string()),
        other => Err(format!("the last key is {other:?}")),
    }
}

/// Edits that together are more than a manifest may have: each names a table with the longest keys there are.
fn manifest_rotated() -> Result<(), String> {
    const FLUSHES: usize = 300;
    let disk = SimFs::default();
    let db = opened(Arc::new(disk.clone()), |options| options.writers_make_room = true)?;
    for number in 0..FLUSHES {
        let mut key = format!("{:03}", number % 7).into_bytes();
        key.resize(limits::MAX_KEY_BYTES, b'.');
        let put = one_put(&key, format!("{number}").as_bytes());
        let flushed = put.and_then(|batch| db.commit(batch, Durability::Disk)).and_then(|_| db.flush());
        flushed.map_err(|error| error.to_string())?;
    }
    let image = disk.disk().crash(&Crash::Synced);
    drop(db);
    let db = opened(Arc::new(SimFs::new(image)), |_| {})?;
    if db.visible().get() != FLUSHES as u64 {
        return Err(format!("{} commits are left of {FLUSHES}", db.visible()));
    }
    db.verify().map_err(|error| error.to_string())
}

/// Small tables of level 0 that all lie over one that is large: they become one, and it stays as it is. Four are tidied, nine are
/// more than level 0 may have.
fn small_tables_merged(tables: usize) -> Result<(), String> {
    const RECORDS: usize = 2000;
    let db = opened(Arc::new(SimFs::default()), |options| {
        (options.memtable_bytes, options.table_bytes) = (1 << 20, 8 << 20);
        options.compression = Compression::None;
    })?;
    let told = |error: Error| error.to_string();
    let flush = |numbers: &[usize], value: &[u8]| {
        let mut batch = WriteBatch::new();
        for number in numbers {
            batch.put(format!("key {number:05}").as_bytes(), value)?;
        }
        db.commit(batch, Durability::Disk)?;
        db.flush()
    };
    let all: Vec<_> = (0..RECORDS).collect();
    flush(&all, &[7; 400]).and_then(|()| db.compact()).map_err(told)?;
    let below = || db.compaction_status().levels.split_off(1);
    let before = below();
    for round in 0..tables {
        flush(&[0, RECORDS - 1], format!("{round}").as_bytes()).map_err(told)?;
    }
    let done = db.step(Job::Compact).map_err(told)?;
    let left = db.compaction_status().levels.first().map(|level| level.tables);
    if !done || left != Some(1) || below() != before {
        return Err(format!("{left:?} tables are in level 0, and below {:?} instead of {before:?}", below()));
    }
    db.verify().map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rare_goes_well() {
        for (name, _) in RARE {
            assert_eq!(run(name), Some(Ok(())), "{name}");
        }
        assert_eq!(run("common"), None);
    }
}
