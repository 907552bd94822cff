//! The white box: what the sequences that an engine gives out say about every single read, with nothing inferred.

use std::collections::BTreeMap;

use super::check::Level;
use super::history::{End, Key, Txn};

/// What was appended to each list, in the order of commits.
struct Appends(BTreeMap<Key, Vec<(u64, u64)>>);

impl Appends {
    fn of(history: &[Txn]) -> Self {
        let mut lists: BTreeMap<Key, Vec<(u64, u64)>> = BTreeMap::new();
        for txn in history.iter().filter(|txn| txn.outcome == End::Committed) {
            let Some((_, commit)) = txn.sequences else { continue };
            for (key, value) in txn.appends() {
                lists.entry(key).or_default().push((commit, value));
            }
        }
        // Those of one commit stay in their order.
        for list in lists.values_mut() {
            list.sort_by_key(|&(commit, _)| commit);
        }
        Self(lists)
    }

    fn of_list(&self, key: Key) -> &[(u64, u64)] {
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Whether a list was exactly this after all commits up to a sequence.
    fn explains(&self, key: Key, upto: u64, found: &[u64]) -> bool {
        let all = self.of_list(key);
        let seen = all.partition_point(|&(commit, _)| commit <= upto);
        all[..seen].iter().map(|&(_, value)| value).eq(found.iter().copied())
    }
}

/// Every read has exactly what was committed up to its snapshot, in the order of commits. Gives back what is wrong first.
pub fn check_sequences(history: &[Txn]) -> Option<String> {
    let appends = Appends::of(history);
    for (index, txn) in history.iter().enumerate() {
        let Some((snapshot, _)) = txn.sequences else { continue };
        for (key, found) in txn.outer_reads() {
            if !appends.explains(key, snapshot, found) {
                let all = appends.of_list(key);
                return Some(format!(
                    "transaction {index} at {snapshot} read {found:?} of list {key}: {all:?}"
                ));
            }
        }
    }
    None
}

/// As [`check_sequences`], for transactions that read what they append to: of two that change one list at the same time,
/// one was refused; and where that is promised, what a commit had read was the same when it took effect.
pub fn check_commits(history: &[Txn], level: Level) -> Option<String> {
    let appends = Appends::of(history);
    let committed = history.iter().enumerate().filter(|(_, txn)| txn.outcome == End::Committed);
    for (index, txn) in committed {
        let Some((snapshot, commit)) = txn.sequences else { continue };
        for (key, _) in txn.appends() {
            let between = |&(other, _): &(u64, u64)| snapshot < other && other < commit;
            if let Some((other, _)) = appends.of_list(key).iter().find(|append| between(append)) {
                return Some(format!(
                    "transaction {index} at {snapshot} changed list {key} at {commit}, and {other} came between"
                ));
            }
        }
        let writes = txn.appends().next().is_some();
        for (key, found) in txn.outer_reads().filter(|_| writes && level == Level::StrictSerializable) {
            if !appends.explains(key, commit - 1, found) {
                return Some(format!(
                    "transaction {index} read {found:?} of list {key}, which had changed when it committed as {commit}"
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::history::Op;

    fn txn(sequences: (u64, u64), ops: Vec<Op>) -> Txn {
        Txn { begin: 0, end: 1, outcome: End::Committed, ops, sequences: Some(sequences) }
    }

    #[test]
    fn a_change_between_snapshot_and_commit_is_found() {
        let first = txn((0, 1), vec![Op::Append(1, 11)]);
        let lost = txn((0, 2), vec![Op::Append(1, 12)]);
        assert!(check_commits(&[first.clone(), lost], Level::StrongSnapshot).is_some());
        let later = txn((1, 2), vec![Op::Read(1, vec![11]), Op::Append(1, 12)]);
        assert_eq!(check_commits(&[first.clone(), later], Level::StrictSerializable), None);
        let skewed = txn((0, 2), vec![Op::Read(1, vec![]), Op::Append(2, 21)]);
        let history = [first, skewed];
        assert_eq!(check_sequences(&history), None);
        assert_eq!(check_commits(&history, Level::StrongSnapshot), None);
        assert!(check_commits(&history, Level::StrictSerializable).is_some());
    }
}
