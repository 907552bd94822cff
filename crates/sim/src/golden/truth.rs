//! What was committed to a store, and so what it must say. Shares no code with the engine.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// One operation of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key gets a value.
    Put(Vec<u8>, Vec<u8>),
    /// A key is deleted.
    Delete(Vec<u8>),
    /// The keys from the first up to before the second are deleted, as they were before the commit.
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// What happened to each key: sequences ascending, each with the value, or `None` where a value was deleted.
pub type History = BTreeMap<Vec<u8>, Vec<(u64, Option<Vec<u8>>)>>;

/// All commits of a store.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    commits: Vec<Vec<Change>>,
    /// Below this sequence nothing has to be readable.
    pub floor: u64,
    histories: OnceLock<Vec<OnceLock<History>>>,
}

impl Truth {
    /// Adds the next commit.
    pub fn commit(&mut self, changes: Vec<Change>) {
        self.commits.push(changes);
    }

    /// The newest sequence.
    pub fn newest(&self) -> u64 {
        self.commits.len() as u64
    }

    /// What happened to each key up to a sequence.
    pub fn history(&self, upto: u64) -> &History {
        let all = self.histories.get_or_init(|| (0..=self.commits.len()).map(|_| OnceLock::new()).collect());
        let upto = (upto as usize).min(self.commits.len());
        all[upto].get_or_init(|| self.replay(upto))
    }

    /// Every record as of a sequence.
    pub fn records(&self, at: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let newest = |versions: &[(u64, Option<Vec<u8>>)]| {
            versions.iter().rev().find(|version| version.0 <= at).and_then(|version| version.1.clone())
        };
        let history = self.history(self.newest()).iter();
        history.filter_map(|(key, versions)| Some((key.clone(), newest(versions)?))).collect()
    }

    fn replay(&self, upto: usize) -> History {
        let mut history = History::new();
        for (index, changes) in self.commits[..upto].iter().enumerate() {
            let seq = index as u64 + 1;
            let mut effects: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
            for change in changes {
                match change {
                    Change::Put(key, value) => drop(effects.insert(key, Some(value))),
                    Change::Delete(key) => drop(effects.insert(key, None)),
                    // What the commit itself did in the range before is taken back, too.
                    Change::DeleteRange(start, end) if start < end => {
                        effects.retain(|key, _| !(&start[..]..&end[..]).contains(key));
                        let inside = history.range_mut(start.clone()..end.clone());
                        inside.for_each(|(_, versions)| delete(versions, seq));
                    }
                    Change::DeleteRange(..) => {}
                }
            }
            for (key, value) in effects {
                match value {
                    Some(value) => {
                        let versions = history.entry(key.to_vec()).or_default();
                        // Of one commit only the outcome counts.
                        versions.retain(|(at, _)| *at < seq);
                        versions.push((seq, Some(value.to_vec())));
                    }
                    None => drop(history.get_mut(key).map(|versions| delete(versions, seq))),
                }
            }
        }
        history
    }
}

/// A deletion counts only where there is something to delete.
fn delete(versions: &mut Vec<(u64, Option<Vec<u8>>)>, seq: u64) {
    if versions.last().is_some_and(|(_, value)| value.is_some()) {
        versions.push((seq, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change::Put(key.into(), value.into())
    }

    #[test]
    fn a_history_has_what_changed_and_records_are_what_is_left_of_it() {
        let mut truth = Truth::default();
        truth.commit(vec![put("a", "1"), put("b", "1")]);
        truth.commit(vec![Change::DeleteRange("a".into(), "b".into()), Change::Delete("x".into())]);
        let range = Change::DeleteRange("c".into(), "e".into());
        truth.commit(vec![put("d", "3"), range, put("c", "3")]);
        assert_eq!(truth.newest(), 3);
        let all = truth.history(3);
        assert_eq!(all[&b"a"[..]], [(1, Some(b"1".to_vec())), (2, None)]);
        assert!(!all.contains_key(&b"x"[..]));
        assert_eq!(truth.records(3).into_keys().collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!(truth.records(1).len(), 2);
        assert_eq!(truth.history(1).len(), 2);
    }
}
