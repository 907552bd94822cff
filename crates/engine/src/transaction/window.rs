//! What was written since the oldest open transaction began: the keys of recent commits, each with the newest sequence
//! that wrote it. It is bounded; what is over the limit is forgotten from the oldest commit on.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use fountain_lsm::{KeyRange, Seq};

use crate::commit::overlap;
use crate::kv::Batch;
use crate::limits::MAX_WINDOW_BYTES;

/// What a key costs beside its bytes, in both places.
const ENTRY_BYTES: usize = 96;

/// The keys of the commits after `floor`.
#[derive(Debug, Default)]
pub(super) struct Window {
    newest: BTreeMap<Arc<[u8]>, Seq>,
    commits: VecDeque<(Seq, Vec<Arc<[u8]>>)>,
    /// Ranges that were deleted, in order.
    ranges: Vec<(Seq, KeyRange)>,
    floor: Seq,
    bytes: usize,
}

impl Window {
    /// Everything that was written after this sequence is known.
    pub fn floor(&self) -> Seq {
        self.floor
    }

    /// The newest commit that it knows of.
    pub fn last(&self) -> Seq {
        self.commits.back().map_or(self.floor, |(seq, _)| *seq)
    }

    /// Takes note of a commit.
    pub fn push(&mut self, seq: Seq, batch: &Batch) {
        let mut keys = Vec::with_capacity(batch.len());
        for (key, _) in batch.ops() {
            let key: Arc<[u8]> = match self.newest.get_key_value(key) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::from(key),
            };
            self.bytes += key.len() + ENTRY_BYTES;
            self.newest.insert(Arc::clone(&key), seq);
            keys.push(key);
        }
        self.ranges.extend(batch.ranges().iter().map(|range| (seq, range.clone())));
        self.bytes += batch.ranges().iter().map(range_bytes).sum::<usize>();
        self.commits.push_back((seq, keys));
        while self.bytes > MAX_WINDOW_BYTES {
            let Some(oldest) = self.commits.front().map(|(seq, _)| *seq) else { break };
            self.forget_upto(oldest);
        }
    }

    /// Forgets the commits up to `seq`.
    pub fn forget_upto(&mut self, seq: Seq) {
        while self.commits.front().is_some_and(|(commit, _)| *commit <= seq) {
            let Some((commit, keys)) = self.commits.pop_front() else { break };
            for key in keys {
                self.bytes = self.bytes.saturating_sub(key.len() + ENTRY_BYTES);
                if self.newest.get(&key) == Some(&commit) {
                    self.newest.remove(&key);
                }
            }
        }
        let kept = self.ranges.partition_point(|(commit, _)| *commit <= seq);
        for (_, range) in self.ranges.drain(..kept) {
            self.bytes = self.bytes.saturating_sub(range_bytes(&range));
        }
        self.floor = self.floor.max(seq);
    }

    /// The commit that wrote `key` last, if it came after `since`.
    pub fn changed(&self, key: &[u8], since: Seq) -> Option<Seq> {
        let written = self.newest.get(key).copied();
        let deleted = self.ranges.iter().rev().find(|(_, range)| range.contains(key)).map(|(seq, _)| *seq);
        written.max(deleted).filter(|&seq| seq > since)
    }

    /// A key in `range`, or the beginning of a range with keys of it, that was written after `since`, and the commit that
    /// wrote it last.
    pub fn changed_in(&self, range: &KeyRange, since: Seq) -> Option<(&[u8], Seq)> {
        let deleted = self.ranges.iter().rev().find(|(_, deleted)| overlap(deleted, range));
        if let Some((seq, deleted)) = deleted.filter(|(seq, _)| *seq > since) {
            return Some((&deleted.start, *seq));
        }
        let from = self.newest.range::<[u8], _>((Bound::Included(range.start.as_slice()), Bound::Unbounded));
        from.take_while(|(key, _)| range.contains(key))
            .find(|(_, seq)| **seq > since)
            .map(|(key, seq)| (&**key, *seq))
    }
}

fn range_bytes(range: &KeyRange) -> usize {
    range.start.len() + range.end.as_ref().map_or(0, Vec::len) + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    fn batch(keys: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for key in keys {
            batch.push(b"", key.as_bytes(), None);
        }
        batch
    }

    #[test]
    fn the_newest_commit_of_a_key_decides() {
        let mut window = Window::default();
        window.push(seq(5), &batch(&["a", "b", "b"]));
        window.push(seq(6), &batch(&["a", "c"]));
        assert_eq!((window.changed(b"a", seq(5)), window.changed(b"b", seq(5))), (Some(seq(6)), None));
        let range = KeyRange { start: b"b".to_vec(), end: Some(b"c".to_vec()) };
        assert_eq!(window.changed_in(&range, seq(4)), Some((&b"b"[..], seq(5))));
        assert_eq!(window.changed_in(&range, seq(5)), None);
        assert_eq!(window.changed_in(&KeyRange::default(), seq(5)).map(|(_, seq)| seq), Some(seq(6)));

        window.forget_upto(seq(5));
        assert_eq!((window.floor(), window.changed(b"b", seq(0))), (seq(5), None));
        assert_eq!(window.changed(b"a", seq(0)), Some(seq(6)));
        let mut dropping = batch(&[]);
        dropping.delete_range(KeyRange { start: b"m".to_vec(), end: Some(b"p".to_vec()) });
        window.push(seq(7), &dropping);
        assert_eq!((window.changed(b"n", seq(6)), window.changed(b"p", seq(6))), (Some(seq(7)), None));
        assert_eq!(window.changed(b"n", seq(7)), None);
        let touching = |start: &[u8], end: &[u8]| KeyRange { start: start.to_vec(), end: Some(end.to_vec()) };
        assert!(window.changed_in(&touching(b"l", b"n"), seq(6)).is_some());
        assert!(window.changed_in(&touching(b"l", b"m"), seq(6)).is_none());
        window.forget_upto(seq(7));
        assert_eq!((window.bytes, window.newest.len(), window.ranges.len()), (0, 0, 0));
    }

    #[test]
    fn over_the_limit_the_oldest_commits_go() {
        let mut window = Window::default();
        let mut commits = 0;
        while window.floor() == Seq::ZERO {
            commits += 1;
            let keys: Vec<String> = (0..1000).map(|n| format!("{commits:010}{n:0900}")).collect();
            window.push(seq(commits), &batch(&keys.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        assert_eq!(window.floor(), seq(1));
        assert!(window.bytes <= MAX_WINDOW_BYTES && window.bytes > MAX_WINDOW_BYTES / 2);
    }
}
