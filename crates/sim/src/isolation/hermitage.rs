//! The ten schedules of Hermitage (Kleppmann), which tell isolation levels apart, on the reference engine and on
//! the store: both have to fill the rows in the same way.
//!
//! A predicate is a read of all lists. On the reference engine, which has nothing else, it reads them one by one; on the
//! store it is also a scan of a range of keys, of a range of an index, or a query with a filter, which read lists that are
//! not there.

use super::check::{Anomaly, check};
use super::history::{End, Key, Op, Txn};
use super::reference::Engine;

/// A step of one of up to three transactions.
#[derive(Clone, Copy)]
enum Do {
    Read(usize, Key),
    ReadAll(usize),
    Append(usize, Key, u64),
    Commit(usize),
    Abort(usize),
}

use Do::{Abort, Append, Commit, Read, ReadAll};

/// Name, steps, which transactions commit under snapshot isolation, and which when serializable.
type Row = (&'static str, &'static [Do], &'static [bool], &'static [bool]);

const ROWS: [Row; 10] = [
    (
        "G0",
        &[Append(0, 1, 11), Append(1, 1, 12), Append(0, 2, 21), Commit(0), Append(1, 2, 22), Commit(1)],
        &[true, false],
        &[true, false],
    ),
    ("G1a", &[Append(0, 1, 11), Read(1, 1), Abort(0), Read(1, 1), Commit(1)], &[false, true], &[false, true]),
    (
        "G1b",
        &[Append(0, 1, 11), Read(1, 1), Append(0, 1, 12), Commit(0), Read(1, 1), Commit(1)],
        &[true, true],
        &[true, true],
    ),
    (
        "G1c",
        &[Append(0, 1, 11), Append(1, 2, 22), Read(0, 2), Read(1, 1), Commit(0), Commit(1)],
        &[true, true],
        &[true, false],
    ),
    (
        "OTV",
        &[
            Append(0, 1, 11),
            Append(0, 2, 21),
            Append(1, 1, 12),
            Commit(0),
            Read(2, 1),
            Append(1, 2, 22),
            Read(2, 2),
            Commit(1),
            Read(2, 1),
            Commit(2),
        ],
        &[true, false, true],
        &[true, false, true],
    ),
    ("PMP", &[ReadAll(0), Append(1, 3, 31), Commit(1), ReadAll(0), Commit(0)], &[true, true], &[true, true]),
    (
        "P4",
        &[Read(0, 1), Read(1, 1), Append(0, 1, 11), Append(1, 1, 12), Commit(0), Commit(1)],
        &[true, false],
        &[true, false],
    ),
    (
        "G-single",
        &[Read(0, 1), Append(1, 1, 12), Append(1, 2, 22), Commit(1), Read(0, 2), Commit(0)],
        &[true, true],
        &[true, true],
    ),
    (
        "G2-item",
        &[
            Read(0, 1),
            Read(0, 2),
            Read(1, 1),
            Read(1, 2),
            Append(0, 1, 11),
            Append(1, 2, 22),
            Commit(0),
            Commit(1),
        ],
        &[true, true],
        &[true, false],
    ),
    (
        "G2",
        &[ReadAll(0), ReadAll(1), Append(0, 3, 31), Append(1, 4, 42), Commit(0), Commit(1)],
        &[true, true],
        &[true, false],
    ),
];

const LISTS: std::ops::Range<Key> = 1..5;

/// Runs a schedule; which transactions committed, and what is wrong with the history.
fn run<E: Engine>(engine: &mut E, steps: &[Do], transactions: usize) -> (Vec<bool>, Vec<Anomaly>) {
    let mut active: Vec<E::Active> = (0..transactions).map(|_| engine.begin()).collect();
    let mut history: Vec<Txn> = (0..transactions)
        .map(|_| Txn { begin: 0, end: 1000, outcome: End::Aborted, ops: Vec::new(), sequences: None })
        .collect();
    let read = |engine: &mut E, active: &mut [E::Active], history: &mut [Txn], t: usize, key| {
        let list = engine.read(&mut active[t], key);
        history[t].ops.push(Op::Read(key, list));
    };
    for &step in steps {
        match step {
            Read(t, key) => read(engine, &mut active, &mut history, t, key),
            ReadAll(t) => {
                let lists = engine.read_all(&mut active[t], LISTS);
                history[t].ops.extend(lists.into_iter().map(|(key, list)| Op::Read(key, list)));
            }
            Append(t, key, value) => {
                engine.append(&mut active[t], key, value);
                history[t].ops.push(Op::Append(key, value));
            }
            Commit(t) => {
                let committed = engine.commit(&active[t]);
                history[t].outcome = if committed { End::Committed } else { End::Aborted };
            }
            Abort(t) => engine.abort(&active[t]),
        }
    }
    let committed = history.iter().map(|txn| txn.outcome == End::Committed).collect();
    let mut last = engine.begin();
    let ops = LISTS.map(|key| Op::Read(key, engine.read(&mut last, key))).collect();
    history.push(Txn { begin: 1001, end: 1002, outcome: End::Committed, ops, sequences: None });
    (committed, check(&history))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::check::Kind;
    use crate::isolation::lists::{Lists, Predicate, Storage};
    use crate::isolation::reference::Reference;

    #[test]
    fn every_schedule_ends_as_its_row_says_on_the_reference_engine() {
        check_rows(|serializable| Reference::new(serializable, None, 0));
    }

    #[test]
    fn every_schedule_ends_as_its_row_says_on_the_store() {
        for predicate in Predicate::ALL {
            check_rows(|serializable| {
                let mut lists = Lists::open(serializable, Storage::Map).unwrap();
                lists.read_all_by(predicate).unwrap();
                lists
            });
        }
    }

    fn check_rows<E: Engine>(open: impl Fn(bool) -> E) {
        for (name, steps, snapshot, serializable) in ROWS {
            let (committed, found) = run(&mut open(false), steps, snapshot.len());
            assert_eq!(committed, snapshot, "{name} under snapshot isolation");
            let kinds: Vec<Kind> = found.iter().map(|anomaly| anomaly.kind).collect();
            let skews = matches!(name, "G1c" | "G2-item" | "G2");
            assert_eq!(kinds.contains(&Kind::G2), skews, "{name}: {found:?}");
            assert!(kinds.iter().all(|kind| *kind == Kind::G2), "{name}: {found:?}");
            let (committed, found) = run(&mut open(true), steps, serializable.len());
            assert_eq!(committed, serializable, "{name}, serializable");
            assert_eq!(found, [], "{name}, serializable");
        }
    }
}
