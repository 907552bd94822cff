//! Compares a store that was opened after a crash with what must and may be there.

use std::path::Path;

use fountain_lsm::{Db, Direction, Error, KeyRange, Options, ReadTier, RecoveryReport, Seq};

use super::ledger::{Ledger, Promise};
use super::past::Floors;
use super::session::{Check, STORE, checkpoint_path};
use super::times;
use crate::disk::{Disk, FileId, SimFs};
use crate::model::{Bytes, History, Model, State};
use crate::random::Random;

/// What a verified store turned out to be.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its last commit.
    pub last: u64,
    /// What opening it reported.
    pub report: RecoveryReport,
    /// It was asked when its commits were made.
    pub timed: bool,
}

const TIER: ReadTier = ReadTier::Disk;

/// Verifies everything that can be read, and what opening said and left.
pub fn store(
    db: &Db,
    fs: &SimFs,
    model: &Model,
    ledger: &Ledger,
    floors: &Floors,
    now: u64,
    random: &mut Random,
) -> Check<Found> {
    let last = db.visible().get();
    if last < ledger.os || last > ledger.begun {
        let (least, most) = (ledger.os, ledger.begun);
        return Err(format!(
            "{last} commits were recovered; at least {least} were promised and at most {most} begun"
        ));
    }
    state_at(db, db.visible(), model)?;
    history(db, model, floors, random)?;
    report(db, ledger)?;
    left_overs(db, fs)?;
    if random.one_in(8) {
        db.verify().map_err(|error| format!("a scrub finds {error}"))?;
        locked(fs)?;
    }
    let timed = !ledger.clock_was_back;
    if timed {
        times::check(db, model, now)?;
    }
    Ok(Found { last, report: db.recovery().clone(), timed })
}

/// Every record at one sequence, and nothing else (R1 to R5).
pub fn state_at(db: &Db, at: Seq, model: &Model) -> Check<()> {
    let expected = model.at(at.get()).ok_or_else(|| format!("sequence {at} never happened"))?;
    records(db, at, Direction::Forward, expected)
}

fn records(db: &Db, at: Seq, direction: Direction, expected: &State) -> Check<()> {
    let failed = |error: Error| format!("reading at {at}: {error}");
    let mut cursor = db.cursor(KeyRange::default(), at, direction, TIER).map_err(failed)?;
    let mut expected: Box<dyn Iterator<Item = (&Bytes, &Bytes)>> = match direction {
        Direction::Forward => Box::new(expected.iter()),
        Direction::Reverse => Box::new(expected.iter().rev()),
    };
    while cursor.next().map_err(failed)? {
        let found = (cursor.key(), cursor.value());
        match expected.next() {
            Some((key, value)) if (&**key, &**value) == found => {}
            other => return Err(differs(at, Some(found), other)),
        }
    }
    match expected.next() {
        None => Ok(()),
        other => Err(differs(at, None, other)),
    }
}

fn differs(at: Seq, found: Option<(&[u8], &[u8])>, expected: Option<(&Bytes, &Bytes)>) -> String {
    let show = |record: Option<(&[u8], &[u8])>| match record {
        Some((key, value)) => {
            let head = &value[..value.len().min(20)];
            format!("{} = {}…", key.escape_ascii(), head.escape_ascii())
        }
        None => "nothing".to_owned(),
    };
    let expected = expected.map(|(key, value)| (&**key, &**value));
    format!("at {at}: {} was expected, {} is there", show(expected), show(found))
}

/// Earlier sequences and single keys (R4, R7). Below the floors old versions may have gone: what is read is exact or refused.
fn history(db: &Db, model: &Model, floors: &Floors, random: &mut Random) -> Check<()> {
    let last = db.visible().get();
    let floors = floors.lowered(last);
    for (key, history) in model.histories() {
        versions(db, key, history, floors.of(key))?;
    }
    let at = random.below(last as usize + 1) as u64;
    // At the floor itself as little is left as anywhere.
    for at in [at, floors.greatest()] {
        let (seq, state) = Seq::new(at).zip(model.at(at)).ok_or("no such sequence")?;
        if may_be_gone(db.cursor(KeyRange::default(), seq, Direction::Reverse, TIER), floors.greatest(), at)?
        {
            records(db, seq, Direction::Reverse, state)?;
        }
        single_keys(db, model, seq, &floors)?;
    }
    single_keys(db, model, db.visible(), &floors)
}

/// Whether there is an answer; if there is none, there need not be one below this floor.
fn may_be_gone<T>(outcome: fountain_lsm::Result<T>, limit: u64, at: u64) -> Check<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(Error::HistoryTruncated { floor, .. }) if at < floor.get() && floor.get() <= limit => Ok(false),
        Err(error) => Err(format!("reading at {at}, where the floor can be {limit}: {error}")),
    }
}

/// The versions of a key, of which those up to its floor may have gone.
fn versions(db: &Db, key: &[u8], history: &History, floor: u64) -> Check<()> {
    let last = db.visible().get();
    let mut expected = history.iter().filter(|(seq, _)| *seq <= last).rev().peekable();
    let failed = |error: Error| format!("versions of {}: {error}", key.escape_ascii());
    let mut versions = db.versions(key, db.visible(), TIER).map_err(failed)?;
    while versions.next().map_err(failed)? {
        let (seq, value) = (versions.seq().get(), versions.value());
        while expected.peek().is_some_and(|(changed, _)| *changed > seq && *changed <= floor) {
            expected.next();
        }
        match expected.peek() {
            Some((changed, to)) if (*changed, to.as_deref()) == (seq, value) => drop(expected.next()),
            // A deletion of what was not there is a version, but no change.
            _ if value.is_none() => {}
            other => return Err(format!("{} has a version {seq}, not {other:?}", key.escape_ascii())),
        }
    }
    match expected.find(|(changed, _)| *changed > floor) {
        Some(missing) => Err(format!("{} lacks its version {missing:?}", key.escape_ascii())),
        None => Ok(()),
    }
}

fn single_keys(db: &Db, model: &Model, at: Seq, floors: &Floors) -> Check<()> {
    for (key, _) in model.histories() {
        let expected = model.at(at.get()).and_then(|state| state.get(key));
        let found = db.get(key, at, TIER);
        let right = found.as_ref().is_ok_and(|found| found.as_deref() == expected.map(|value| &**value));
        if may_be_gone(found.as_ref().map_err(Clone::clone), floors.of(key), at.get())? && !right {
            return Err(format!("{} at {at} is {found:?}", key.escape_ascii()));
        }
    }
    Ok(())
}

/// What opening says about how the store was left (R12, R20).
fn report(db: &Db, ledger: &Ledger) -> Check<()> {
    let report = db.recovery();
    if ledger.clean && !(report.clean && report.replayed_commits == 0 && report.discarded.is_empty()) {
        return Err(format!("the store had been closed in good order, but: {report:?}"));
    }
    if report.created && ledger.created {
        return Err("the store was there before, but was created anew".to_owned());
    }
    if report.clean && !(report.discarded.is_empty() && report.replayed_commits == 0) {
        return Err(format!("a clean store had something to repair: {report:?}"));
    }
    if report.discarded.iter().any(|discarded| discarded.bytes == 0) {
        return Err(format!("nothing was discarded, but reported: {report:?}"));
    }
    Ok(())
}

/// Exactly the files that are in use are there (R9, R18).
fn left_overs(db: &Db, fs: &SimFs) -> Check<()> {
    let metrics = db.metrics();
    let tables: u64 = metrics.level_tables.iter().sum();
    let expected = (tables, metrics.live_wal_segments, 1, 0);
    let found = fs.with_disk(|disk| {
        let count = |dir: &str, part: &str| {
            let dir = disk.lookup(&Path::new(STORE).join(dir));
            dir.map_or(0, |dir| disk.entries(dir).filter(|(name, _)| name.contains(part)).count() as u64)
        };
        (count("tables", ""), count("wal", ""), count("", "MANIFEST"), count("", ".tmp"))
    });
    if found == expected {
        return Ok(());
    }
    Err(format!("tables, segments, manifests and temporary files are {found:?}, in use are {expected:?}"))
}

/// Nobody else can open it meanwhile (R14).
fn locked(fs: &SimFs) -> Check<()> {
    let options = Options { fs: std::sync::Arc::new(fs.clone()), background: false, ..Options::default() };
    match Db::open(Path::new(STORE), options) {
        Err(Error::Locked { .. }) => Ok(()),
        Err(error) => Err(format!("opening it a second time: {error}")),
        Ok(_) => Err("it could be opened a second time".to_owned()),
    }
}

/// Reading at most some times what there is (R13).
pub fn effort(read: u64, image_bytes: u64) -> Check<()> {
    let most = image_bytes * 6 + 4096;
    if read <= most { Ok(()) } else { Err(format!("opening read {read} bytes of {image_bytes}")) }
}

/// Bytes of all files on a disk.
pub fn bytes_of(disk: &Disk) -> u64 {
    fn below(disk: &Disk, file: FileId) -> u64 {
        match disk.bytes(file) {
            Some(bytes) => bytes.len() as u64,
            None => disk.entries(file).map(|(_, inner)| below(disk, inner)).sum(),
        }
    }
    disk.lookup(Path::new(STORE)).map_or(0, |dir| below(disk, dir))
}

/// Every checkpoint that was promised is a store of its own, and none is there in part (R15).
pub fn checkpoints(
    fs: &SimFs,
    options: &Options,
    model: &Model,
    ledger: &Ledger,
    floors: &Floors,
) -> Check<()> {
    for promise in &ledger.checkpoints {
        let path = checkpoint_path(promise.number);
        if fs.with_disk(|disk| disk.lookup(&path).is_none()) {
            if promise.done.is_some() {
                return Err(format!("{} is gone", path.display()));
            }
            continue;
        }
        let options = Options { create_if_missing: false, ..options.clone() };
        let copy =
            Db::open(&path, options.clone()).map_err(|error| format!("{}: {error}", path.display()))?;
        let now = options.clock.now().millis();
        checkpoint(&copy, model, *promise, ledger, floors)
            .and_then(|()| if ledger.clock_was_back { Ok(()) } else { times::check(&copy, model, now) })
            .map_err(|what| format!("{}: {what}", path.display()))?;
    }
    Ok(())
}

fn checkpoint(copy: &Db, model: &Model, promise: Promise, ledger: &Ledger, floors: &Floors) -> Check<()> {
    let last = copy.visible().get();
    let most = promise.done.unwrap_or(ledger.begun);
    if last < promise.least || last > most {
        return Err(format!("it holds {last} commits instead of {} to {most}", promise.least));
    }
    if promise.done.is_some() && !copy.recovery().clean {
        return Err("it was not closed in good order".to_owned());
    }
    state_at(copy, copy.visible(), model)?;
    history(copy, model, floors, &mut Random::new(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::config::Config;
    use crate::crash::script::Script;
    use crate::crash::session::Session;

    #[test]
    fn what_is_gone_and_was_not_allowed_to_be_is_noticed() {
        let mut config = Config::from_seed(1);
        config.latest_only = false;
        let script: Script = "8*put,age,12*put,flush,compact".parse().unwrap();
        let (mut noticed, mut kept) = (0, 0);
        for seed in 0..20 {
            let mut session =
                Session::new(&config, SimFs::default(), Model::default(), &Ledger::default(), seed);
            session.open(&Ledger::default()).unwrap();
            session.run(&script.0).unwrap();
            session.end(true).unwrap();
            let mut ledger = Ledger::default();
            session.marks.iter().for_each(|(_, mark)| ledger.note(mark));
            let (fs, model) = (session.fs.clone(), session.model.clone());
            let clock = std::sync::Arc::new(fountain_lsm::ManualClock::new(fountain_lsm::Timestamp::UNKNOWN));
            let db = Db::open(Path::new(STORE), config.options(&fs, &clock)).unwrap();
            history(&db, &model, &ledger.floors, &mut Random::new(seed)).unwrap();
            let strict = history(&db, &model, &Floors::default(), &mut Random::new(seed));
            noticed += usize::from(strict.is_err());
            kept += usize::from(ledger.floors.greatest() < model.last());
        }
        assert!(noticed > 5 && kept == 20, "{noticed} {kept}");
    }
}
