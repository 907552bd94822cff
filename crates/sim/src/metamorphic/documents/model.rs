//! What the collections should hold, and what indexes should say of it.
//!
//! It keeps every state that a commit left and works everything out from the documents. How the store numbers its commits
//! depends on its setup, as the building of indexes takes some; so states are counted by the commits of the list.

use std::collections::BTreeMap;

use super::list::{At, Condition, Document, INDEXES, SLOTS, WATCHERS, Writes};

/// The documents of a collection.
pub type State = BTreeMap<u8, Document>;

/// See the module.
pub struct Model {
    /// What `plain` held after each commit.
    pub states: Vec<State>,
    /// The commits that left these states. Nothing led to the first one.
    pub commits: Vec<Writes>,
    /// What `fleeting` holds, expired or not.
    pub fleeting: State,
    /// The time, in milliseconds.
    pub now: u64,
    /// Which indexes of `plain` are defined.
    pub defined: [bool; INDEXES.len()],
    /// The states that snapshots show.
    pub pins: [Option<usize>; SLOTS],
    /// The states up to which watchers have been told everything, if they are there.
    pub watchers: [Option<usize>; WATCHERS],
    /// States before this one may be gone.
    pub floor: usize,
    pub latest_only: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            states: vec![State::new()],
            commits: vec![Writes::new()],
            fleeting: State::new(),
            now: 0,
            defined: [false; INDEXES.len()],
            pins: [None; SLOTS],
            watchers: [None; WATCHERS],
            floor: 0,
            latest_only: false,
        }
    }
}

impl Model {
    pub fn newest(&self) -> usize {
        self.states.len() - 1
    }

    /// The state that is to be read, and whether it has to be there. Where the newest only is kept, the sequence of the last
    /// commit of the list may be gone, too: others came after it, which built indexes.
    pub fn state_at(&self, at: At) -> (usize, bool) {
        let newest = self.newest();
        match at {
            At::Newest => (newest, true),
            At::Slot(slot) => (self.pins[slot].unwrap_or(newest), true),
            At::Back(back) => {
                let state = newest.saturating_sub(back);
                (state, self.is_kept_since(state))
            }
        }
    }

    /// The newest state with some writes; `None` if a unique index refuses that.
    pub fn with(&self, writes: &Writes) -> Option<State> {
        let mut state = self.states[self.newest()].clone();
        apply(&mut state, writes);
        let is_refused = |index: usize| self.defined[index] && INDEXES[index].1 && has_duplicates(&state);
        (!(0..INDEXES.len()).any(is_refused)).then_some(state)
    }

    /// A commit that left a state.
    pub fn commit(&mut self, writes: &Writes, state: State) {
        self.commits.push(writes.clone());
        self.states.push(state);
    }

    /// What a watcher is told of the commit that led to a state: of each key the last that it did with it. Whether what was not
    /// there has been deleted again is nobody's business.
    pub fn told_of(&self, state: usize) -> BTreeMap<u8, Option<Document>> {
        let mut told: BTreeMap<_, _> = self.commits[state].iter().cloned().collect();
        let before = state.checked_sub(1).map(|before| &self.states[before]);
        let was_there = |key: &u8| before.is_some_and(|before| before.contains_key(key));
        told.retain(|key, document| document.is_some() || was_there(key));
        told
    }

    /// Whether everything that was done with `plain` behind a state is certainly kept.
    fn is_kept_since(&self, state: usize) -> bool {
        state >= self.floor && !self.latest_only
    }

    /// Whether a watcher that has been told everything up to a state is certainly told the rest. One of everything is refused as
    /// soon as something is not kept of any keyspace, and an index that was dropped keeps the retention of its day for ever.
    pub fn is_told_since(&self, state: usize, alone: bool) -> bool {
        self.is_kept_since(state) && (alone || self.floor == 0)
    }

    /// What `fleeting` shows.
    pub fn alive(&self) -> State {
        let mut state = self.fleeting.clone();
        state.retain(|_, document| document.x.is_none_or(|x| x > self.now));
        state
    }

    pub fn retain(&mut self, latest_only: bool) {
        if self.latest_only {
            self.floor = self.newest() + 1;
        }
        self.latest_only = latest_only;
    }

    /// The pins are gone.
    pub fn reopen(&mut self) {
        self.pins = [None; SLOTS];
    }
}

/// Carries out writes.
pub fn apply(state: &mut State, writes: &Writes) {
    for (key, document) in writes {
        match document {
            Some(document) => drop(state.insert(*key, document.clone())),
            None => drop(state.remove(key)),
        }
    }
}

/// Whether two documents have one name.
pub fn has_duplicates(state: &State) -> bool {
    let mut names: Vec<u8> = state.values().filter_map(|document| document.e).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() < count
}

/// The keys of the documents that meet a condition, ascending.
pub fn matching(state: &State, condition: Condition) -> Vec<u8> {
    let meets = |document: &Document| {
        condition.n.is_none_or(|n| document.n == Some(n))
            && condition.t.is_none_or(|t| document.t.contains(&t))
    };
    state.iter().filter(|(_, document)| meets(document)).map(|(key, _)| *key).collect()
}

/// The keys of the documents under the first value `value` in an index: once for each entry, ascending.
pub fn found(index: usize, state: &State, value: u8) -> Vec<u8> {
    let has = |document: &Document| match INDEXES[index].0 {
        "n" => document.n == Some(value),
        "tags" => document.t.contains(&value),
        "pair" => document.t.contains(&value) && document.n.is_some(),
        _ => document.e == Some(value),
    };
    state.iter().filter(|(_, document)| has(document)).map(|(key, _)| *key).collect()
}

/// How many entries each document has in an index, by keys.
pub fn entries(index: usize, state: &State) -> Vec<u8> {
    let count = |document: &Document| {
        let mut tags = document.t.clone();
        tags.sort_unstable();
        tags.dedup();
        match INDEXES[index].0 {
            "tags" => tags.len().max(1),
            "pair" if document.n.is_none() => 0,
            "pair" => tags.len(),
            _ => 1,
        }
    };
    state.iter().flat_map(|(key, document)| std::iter::repeat_n(*key, count(document))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(n: Option<u8>, e: Option<u8>, t: &[u8]) -> Document {
        Document { n, e, t: t.to_vec(), x: None, len: 0 }
    }

    #[test]
    fn indexes_are_worked_out_from_documents() {
        let mut state = State::new();
        apply(
            &mut state,
            &vec![(1, Some(document(Some(2), Some(7), &[4, 4, 3]))), (2, Some(document(None, None, &[])))],
        );
        assert_eq!(
            [0, 1, 2, 3].map(|index| entries(index, &state)),
            [vec![1, 2], vec![1, 1, 2], vec![1, 1], vec![1, 2]]
        );
        assert_eq!(
            (found(1, &state, 4), found(2, &state, 3), found(3, &state, 7)),
            (vec![1], vec![1], vec![1])
        );
        assert_eq!(matching(&state, Condition { n: Some(2), t: Some(3) }), [1]);
        assert!(!has_duplicates(&state));
        apply(&mut state, &vec![(3, Some(document(None, Some(7), &[])))]);
        assert!(has_duplicates(&state));
    }

    #[test]
    fn a_state_before_the_floor_is_certain_only_while_a_snapshot_holds_it() {
        let mut model = Model::default();
        model.states.extend([State::new(), State::new()]);
        model.retain(true);
        assert_eq!((model.state_at(At::Back(1)), model.state_at(At::Newest)), ((1, false), (2, true)));
        model.pins[0] = Some(1);
        assert_eq!(model.state_at(At::Slot(0)), (1, true));
        model.retain(false);
        model.states.push(State::new());
        model.reopen();
        assert_eq!((model.state_at(At::Slot(0)), model.state_at(At::Back(1))), ((3, true), (2, false)));
        model.states.push(State::new());
        assert_eq!(model.state_at(At::Back(1)), (3, true));
        assert_eq!([true, false].map(|alone| model.is_told_since(3, alone)), [true, false]);
        assert!(!model.is_told_since(2, true) && Model::default().is_told_since(0, false));
    }
}
