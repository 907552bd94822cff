//! Carries a list out on a store and compares every answer with the model.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use fountain_engine::keys::{Key, encode};
use fountain_engine::query::{Body, Query};
use fountain_engine::record::{Path, Value, from_json};
use fountain_engine::{
    Bounds, CollectionId, CollectionOptions, CollectionRetention, CollectionSetting, Direction, Durability,
    Error, ErrorCode, IndexDefinition, IndexKind, IndexScan, IndexScanEnd, Isolation, KeyRange, ManualClock,
    MemoryKv, Page, ReadTier, ScanEnd, ScanRequest, Seq, Snapshot, Store, StoreOptions, Timestamp, Ttl, View,
    WriteSet,
};

use super::Tally;
use super::list::{At, Condition, Document, INDEXES, KEYS, Op, SLOTS, Writes};
use super::model::{Model, State, apply, entries, found, has_duplicates, matching};
use crate::metamorphic::storage::config::{Medium, Promise};
use crate::metamorphic::storage::place::Place;
use crate::random::Random;

/// How a store is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// In memory, without the storage engine.
    Memory,
    /// On a simulated disk, as large as usual; the process is killed at crashes.
    Large,
    /// On a simulated disk, as small as can be; the power fails at crashes.
    Small,
}

/// When every store is made.
const BIRTH: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// How often a query of the newest state is begun anew.
const MAX_ATTEMPTS: usize = 100;
/// Records in a page, few enough that there are several.
const PAGE: usize = 5;

impl Setup {
    /// All setups.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Large, Self::Small];

    fn durability(self) -> Durability {
        if self == Self::Small { Durability::Disk } else { Durability::Os }
    }

    /// The options of the store.
    pub fn options(self, place: &Place, clock: &Arc<ManualClock>) -> StoreOptions {
        let small = StoreOptions {
            memtable_bytes: 6 << 10,
            wal_segment_bytes: 2 << 10,
            cache_bytes: 0,
            ..StoreOptions::default()
        };
        StoreOptions {
            fs: place.fs(),
            clock: Arc::clone(clock) as _,
            read_threads: 1,
            sweep_every: None,
            ..if self == Self::Small { small } else { StoreOptions::default() }
        }
    }
}

/// Plays a list. The seed decides how crashes go.
pub fn play(ops: &[Op], setup: Setup, seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut player = Player::new(setup, seed).map_err(told)?;
    for (step, op) in ops.iter().enumerate() {
        player.step(op).map_err(|what| format!("step {step}, {op:?}: {what}"))?;
    }
    for op in [Op::Scan(At::Newest), Op::Walk(0), Op::Reopen, Op::Scan(At::Newest), Op::Walk(0)] {
        player.step(&op).map_err(|what| format!("at the end, {op:?}: {what}"))?;
    }
    player.let_go();
    player.store.close().map_err(told)?;
    tally.add(&player.tally);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(super) fn told(error: Error) -> String {
    format!("{}: {error}", error.code)
}

struct Player {
    setup: Setup,
    random: Random,
    clock: Arc<ManualClock>,
    place: Place,
    memory: Arc<MemoryKv>,
    store: Store,
    plain: CollectionId,
    fleeting: CollectionId,
    model: Model,
    /// The sequence of each state of the model.
    sequences: Vec<Seq>,
    snapshots: [Option<Snapshot>; SLOTS],
    tally: Tally,
}

fn open(
    setup: Setup,
    place: &Place,
    memory: &Arc<MemoryKv>,
    clock: &Arc<ManualClock>,
) -> fountain_engine::Result<Store> {
    let options = setup.options(place, clock);
    match setup {
        Setup::Memory => Store::with_kv(Arc::clone(memory) as _, options),
        Setup::Large | Setup::Small => Store::open(FilePath::new("/store"), options),
    }
}

impl Player {
    fn new(setup: Setup, seed: u64) -> fountain_engine::Result<Self> {
        let clock = Arc::new(ManualClock::new(BIRTH));
        let (place, memory) = (Place::Simulated(crate::disk::SimFs::default()), Arc::default());
        let store = open(setup, &place, &memory, &clock)?;
        let durability = setup.durability();
        let plain = store.create_collection("plain", CollectionOptions::default(), durability)?;
        let ttl = Ttl { field: Path::parse("x")?, after: Duration::from_millis(BIRTH.millis()) };
        let options = CollectionOptions { ttl: Some(ttl), ..CollectionOptions::default() };
        let fleeting = store.create_collection("fleeting", options, durability)?;
        store.create_index(fleeting, definition(0)?, durability)?;
        let sequences = vec![store.sequence()];
        let (model, snapshots, tally) = (Model::default(), [const { None }; SLOTS], Tally::default());
        let random = Random::new(seed);
        Ok(Self {
            setup,
            random,
            clock,
            place,
            memory,
            store,
            plain,
            fleeting,
            model,
            sequences,
            snapshots,
            tally,
        })
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        self.tally.operations += 1;
        match op {
            Op::Commit(writes) => self.commit(writes),
            Op::CommitFleeting(writes) => self.commit_fleeting(writes),
            Op::Transaction(writes, condition, rolled_back) => {
                self.transaction(writes, *condition, *rolled_back)
            }
            Op::Get(key, at) => self.get(*key, *at),
            Op::Scan(at) => self.scan(*at),
            Op::Query(condition, at) => self.query(*condition, *at),
            Op::Find(index, value, at) => self.find(*index, *value, *at),
            Op::Walk(index) => self.walk(*index),
            Op::Define(index) => self.define(*index),
            Op::Drop(index) => self.drop_index(*index),
            Op::Snapshot(slot) => {
                let snapshot = self.store.snapshot().map_err(told)?;
                self.model.pins[*slot] = Some(self.model.newest());
                self.snapshots[*slot] = Some(snapshot);
                Ok(())
            }
            Op::Release(slot) => {
                (self.model.pins[*slot], self.snapshots[*slot]) = (None, None);
                Ok(())
            }
            Op::Retain(latest_only) => self.retain(*latest_only),
            Op::Wait(millis) => {
                self.clock.advance(Duration::from_millis(*millis));
                self.model.now += millis;
                Ok(())
            }
            Op::Sweep => {
                self.store.sweep_expired().map_err(told)?;
                self.model.fleeting = self.model.alive();
                self.walk_fleeting()
            }
            Op::Flush => self.store.flush().map_err(told),
            Op::Compact => self.store.compact().map_err(told),
            Op::Reopen => self.reopen(false),
            Op::Crash => self.reopen(true),
        }
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), String> {
        let set = self.write_set(self.plain, writes).map_err(told)?;
        let outcome = self.store.commit(set, self.setup.durability());
        self.committed(writes, outcome)
    }

    /// A commit happens, or a unique index refuses it.
    fn committed(&mut self, writes: &Writes, outcome: fountain_engine::Result<Seq>) -> Result<(), String> {
        match (outcome, self.model.with(writes)) {
            (Ok(seq), Some(state)) => {
                self.model.states.push(state);
                self.sequences.push(seq);
                Ok(())
            }
            (Err(error), None) if error.code == ErrorCode::Unique => Ok(()),
            (Ok(_), None) => Err("a unique key was given away twice".to_owned()),
            (Err(error), _) => Err(told(error)),
        }
    }

    fn commit_fleeting(&mut self, writes: &Writes) -> Result<(), String> {
        let set = self.write_set(self.fleeting, writes).map_err(told)?;
        self.store.commit(set, self.setup.durability()).map_err(told)?;
        apply(&mut self.model.fleeting, writes);
        Ok(())
    }

    fn write_set(&self, collection: CollectionId, writes: &Writes) -> fountain_engine::Result<WriteSet> {
        let mut set = WriteSet::new();
        for (key, document) in writes {
            match document {
                Some(document) => set.put(collection, &key_of(*key)?, &self.record(document)?)?,
                None => set.delete(collection, &key_of(*key)?)?,
            }
        }
        Ok(set)
    }

    fn record(&self, document: &Document) -> fountain_engine::Result<Vec<u8>> {
        self.store.encode(&from_json(&text_of(document))?)
    }

    fn transaction(
        &mut self,
        writes: &Writes,
        condition: Condition,
        rolled_back: bool,
    ) -> Result<(), String> {
        let transaction = self.store.begin(Isolation::Snapshot).map_err(told)?;
        let mut state = self.model.states[self.model.newest()].clone();
        for (key, document) in writes {
            let id = key_of(*key).map_err(told)?;
            match document {
                Some(document) => transaction.put(self.plain, &id, &self.record(document).map_err(told)?),
                None => transaction.delete(self.plain, &id),
            }
            .map_err(told)?;
        }
        apply(&mut state, writes);
        let seen = self.ask(condition, &View::from(&transaction)).map_err(told)?;
        same("a query in a transaction", &seen, &matching(&state, condition))?;
        if rolled_back {
            transaction.rollback();
            return Ok(());
        }
        self.committed(writes, transaction.commit(self.setup.durability()))
    }

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

    fn get(&self, key: u8, at: At) -> Result<(), String> {
        let id = key_of(key).map_err(told)?;
        let found = self.store.get(self.plain, &id, self.view(at), ReadTier::Disk);
        let found = found.and_then(|found| found.map(|found| self.store.to_json(&found)).transpose());
        self.compare("a document", at, found, |state| state.get(&key).map(text_of))
    }

    fn scan(&self, at: At) -> Result<(), String> {
        let found = self.scanned(self.plain, self.view(at));
        let all =
            |state: &State| state.iter().map(|(key, document)| (*key, text_of(document))).collect::<Vec<_>>();
        self.compare("all documents", at, found, all)?;
        let found = self.scanned(self.fleeting, View::Newest).map_err(told)?;
        same("documents that expire", &found, &all(&self.model.alive()))
    }

    fn scanned(&self, collection: CollectionId, at: View) -> fountain_engine::Result<Vec<(u8, String)>> {
        let mut request = ScanRequest {
            collection,
            range: KeyRange::default(),
            direction: Direction::Forward,
            at,
            max_records: PAGE,
            max_bytes: usize::MAX,
        };
        let (mut found, mut page) = (Vec::new(), Page::new());
        loop {
            let end = self.store.scan(&request, ReadTier::Disk, &mut page)?;
            for (key, record) in page.records() {
                found.push((number_of(key)?, self.store.to_json(record)?));
            }
            if end == ScanEnd::Done {
                return Ok(found);
            }
            request.continue_after(&page);
        }
    }

    fn query(&mut self, condition: Condition, at: At) -> Result<(), String> {
        self.tally.index_answers += 1;
        let found = self.ask(condition, &self.view(at));
        self.compare("a query", at, found, |state| matching(state, condition))
    }

    /// All pages of a query. Where only the newest state is kept, a commit of the store itself between two pages, such as a
    /// piece of an index, can end what the cursor names: then all of it is asked again.
    fn ask(&self, condition: Condition, view: &View) -> fountain_engine::Result<Vec<u8>> {
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

    fn find(&mut self, index: usize, value: u8, at: At) -> Result<(), String> {
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
        self.compare("what an index finds", at, found, |state| self::found(index, state, value))
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
        let mut request = IndexScan {
            collection,
            index: name.to_owned(),
            bounds,
            direction: Direction::Forward,
            at,
            after: None,
            max_records: PAGE,
            max_bytes: usize::MAX,
        };
        let (mut found, mut page) = (Vec::new(), Page::new());
        loop {
            let end = match self.store.scan_index(&request, ReadTier::Disk, &mut page) {
                Ok(end) => end,
                Err(error) if error.code == ErrorCode::NoIndex && !is_defined => return None,
                Err(error) if error.code == ErrorCode::IndexBuilding && is_defined => return None,
                Err(error) => return Some(Err(error)),
            };
            for (key, _) in page.records() {
                match number_of(key) {
                    Ok(key) => found.push(key),
                    Err(error) => return Some(Err(error)),
                }
            }
            match end {
                IndexScanEnd::Done => return Some(Ok(found)),
                IndexScanEnd::More(after) => request.after = Some(after),
            }
        }
    }

    /// All entries of an index once it is built, and of that of the documents that expire.
    fn walk(&mut self, index: usize) -> Result<(), String> {
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

    fn walk_fleeting(&mut self) -> Result<(), String> {
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

    fn define(&mut self, index: usize) -> Result<(), String> {
        let definition = definition(index).map_err(told)?;
        let id = self.store.create_index(self.plain, definition, self.setup.durability()).map_err(told)?;
        let (_, unique, ..) = INDEXES[index];
        // Others are built while the list goes on; whether a unique one can be built is to be known before.
        if unique {
            let fails = has_duplicates(&self.model.states[self.model.newest()]);
            match self.store.wait_for_index(id) {
                Ok(()) if !fails => {}
                Err(error) if fails && error.code == ErrorCode::Unique => return Ok(()),
                Ok(()) => return Err("a unique index was built over duplicates".to_owned()),
                Err(error) => return Err(told(error)),
            }
        }
        self.model.defined[index] = true;
        Ok(())
    }

    fn drop_index(&mut self, index: usize) -> Result<(), String> {
        let dropped = self.store.drop_index(self.plain, INDEXES[index].0, self.setup.durability());
        match (dropped, std::mem::take(&mut self.model.defined[index])) {
            (Ok(_), true) => Ok(()),
            (Err(error), false) if error.code == ErrorCode::NoIndex => Ok(()),
            (Ok(_), false) => Err("an index was dropped that was not there".to_owned()),
            (Err(error), _) => Err(told(error)),
        }
    }

    fn retain(&mut self, latest_only: bool) -> Result<(), String> {
        let retention = latest_only.then_some(CollectionRetention::LatestOnly);
        let settings = vec![CollectionSetting::Retention(retention)];
        self.store.alter_collection("plain", settings, self.setup.durability()).map_err(told)?;
        self.model.retain(latest_only);
        // What was begun under the old retention is over then.
        self.store.flush().and_then(|()| self.store.compact()).map_err(told)
    }

    fn let_go(&mut self) {
        self.snapshots = [const { None }; SLOTS];
    }

    fn reopen(&mut self, is_crash: bool) -> Result<(), String> {
        self.let_go();
        self.model.reopen();
        if is_crash {
            self.tally.crashes += 1;
            let promise = if self.setup == Setup::Small { Promise::Disk } else { Promise::Os };
            let empty = Place::new(Medium::Simulated).map_err(|error| error.to_string())?;
            let place = std::mem::replace(&mut self.place, empty);
            self.place = place.crashed(promise, &mut self.random);
        } else {
            self.store.close().map_err(told)?;
        }
        self.memory = Arc::new(self.memory.reopen());
        self.store = open(self.setup, &self.place, &self.memory, &self.clock).map_err(told)?;
        self.plain = self.store.collection("plain").map_err(told)?;
        self.fleeting = self.store.collection("fleeting").map_err(told)?;
        for (index, (name, unique, ..)) in INDEXES.into_iter().enumerate() {
            // The end of a build need not be on disk; what a unique index refuses is to be known from here on.
            if unique && self.model.defined[index] {
                let id = self.store.index(self.plain, name).map_err(told)?.id;
                self.store.wait_for_index(id).map_err(told)?;
            }
        }
        Ok(())
    }
}

pub(super) fn definition(index: usize) -> fountain_engine::Result<IndexDefinition> {
    let (name, unique, on, sparse) = INDEXES[index];
    let kind = if unique { IndexKind::Unique } else { IndexKind::Multi };
    let definition = IndexDefinition::new(name, kind, on)?;
    Ok(if sparse { definition.sparse() } else { definition })
}

fn key_of(key: u8) -> fountain_engine::Result<Vec<u8>> {
    encode(&Key::Number(f64::from(key)))
}

/// The number of a key; one that is none of ours has none.
fn number_of(key: &[u8]) -> fountain_engine::Result<u8> {
    for number in 0..KEYS as u8 {
        if key_of(number)? == key {
            return Ok(number);
        }
    }
    Ok(u8::MAX)
}

fn name_of(name: u8) -> String {
    format!("e{name}")
}

/// A document as JSON text.
fn text_of(document: &Document) -> String {
    let mut members = Vec::new();
    members.extend(document.n.map(|n| format!("\"n\":{n}")));
    members.extend(document.e.map(|e| format!("\"e\":\"{}\"", name_of(e))));
    let tags: Vec<String> = document.t.iter().map(u8::to_string).collect();
    members.push(format!("\"t\":[{}]", tags.join(",")));
    members.extend(document.x.map(|x| format!("\"x\":{x}")));
    members.push(format!("\"p\":\"{}\"", "p".repeat(document.len)));
    format!("{{{}}}", members.join(","))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, want: &T) -> Result<(), String> {
    if found == want { Ok(()) } else { Err(format!("{what}: {found:?}, expected {want:?}")) }
}
