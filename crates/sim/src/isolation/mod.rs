//! Isolation: what transactions see of one another.
//!
//! `history` is what was done and seen, `check` finds what is wrong with it through a `graph`, `sequences` from what the
//! engine says of itself. `reference` has
//! transactions as they should be, and broken ones that the checker must find, with a `workload` of clients and the
//! `hermitage` schedules. `lists` are the transactions of the store, with clients in turns and with threads; `store` is what
//! the storage engine below does under threads: atomic commits and snapshots.

mod check;
mod graph;
#[cfg(test)]
mod hermitage;
mod history;
mod lists;
mod reference;
mod sequences;
mod store;
mod workload;

use self::check::{Kind, Level, check};
use self::history::{End, Txn};
use self::lists::{Lists, Predicate, Storage};
use self::reference::{FLAWS, Flaw, Reference};
use self::sequences::{check_commits, check_sequences};
use self::store::Mix;
use crate::parallel::parallel;
use crate::random::Random;
use crate::stage::{Context, Count, Failure, Stage, StageReport, parse_case};

/// The stage.
pub const STAGE: Stage =
    Stage { name: NAME, unit: "transactions checked", share: 6.0, floor: 200_000, run, replay };

const NAME: &str = "isolation";
/// Cases by their kinds.
const KINDS: u64 = 16;
/// Transactions of one history.
const TRANSACTIONS: usize = 2000;

/// What was checked, and whether anything could have been found.
#[derive(Default)]
struct Tally {
    strict: u64,
    snapshot: u64,
    reference: u64,
    /// Of the store's own, by level.
    transactions: [u64; 2],
    conflicts: u64,
    skews: u64,
    aborts: u64,
    flaws: u64,
}

impl Tally {
    fn checked(&self) -> u64 {
        self.strict + self.snapshot
    }

    /// How much of what is due is done, on each of two levels: what there is least of counts.
    fn progress(&self) -> u64 {
        let [snapshot, strict] = self.transactions;
        2 * self.strict.min(self.snapshot).min(snapshot).min(strict)
    }
}

fn run(ctx: &Context) -> StageReport {
    let (tallies, failures) = parallel(ctx, Tally::progress, case);
    let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum::<u64>();
    let also = |name, count, floor| Count { name, count, floor: ctx.floor(floor) };
    StageReport {
        done: sum(Tally::checked),
        also: vec![
            also("strictly serializable", sum(|tally| tally.strict), 100_000),
            also("strong snapshot isolation", sum(|tally| tally.snapshot), 100_000),
            also("of the store, serializable", sum(|tally| tally.transactions[1]), 100_000),
            also("of the store, snapshot isolation", sum(|tally| tally.transactions[0]), 100_000),
            also("conflicts of these", sum(|tally| tally.conflicts), 10_000),
            also("on reference engines", sum(|tally| tally.reference), 100_000),
            also("histories with write skew", sum(|tally| tally.skews), 60),
            also("aborts", sum(|tally| tally.aborts), 25_000),
            also("flawed engines found", sum(|tally| tally.flaws), 8),
        ],
        failures,
        seconds: 0.0,
    }
}

fn case(tally: &mut Tally, index: u64, seed: u64) -> Result<(), Failure> {
    let failure = |what: String| Failure::of_case(NAME, seed, &(index % KINDS).to_string(), what);
    match index % KINDS {
        0..3 => {
            tally.strict += on_store(Mix::Blind, seed).map_err(failure)?.0;
            Ok(())
        }
        3..6 => {
            let (transactions, skewed) = on_store(Mix::OwnLists, seed).map_err(failure)?;
            tally.snapshot += transactions;
            tally.skews += u64::from(skewed);
            Ok(())
        }
        6..9 => on_reference(tally, seed).map_err(failure),
        9..13 => in_turns(tally, seed).map_err(failure),
        _ => in_threads(tally, seed).map_err(failure),
    }
}

/// Runs threads on the store and checks what they saw; how many transactions, and whether there was write skew.
fn on_store(mix: Mix, seed: u64) -> Result<(u64, bool), String> {
    let level = match mix {
        Mix::Blind => Level::StrictSerializable,
        Mix::OwnLists => Level::StrongSnapshot,
    };
    let history = store::history(mix, seed, TRANSACTIONS).map_err(|error| error.to_string())?;
    if let Some(what) = check_sequences(&history) {
        return Err(what);
    }
    let skewed = must_hold(&history, level)?;
    Ok((history.len() as u64, skewed))
}

/// Clients of the store's transactions that take turns, on both levels.
fn in_turns(tally: &mut Tally, seed: u64) -> Result<(), String> {
    for (serializable, level) in [(false, Level::StrongSnapshot), (true, Level::StrictSerializable)] {
        let storage = if seed.is_multiple_of(2) { Storage::Map } else { Storage::Tables };
        let mut lists = Lists::open(serializable, storage).map_err(|error| error.to_string())?;
        let predicate = *Random::nth(seed, 0x9D).pick(&Predicate::ALL);
        lists.read_all_by(predicate).map_err(|error| error.to_string())?;
        let history = workload::history(&mut lists, seed, TRANSACTIONS / 4);
        lists.close().map_err(|error| error.to_string())?;
        note(tally, &history, level)?;
    }
    Ok(())
}

/// Threads with the store's transactions, on both levels.
fn in_threads(tally: &mut Tally, seed: u64) -> Result<(), String> {
    for (serializable, level) in [(false, Level::StrongSnapshot), (true, Level::StrictSerializable)] {
        let history =
            lists::history(serializable, seed, TRANSACTIONS / 4).map_err(|error| error.to_string())?;
        note(tally, &history, level)?;
    }
    Ok(())
}

fn note(tally: &mut Tally, history: &[Txn], level: Level) -> Result<(), String> {
    if let Some(what) = check_sequences(history).or_else(|| check_commits(history, level)) {
        return Err(what);
    }
    tally.skews += u64::from(must_hold(history, level)?);
    tally.transactions[usize::from(level == Level::StrictSerializable)] += history.len() as u64;
    tally.conflicts += history.iter().filter(|txn| txn.outcome == End::Aborted).count() as u64;
    Ok(())
}

/// Checks a history; whether it has write skew, where that is allowed.
fn must_hold(history: &[Txn], level: Level) -> Result<bool, String> {
    let found = check(history);
    match found.iter().find(|anomaly| level.forbids(anomaly)) {
        Some(anomaly) => Err(format!("{:?} under {level:?}: {}", anomaly.kind, anomaly.what)),
        None => Ok(found.iter().any(|anomaly| anomaly.kind == Kind::G2)),
    }
}

/// The engines that are right pass, and one that is not is found.
fn on_reference(tally: &mut Tally, seed: u64) -> Result<(), String> {
    for (serializable, level) in [(false, Level::StrongSnapshot), (true, Level::StrictSerializable)] {
        let history = workload::history(&mut Reference::new(serializable, None, seed), seed, TRANSACTIONS);
        let skewed = must_hold(&history, level)?;
        if !serializable && !skewed {
            return Err("snapshot isolation without write skew: the lists are not hot enough".to_owned());
        }
        tally.reference += history.len() as u64;
        tally.aborts += history.iter().filter(|txn| txn.outcome == End::Aborted).count() as u64;
    }
    let flaw = FLAWS[(seed % FLAWS.len() as u64) as usize];
    let level = level_of(flaw);
    let serializable = level == Level::StrictSerializable;
    let history = workload::history(&mut Reference::new(serializable, Some(flaw), seed), seed, TRANSACTIONS);
    match must_hold(&history, level) {
        Ok(_) => Err(format!("{flaw:?} was not found")),
        Err(_) => {
            tally.flaws += 1;
            Ok(())
        }
    }
}

/// The promise that a flaw breaks. Checks of what was read would make up for most of them.
fn level_of(flaw: Flaw) -> Level {
    if flaw == Flaw::ReadsForgotten { Level::StrictSerializable } else { Level::StrongSnapshot }
}

fn replay(case: &str) -> Result<(), Failure> {
    let (seed, detail) = parse_case(case).unwrap_or_default();
    // Threads meet as they like, so one more run says little.
    (0..10).try_for_each(|_| self::case(&mut Tally::default(), detail.parse().unwrap_or_default(), seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_on_the_store_see_what_they_should() {
        assert!(on_store(Mix::Blind, 1).is_ok_and(|(transactions, _)| transactions > 1900));
        assert_eq!(on_store(Mix::OwnLists, 2).map(|(transactions, _)| transactions), Ok(2001));
    }

    #[test]
    fn transactions_of_the_store_see_what_they_should() {
        let mut tally = Tally::default();
        (0..4).for_each(|seed| in_turns(&mut tally, seed).unwrap());
        assert!(tally.skews > 0 && tally.conflicts > 200, "{} conflicts", tally.conflicts);
        (0..2).for_each(|seed| in_threads(&mut tally, seed).unwrap());
        assert!(tally.transactions.iter().all(|count| *count > 3000));
    }

    #[test]
    fn a_history_with_a_read_from_the_past_is_refused() {
        let mut history = store::history(Mix::Blind, 3, 400).unwrap();
        let torn = history.iter_mut().rev().find_map(|txn| {
            txn.ops.iter_mut().find_map(|op| match op {
                history::Op::Read(_, list) => list.pop(),
                history::Op::Append(..) => None,
            })
        });
        assert!(torn.is_some());
        assert!(check_sequences(&history).is_some());
        assert!(must_hold(&history, Level::StrictSerializable).is_err());
    }
}
