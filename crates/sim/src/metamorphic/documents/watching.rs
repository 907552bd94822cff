//! Watchers, and what they are told, compared with the model: every commit behind the state from which they watch, in order,
//! once, whether memory or storage has it, and also when the store was closed or died in between.
//!
//! A watcher that lives on behind a crash goes on from the last commit that it was told of, as a program would that remembers its
//! sequence. How far it was led beyond that does not count: the commits in between, such as pieces of an index, may be gone, and
//! their sequences given to others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fountain_engine::{ErrorCode, Seq, VersionPage, Watch};

use super::list::At;
use super::player::{Player, text_of, told};
use super::reads::{number_of, same};

/// A watcher of a list.
pub(super) struct Watcher {
    /// Of `plain` alone, or of everything.
    alone: bool,
    open: Option<Open>,
}

/// A watcher of an open store.
struct Open {
    watch: Watch,
    /// Up to where it has been led.
    after: Seq,
    /// Set when it is woken, if it waits.
    woken: Option<Arc<AtomicBool>>,
}

/// What a page says of a commit: documents by key, and what was deleted.
type Changes = BTreeMap<u8, Option<String>>;

impl Watcher {
    /// The store is about to be closed, or has died.
    pub(super) fn let_go(&mut self) {
        self.open = None;
    }
}

impl Player {
    pub(super) fn watch(&mut self, watcher: usize, from: At, alone: bool) -> Result<(), String> {
        let (state, _) = self.model.state_at(from);
        self.model.watchers[watcher] = Some(state);
        self.watchers[watcher] = Some(Watcher { alone, open: None });
        self.open_watch(watcher, state)
    }

    fn open_watch(&mut self, watcher: usize, state: usize) -> Result<(), String> {
        let (watch, after) = (self.store.watch().map_err(told)?, self.sequences[state]);
        if let Some(watcher) = &mut self.watchers[watcher] {
            watcher.open.get_or_insert(Open { watch, after, woken: None });
        }
        Ok(())
    }

    pub(super) fn follow(&mut self, watcher: usize, pages: usize, max_bytes: usize) -> Result<(), String> {
        for _ in 0..pages {
            let Some(before) = self.model.watchers[watcher] else { return Ok(()) };
            self.open_watch(watcher, before)?;
            if !self.next_page(watcher, before, max_bytes)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there was more to be told. A watcher whose commits are not kept may be told so, and ends.
    fn next_page(&mut self, number: usize, before: usize, max_bytes: usize) -> Result<bool, String> {
        let newest = self.model.newest();
        let Some(Watcher { alone, open: Some(open) }) = &mut self.watchers[number] else { return Ok(false) };
        let must_be_told = self.model.is_told_since(before, *alone);
        let is_woken = open.woken.take().is_none_or(|woken| woken.load(Ordering::SeqCst));
        if !is_woken && before < newest {
            return Err(format!("a watcher that waited behind {} was not woken by a commit", open.after));
        }
        let (only, mut page) = (alone.then_some(self.plain), VersionPage::new());
        let reached = match open.watch.next(only, open.after, max_bytes, &mut page) {
            Ok(reached) => reached,
            Err(error) if error.code == ErrorCode::HistoryTruncated && !must_be_told => {
                (self.model.watchers[number], self.watchers[number]) = (None, None);
                return Ok(false);
            }
            Err(error) => return Err(told(error)),
        };
        let is_over = reached == open.after;
        open.after = reached;
        if is_over {
            let woken = Arc::new(AtomicBool::new(false));
            open.woken = Some(Arc::clone(&woken));
            open.watch.when_after(reached, Box::new(move || woken.store(true, Ordering::SeqCst)));
        }
        if is_over && before < newest {
            return Err(format!("a watcher is told nothing more after {reached}"));
        }
        let upto = self.sequences.partition_point(|seq| *seq <= reached) - 1;
        same("what a watcher is told", &self.told(&page)?, &self.expected(before, upto))?;
        self.tally.told += (upto - before) as u64;
        self.model.watchers[number] = Some(upto);
        Ok(!is_over)
    }

    /// What a page says of the commits to `plain`, in the order in which it does.
    fn told(&self, page: &VersionPage) -> Result<Vec<(Seq, Changes)>, String> {
        let mut all: Vec<(Seq, Changes)> = Vec::new();
        for (seq, _, key, document) in page.versions().filter(|(_, id, ..)| *id == self.plain) {
            let key = number_of(key).map_err(told)?;
            let document = document.map(|document| self.store.to_json(document)).transpose().map_err(told)?;
            let state = self.sequences.binary_search(&seq).map_err(|_| format!("{seq} is no commit"))?;
            let was_there = state > 0 && self.model.states[state - 1].contains_key(&key);
            if all.last().is_none_or(|(last, _)| *last != seq) {
                all.push((seq, Changes::new()));
            }
            let Some((_, changes)) = all.last_mut() else { continue };
            // What was not there may be deleted again, whether that is told or not.
            if (document.is_some() || was_there) && changes.insert(key, document).is_some() {
                return Err(format!("a watcher is told twice what commit {seq} did with {key}"));
            }
        }
        all.retain(|(_, changes)| !changes.is_empty());
        Ok(all)
    }

    /// What is to be told of the commits that led from one state to another.
    fn expected(&self, before: usize, upto: usize) -> Vec<(Seq, Changes)> {
        let text = |(key, document): (u8, Option<_>)| (key, document.as_ref().map(text_of));
        let states = before + 1..=upto;
        let all = states.map(|state| {
            let changes: Changes = self.model.told_of(state).into_iter().map(text).collect();
            (self.sequences[state], changes)
        });
        all.filter(|(_, changes)| !changes.is_empty()).collect()
    }
}
