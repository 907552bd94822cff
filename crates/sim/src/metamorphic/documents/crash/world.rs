//! What all collections hold after each commit; it knows nothing of how the store works.

use std::collections::{BTreeMap, BTreeSet};

use super::super::list::INDEXES;
use super::super::model::{State, entries};
use super::super::player::text_of;

/// The collection whose documents expire.
pub(super) const FLEETING: &str = "fleeting";

/// A collection as it was after some commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Collection {
    pub(super) records: State,
    /// Numbers of the indexes that are defined.
    pub(super) indexes: BTreeSet<usize>,
    /// Whether it keeps the newest versions only.
    pub(super) latest_only: bool,
}

/// All collections that there are, by name.
pub(super) type World = BTreeMap<&'static str, Collection>;

/// What can be read of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Keys and documents as JSON.
    pub(super) records: Vec<(u8, String)>,
    pub(super) indexes: BTreeSet<usize>,
    pub(super) latest_only: bool,
}

/// The states that a store went through.
#[derive(Clone, Debug)]
pub(super) struct Model {
    states: Vec<World>,
    /// The sequence of the commit that led to each; commits of the store itself come between.
    sequences: Vec<u64>,
}

impl Default for Model {
    fn default() -> Self {
        Self { states: vec![World::new()], sequences: vec![0] }
    }
}

impl Collection {
    /// What is there at a time.
    fn alive(&self, now: u64) -> State {
        let mut state = self.records.clone();
        state.retain(|_, document| document.x.is_none_or(|x| x > now));
        state
    }

    /// What must be read of it at a time.
    pub(super) fn seen(&self, now: u64) -> Seen {
        let records = self.alive(now).iter().map(|(key, document)| (*key, text_of(document))).collect();
        Seen { records, indexes: self.indexes.clone(), latest_only: self.latest_only }
    }

    /// The keys behind the entries of an index at a time, sorted: one for each entry.
    pub(super) fn entries(&self, index: usize, now: u64) -> Vec<u8> {
        entries(index, &self.alive(now))
    }

    /// A unique index that is defined, and a name that a document has.
    pub(super) fn taken_name(&self) -> Option<(u8, u8)> {
        let unique = self.indexes.iter().any(|index| INDEXES[*index].1);
        let named = self.records.iter().find_map(|(key, document)| Some((*key, document.e?)));
        named.filter(|_| unique)
    }
}

impl Model {
    /// How many commits there were.
    pub(super) fn commits(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// The state after the last commit.
    pub(super) fn newest(&self) -> &World {
        &self.states[self.states.len() - 1]
    }

    /// State and sequence after so many commits.
    pub(super) fn at(&self, commits: u64) -> Option<(&World, u64)> {
        let commits = usize::try_from(commits).ok()?;
        Some((self.states.get(commits)?, *self.sequences.get(commits)?))
    }

    /// One more commit.
    pub(super) fn push(&mut self, world: World, sequence: u64) {
        self.states.push(world);
        self.sequences.push(sequence);
    }

    /// The same store when only so many commits have happened.
    #[must_use]
    pub(super) fn upto(&self, commits: u64) -> Self {
        let count = commits as usize + 1;
        Self {
            states: self.states.iter().take(count).cloned().collect(),
            sequences: self.sequences.iter().take(count).copied().collect(),
        }
    }

    /// Whether a collection of this name has ever been allowed to forget its past.
    pub(super) fn may_forget(&self, name: &str) -> bool {
        self.states.iter().any(|world| world.get(name).is_some_and(|it| it.latest_only))
    }
}
