//! Everything that is read of a store, compared with the model: by key, by collection, by index and by query.

use fountain_engine::query::{Body, Query};
use fountain_engine::record::Value;
use fountain_engine::{Bounds, CollectionId, Direction, ErrorCode, IndexScan, ReadTier, Store, View};

use super::list::{At, Condition, INDEXES, KEYS};
use super::model::{State, entries, matching};
use super::player::{Player, key_of, name_of, text_of, told};
use crate::pages;

/// How often a query of the newest state is begun anew.
const MAX_ATTEMPTS: usize = 100;
/// Records in a page, few enough that there are several.
const PAGE: usize = 5;

impl Player {
    fn view(&self, at: At) -> View {
        match at {
            At::Newest => View::Newest,
            At::Slot(slot) => match &self.snapshots[slot] {
                Some(snapshot) => View::At(snapshot.sequence()),
                None => View::Newest,
            },
            At::Back(_) => View::At(self.sequences[self.model.state_at(at).0]),
        }
    }

    /// Compares an answer as of some state; where that may be gone, it may be refused.
    fn compare<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        at: At,
        found: fountain_engine::Result<T>,
        want: impl FnOnce(&State) -> T,
    ) -> Result<(), String> {
        let (state, is_certain) = self.model.state_at(at);
        match found {
            Ok(found) => same(what, &found, &want(&self.model.states[state])),
            Err(error) if error.code == ErrorCode::HistoryTruncated && !is_certain => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    pub(super) fn get(&self, key: u8, at: At) -> Result<(), String> {
        let id = key_of(key).map_err(told)?;
        let found = self.store.get(self.plain, &id, self.view(at), ReadTier::Disk);
        let found = found.and_then(|found| found.map(|found| self.store.to_json(&found)).transpose());
        self.compare("a document", at, found, |state| state.get(&key).map(text_of))
    }

    pub(super) fn scan(&self, at: At) -> Result<(), String> {
        let found = scanned(&self.store, self.plain, self.view(at));
        let all =
            |state: &State| state.iter().map(|(key, document)| (*key, text_of(document))).collect::<Vec<_>>();
        self.compare("all documents", at, found, all)?;
        let found = scanned(&self.store, self.fleeting, View::Newest).map_err(told)?;
        same("documents that expire", &found, &all(&self.model.alive()))
    }

    pub(super) fn query(&mut self, condition: Condition, at: At) -> Result<(), String> {
        self.tally.index_answers += 1;
        let found = self.ask(condition, &self.view(at));
        self.compare("a query", at, found, |state| matching(state, condition))
    }

    /// All pages of a query. Where only the newest state is kept, a commit of the store itself between two pages, such as a
    /// piece of an index, can end what the cursor names: then all of it is asked again.
    pub(super) fn ask(&self, condition: Condition, view: &View) -> fountain_engine::Result<Vec<u8>> {
        let mut answer = self.ask_once(condition, view);
        for _ in 0..MAX_ATTEMPTS {
            match answer {
                Err(error) if error.code == ErrorCode::HistoryTruncated && matches!(view, View::Newest) => {}
                answer => return answer,
            }
            answer = self.ask_once(condition, view);
        }
        answer
    }

    fn ask_once(&self, condition: Condition, view: &View) -> fountain_engine::Result<Vec<u8>> {
        let mut filter = serde_json::Map::new();
        filter.extend(condition.n.map(|n| ("n".to_owned(), n.into())));
        filter.extend(condition.t.map(|t| ("t[]".to_owned(), t.into())));
        let text = serde_json::json!({ "where": filter, "limit": PAGE }).to_string();
        let Body::Find(mut query) = self.store.parse_query(self.plain, &text, false)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        loop {
            found.extend(self.page(&mut query, view.clone())?);
            if query.cursor.is_none() {
                return Ok(found);
            }
        }
    }

    /// One page of a query, which is set to the next.
    fn page(&self, query: &mut Query, view: View) -> fountain_engine::Result<Vec<u8>> {
        let answer = self.store.query(self.plain, query, view)?;
        query.cursor.clone_from(&answer.next);
        answer.page.records().map(|(key, _)| number_of(key)).collect()
    }

    pub(super) fn find(&mut self, index: usize, value: u8, at: At) -> Result<(), String> {
        let key = if INDEXES[index].0 == "e" {
            Value::String(name_of(value))
        } else {
            Value::Number(f64::from(value))
        };
        let bounds = Bounds::equal(&[key]).map_err(told)?;
        let Some(mut found) =
            self.read_index(self.plain, INDEXES[index].0, bounds, self.view(at), self.model.defined[index])
        else {
            return Ok(());
        };
        self.tally.index_answers += 1;
        if let Ok(found) = &mut found {
            found.sort_unstable();
        }
        self.compare("what an index finds", at, found, |state| super::model::found(index, state, value))
    }

    /// The keys behind the entries of an index; `None` where it is not there or not ready, which has to be so.
    fn read_index(
        &self,
        collection: CollectionId,
        name: &str,
        bounds: Bounds,
        at: View,
        is_defined: bool,
    ) -> Option<fountain_engine::Result<Vec<u8>>> {
        let request = IndexScan {
            collection,
            index: name.to_owned(),
            bounds,
            direction: Direction::Forward,
            at,
            after: None,
            max_records: PAGE,
            max_bytes: usize::MAX,
        };
        match pages::indexed(&self.store, request, number_of) {
            Err(error) if error.code == ErrorCode::NoIndex && !is_defined => None,
            Err(error) if error.code == ErrorCode::IndexBuilding && is_defined => None,
            found => Some(found),
        }
    }

    /// All entries of an index once it is built, and of that of the documents that expire.
    pub(super) fn walk(&mut self, index: usize) -> Result<(), String> {
        if self.model.defined[index] {
            let id = self.store.index(self.plain, INDEXES[index].0).map_err(told)?.id;
            self.store.wait_for_index(id).map_err(told)?;
            let read = self.read_index(self.plain, INDEXES[index].0, Bounds::all(), View::Newest, true);
            let mut found = read.ok_or("an index that was built is not ready")?.map_err(told)?;
            found.sort_unstable();
            self.tally.index_answers += 1;
            same("a whole index", &found, &entries(index, &self.model.states[self.model.newest()]))?;
        }
        self.walk_fleeting()
    }

    pub(super) fn walk_fleeting(&mut self) -> Result<(), String> {
        let id = self.store.index(self.fleeting, "n").map_err(told)?.id;
        self.store.wait_for_index(id).map_err(told)?;
        let read = self.read_index(self.fleeting, "n", Bounds::all(), View::Newest, true);
        let mut found = read.ok_or("an index that was built is not ready")?.map_err(told)?;
        found.sort_unstable();
        self.tally.index_answers += 1;
        same(
            "the index of documents that expire",
            &found,
            &self.model.alive().into_keys().collect::<Vec<_>>(),
        )
    }
}

/// Everything in a collection as a view sees it.
pub(super) fn scanned(
    store: &Store,
    collection: CollectionId,
    at: View,
) -> fountain_engine::Result<Vec<(u8, String)>> {
    pages::scanned(store, collection, at, PAGE, number_of)
}

/// The keys behind all entries of an index in the newest state, sorted.
pub(super) fn index_entries(
    store: &Store,
    collection: CollectionId,
    name: &str,
) -> fountain_engine::Result<Vec<u8>> {
    let request = IndexScan {
        collection,
        index: name.to_owned(),
        bounds: Bounds::all(),
        direction: Direction::Forward,
        at: View::Newest,
        after: None,
        max_records: PAGE,
        max_bytes: usize::MAX,
    };
    let mut found = pages::indexed(store, request, number_of)?;
    found.sort_unstable();
    Ok(found)
}

/// The number of a key; one that is none of ours has none.
pub(super) fn number_of(key: &[u8]) -> fountain_engine::Result<u8> {
    for number in 0..KEYS as u8 {
        if key_of(number)? == key {
            return Ok(number);
        }
    }
    Ok(u8::MAX)
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, want: &T) -> Result<(), String> {
    if found == want { Ok(()) } else { Err(format!("{what}: {found:?}, expected {want:?}")) }
}
