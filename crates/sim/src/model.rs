//! What a store should hold: the state after every commit, as plain sorted maps.
//!
//! It knows nothing of how the engine works, and shares no code with it.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The bytes of a key or a value.
pub type Bytes = Arc<[u8]>;
/// Everything that can be read at one sequence.
pub type State = BTreeMap<Bytes, Bytes>;

/// One change of a commit. Those of a commit happen in order, and take effect together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value.
    Put(Bytes, Bytes),
    /// The key has no value.
    Delete(Bytes),
    /// No key from the first up to before the second has a value.
    DeleteRange(Bytes, Bytes),
}

/// When the value of a key changed, and to what.
pub type History = Vec<(u64, Option<Bytes>)>;

/// The states that a store went through.
#[derive(Clone, Debug)]
pub struct Model {
    /// The state after the commit with that number; the first is the empty one.
    states: Vec<Arc<State>>,
    /// When each commit was made, in milliseconds. While the clock is set back, time stands still.
    times: Vec<u64>,
    /// The changes of every key that ever had a value, from the oldest on.
    histories: BTreeMap<Bytes, History>,
}

impl Default for Model {
    fn default() -> Self {
        Self { states: vec![Arc::default()], times: vec![0], histories: BTreeMap::new() }
    }
}

impl Model {
    /// Sequence of the last commit.
    pub fn last(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// Adds a commit that is made at a time, and gives its sequence.
    pub fn commit(&mut self, changes: &[Change], now: u64) -> u64 {
        self.times.push(self.times.last().copied().unwrap_or_default().max(now));
        let mut state = State::clone(self.newest());
        for change in changes {
            match change {
                Change::Put(key, value) => drop(state.insert(Arc::clone(key), Arc::clone(value))),
                Change::Delete(key) => drop(state.remove(key)),
                Change::DeleteRange(start, end) => state.retain(|key, _| key < start || key >= end),
            }
        }
        for key in state.keys() {
            if !self.histories.contains_key(key) {
                self.histories.insert(Arc::clone(key), History::new());
            }
        }
        self.states.push(Arc::new(state));
        let (seq, state) = (self.last(), Arc::clone(&self.states[self.states.len() - 1]));
        for (key, history) in &mut self.histories {
            let value = state.get(key);
            if history.last().and_then(|(_, value)| value.as_ref()) != value {
                history.push((seq, value.cloned()));
            }
        }
        seq
    }

    /// The state after a commit, if there was one with this sequence.
    pub fn at(&self, seq: u64) -> Option<&State> {
        self.states.get(usize::try_from(seq).ok()?).map(Arc::as_ref)
    }

    /// The newest commit that had been made at a time.
    pub fn newest_at(&self, time: u64) -> u64 {
        self.times.partition_point(|made| *made <= time).saturating_sub(1) as u64
    }

    /// When a commit was made, in milliseconds; 0 if there was none with this sequence.
    pub fn time_of(&self, seq: u64) -> u64 {
        usize::try_from(seq).ok().and_then(|seq| self.times.get(seq).copied()).unwrap_or_default()
    }

    /// The state after the last commit.
    pub fn newest(&self) -> &State {
        &self.states[self.states.len() - 1]
    }

    /// The same store when only the commits up to this one have happened.
    #[must_use]
    pub fn upto(&self, seq: u64) -> Self {
        let mut histories = self.histories.clone();
        for history in histories.values_mut() {
            history.retain(|(changed, _)| *changed <= seq);
        }
        let commits = seq as usize + 1;
        let times = self.times.iter().take(commits).copied().collect();
        Self { states: self.states.iter().take(commits).cloned().collect(), times, histories }
    }

    /// Every key that ever had a value, ascending, with its changes from the oldest on.
    pub fn histories(&self) -> impl Iterator<Item = (&Bytes, &History)> {
        self.histories.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        text.as_bytes().into()
    }

    #[test]
    fn changes_of_a_commit_happen_in_order_and_old_states_stay() {
        let mut model = Model::default();
        model.commit(&[Change::Put(bytes("a"), bytes("1")), Change::Put(bytes("b"), bytes("1"))], 5);
        let second = [Change::DeleteRange(bytes("a"), bytes("b")), Change::Put(bytes("a"), bytes("2"))];
        assert_eq!(model.commit(&second, 9), 2);
        model.commit(&[Change::Delete(bytes("a"))], 7);
        let (key, history) = model.histories().next().unwrap();
        assert_eq!(**key, *b"a");
        assert_eq!(*history, [(1, Some(bytes("1"))), (2, Some(bytes("2"))), (3, None)]);
        assert_eq!(model.upto(2).histories().next().unwrap().1.len(), 2);
        assert_eq!(model.upto(2).newest().len(), 2);
        assert_eq!((model.at(3).unwrap().len(), model.at(4)), (1, None));
        assert_eq!([4, 5, 8, 9].map(|time| model.newest_at(time)), [0, 1, 1, 3]);
    }
}
