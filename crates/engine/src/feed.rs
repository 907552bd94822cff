//! The newest commits, for those who watch: kept in memory while somebody does, so that following the store costs no reads
//! of it, and announced to those who wait for one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use fountain_lsm::{Seq, SeqRange};

use crate::keyspace::CollectionId;
use crate::kv::Batch;
use crate::limits::MAX_FEED_BYTES;
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::sync::lock;

/// What a commit costs beside its bytes.
const ENTRY_BYTES: usize = 128;

/// Called once, when there is a commit to be seen. Dropped uncalled when there will be none.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// See the module.
pub(crate) struct Feed {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watchers: BTreeSet<u64>,
    last_id: u64,
    /// Every commit after `floor`, in order.
    recent: VecDeque<(Seq, Arc<Batch>)>,
    floor: Seq,
    bytes: usize,
    /// Collections that commits after `floor` have dropped: earlier ones of these commits may be about them.
    dropped: Vec<(Seq, CollectionId)>,
    waiting: BTreeMap<u64, Wake>,
    closed: bool,
}

/// Commits that are kept: in order, without a gap.
pub(crate) type Recent = Vec<(Seq, Arc<Batch>)>;

impl Feed {
    /// Of a store whose newest sequence is `floor`.
    pub fn new(floor: Seq) -> Self {
        Self { state: Mutex::new(State { floor, ..State::default() }) }
    }

    /// Begins to keep commits for one more watcher, and gives its number.
    pub fn enter(&self) -> u64 {
        let mut state = lock(&self.state);
        state.last_id += 1;
        let id = state.last_id;
        state.watchers.insert(id);
        id
    }

    /// Ends what `enter` began, and drops what the watcher waits with. Fine if that was done already.
    pub fn leave(&self, id: u64) {
        let mut state = lock(&self.state);
        state.watchers.remove(&id);
        let wake = state.waiting.remove(&id);
        drop(state);
        drop(wake);
    }

    /// Takes note of the collections that commits drop which have become visible, before they are gone from the catalog: whoever
    /// reads earlier commits has to know that they were collections.
    pub fn note_drops(&self, batches: &[Batch], range: SeqRange) {
        if batches.iter().all(|batch| batch.dropped().is_empty()) {
            return;
        }
        let mut state = lock(&self.state);
        for (batch, number) in batches.iter().zip(range.first.get()..) {
            let seq = Seq::new(number).unwrap_or(Seq::MAX);
            state.dropped.extend(batch.dropped().iter().map(|&id| (seq, id)));
        }
    }

    /// Takes note of commits that have become visible, and wakes those who wait.
    pub fn note_commits(&self, batches: Vec<Batch>, range: SeqRange) {
        let mut state = lock(&self.state);
        if state.watchers.is_empty() {
            state.recent.clear();
            state.dropped.clear();
            (state.bytes, state.floor) = (0, range.last);
            return;
        }
        let missed = usize::from(batches.len() > 1 && planted::active(Bug::WatchersMissCommit));
        for (batch, number) in batches.into_iter().zip(range.first.get()..).skip(missed) {
            state.bytes += batch.size_bytes() + ENTRY_BYTES;
            let Some(seq) = Seq::new(number) else { continue };
            state.recent.push_back((seq, Arc::new(batch)));
        }
        while state.bytes > MAX_FEED_BYTES
            && let Some((seq, batch)) = state.recent.pop_front()
        {
            state.bytes = state.bytes.saturating_sub(batch.size_bytes() + ENTRY_BYTES);
            state.floor = seq;
        }
        let floor = state.floor;
        state.dropped.retain(|(seq, _)| *seq > floor);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for wake in waiting.into_values() {
            hit(Mark::WatcherWoken);
            wake();
        }
    }

    /// The commits after `after`, as far as they are kept; `None` if the next one is not.
    pub fn after(&self, after: Seq) -> Option<Recent> {
        let state = lock(&self.state);
        if after < state.floor {
            return None;
        }
        let first = state.recent.partition_point(|(seq, _)| *seq <= after);
        Some(state.recent.range(first..).cloned().collect())
    }

    /// Whether a collection was dropped after `after`; `None` if that is not known any more. To be asked when the catalog
    /// does not have it: drops are noted before the catalog forgets, so no answer from before that counts.
    pub fn dropped_after(&self, after: Seq, collection: CollectionId) -> Option<bool> {
        let state = lock(&self.state);
        let is_it = |(seq, id): &(Seq, CollectionId)| *id == collection && *seq > after;
        (after >= state.floor).then(|| state.dropped.iter().any(is_it))
    }

    /// Keeps `wake` until there is a commit, unless `is_there` already says so: then it comes back to be called. After the
    /// watcher has left it is dropped.
    pub fn wait(&self, id: u64, is_there: impl FnOnce() -> bool, wake: Wake) -> Option<Wake> {
        let mut state = lock(&self.state);
        if is_there() {
            return Some(wake);
        }
        let over = state.closed || !state.watchers.contains(&id);
        let dropped = if over { Some(wake) } else { state.waiting.insert(id, wake) };
        drop(state);
        drop(dropped);
        None
    }

    /// Lets go of everybody who waits.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn batches(count: usize, bytes: usize) -> Vec<Batch> {
        (0..count)
            .map(|_| {
                let mut batch = Batch::default();
                batch.push(b"", &vec![1; bytes], None);
                batch
            })
            .collect()
    }

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq::new(first).unwrap(), last: Seq::new(last).unwrap() }
    }

    fn kept(feed: &Feed, after: u64) -> Option<Vec<u64>> {
        let commits = feed.after(Seq::new(after).unwrap())?;
        Some(commits.iter().map(|(seq, _)| seq.get()).collect())
    }

    #[test]
    fn commits_are_kept_without_a_gap_while_somebody_watches() {
        let feed = Feed::new(Seq::ZERO);
        feed.note_commits(batches(2, 1), range(1, 2));
        assert_eq!((kept(&feed, 1), kept(&feed, 2)), (None, Some(vec![])));
        let watcher = feed.enter();
        feed.note_commits(batches(2, 1), range(3, 4));
        assert_eq!((kept(&feed, 2), kept(&feed, 3)), (Some(vec![3, 4]), Some(vec![4])));
        feed.note_commits(batches(3, MAX_FEED_BYTES / 3), range(5, 7));
        assert_eq!((kept(&feed, 4), kept(&feed, 5)), (None, Some(vec![6, 7])));
        feed.leave(watcher);
        feed.note_commits(batches(1, 1), range(8, 8));
        assert_eq!((kept(&feed, 7), kept(&feed, 8)), (None, Some(vec![])));
    }

    #[test]
    fn who_waits_is_woken_once_by_the_next_commit_or_dropped_at_the_end() {
        let feed = Feed::new(Seq::ZERO);
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = || {
            let woken = Arc::clone(&woken);
            Box::new(move || {
                woken.fetch_add(1, Ordering::SeqCst);
            })
        };
        let (one, two) = (feed.enter(), feed.enter());
        assert!(feed.wait(one, || true, wake()).is_some());
        assert!(feed.wait(one, || false, wake()).is_none() && feed.wait(two, || false, wake()).is_none());
        feed.leave(two);
        assert!(feed.wait(two, || false, wake()).is_none());
        feed.note_commits(batches(1, 1), range(1, 1));
        feed.note_commits(batches(1, 1), range(2, 2));
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert!(feed.wait(one, || false, wake()).is_none());
        feed.close();
        assert!(feed.wait(one, || false, wake()).is_none());
        feed.note_commits(batches(1, 1), range(3, 3));
        assert_eq!((woken.load(Ordering::SeqCst), Arc::strong_count(&woken)), (1, 1));
    }
}
