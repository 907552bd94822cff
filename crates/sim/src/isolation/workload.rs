//! Clients of an engine that take turns by chance, on few and hot lists: without contention nothing could go
//! wrong.

use super::history::{End, Key, Op, Txn};
use super::reference::Engine;
use crate::random::Random;

const CLIENTS: usize = 6;
const LISTS: usize = 5;
/// Transactions after which other lists are used, so that they do not grow without end.
const PERIOD: usize = 60;

/// A client with a transaction under way.
struct Client<A> {
    active: A,
    begin: u64,
    ops: Vec<Op>,
    left: usize,
    reads_only: bool,
}

/// The history of that many transactions.
pub fn history<E: Engine>(engine: &mut E, seed: u64, transactions: usize) -> Vec<Txn> {
    let mut random = Random::new(seed);
    let mut clients: Vec<Option<Client<E::Active>>> = (0..CLIENTS).map(|_| None).collect();
    let (mut done, mut now, mut value) = (Vec::new(), 0u64, 0u64);
    while done.len() < transactions {
        now += 1;
        let slot = random.below(CLIENTS);
        let Some(mut client) = clients[slot].take() else {
            let (left, reads_only) = (random.within(1..5), random.one_in(4));
            clients[slot] =
                Some(Client { active: engine.begin(), begin: now, ops: Vec::new(), left, reads_only });
            continue;
        };
        if client.left > 0 {
            client.left -= 1;
            let first = (done.len() / PERIOD * LISTS) as Key;
            let key = first + random.below(LISTS) as Key;
            if random.one_in(8) {
                let lists = engine.read_all(&mut client.active, first..first + LISTS as Key);
                client.ops.extend(lists.into_iter().map(|(key, list)| Op::Read(key, list)));
            } else if client.reads_only || random.one_in(2) {
                let list = engine.read(&mut client.active, key);
                client.ops.push(Op::Read(key, list));
            } else {
                value += 1;
                engine.append(&mut client.active, key, value);
                client.ops.push(Op::Append(key, value));
            }
            clients[slot] = Some(client);
            continue;
        }
        let outcome = if random.one_in(20) {
            engine.abort(&client.active);
            End::Aborted
        } else if engine.commit(&client.active) {
            End::Committed
        } else {
            End::Aborted
        };
        let sequences = engine.sequences(&client.active);
        done.push(Txn { begin: client.begin, end: now, outcome, ops: client.ops, sequences });
    }
    let mut last = engine.begin();
    let lists = (done.len() / PERIOD + 1) * LISTS;
    let ops = (0..lists as Key).map(|key| Op::Read(key, engine.read(&mut last, key))).collect();
    let sequences = engine.sequences(&last);
    done.push(Txn { begin: now + 1, end: now + 2, outcome: End::Committed, ops, sequences });
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::check::{Kind, Level, check};
    use crate::isolation::level_of;
    use crate::isolation::reference::{FLAWS, Reference};

    fn aborted(history: &[Txn]) -> usize {
        history.iter().filter(|txn| txn.outcome == End::Aborted).count()
    }

    #[test]
    fn engines_that_are_right_pass_and_were_put_to_the_test() {
        for seed in 0..6 {
            let snapshot = history(&mut Reference::new(false, None, seed), seed, 1500);
            let found = check(&snapshot);
            assert!(found.iter().all(|anomaly| !Level::StrongSnapshot.forbids(anomaly)), "{found:?}");
            assert!(found.iter().any(|anomaly| anomaly.kind == Kind::G2), "write skew");
            let serializable = history(&mut Reference::new(true, None, seed), seed, 1500);
            assert_eq!(check(&serializable), []);
            assert!(aborted(&snapshot) > 150 && aborted(&serializable) > aborted(&snapshot));
        }
    }

    #[test]
    fn every_flaw_is_found() {
        for flaw in FLAWS {
            let level = level_of(flaw);
            let serializable = level == Level::StrictSerializable;
            let found = (0..4).any(|seed| {
                let history = history(&mut Reference::new(serializable, Some(flaw), seed), seed, 1500);
                check(&history).iter().any(|anomaly| level.forbids(anomaly))
            });
            assert!(found, "{flaw:?}");
        }
    }
}
