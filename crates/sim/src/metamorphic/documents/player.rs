//! Carries a list out on a store and compares every answer with the model.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use fountain_engine::keys::{Key, encode};
use fountain_engine::record::{Path, from_json};
use fountain_engine::{
    CollectionId, CollectionOptions, CollectionRetention, CollectionSetting, Durability, Error, ErrorCode,
    IndexDefinition, IndexKind, Isolation, ManualClock, MemoryKv, Seq, Snapshot, StorageOptions, Store,
    StoreOptions, Timestamp, Ttl, View, WriteSet, verify,
};

use super::Tally;
use super::list::{At, Condition, Document, INDEXES, Op, SLOTS, WATCHERS, Writes};
use super::model::{Model, apply, has_duplicates, matching};
use super::reads::same;
use super::watching::Watcher;
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

/// Where stores lie.
pub(super) const STORE: &str = "/store";
/// When every store is made.
const BIRTH: Timestamp = Timestamp::from_millis(1_700_000_000_000);

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
    let all = |watcher| Op::Follow { watcher, pages: usize::MAX, max_bytes: 1 << 20 };
    let read = || [Op::Scan(At::Newest), Op::Walk(0)].into_iter().chain((0..WATCHERS).map(all));
    for op in read().chain([Op::Reopen]).chain(read()) {
        player.step(&op).map_err(|what| format!("at the end, {op:?}: {what}"))?;
    }
    player.let_go();
    player.store.close().map_err(told)?;
    if setup == Setup::Small {
        player.verify()?;
    }
    tally.add(&player.tally);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(super) fn told(error: Error) -> String {
    format!("{}: {error}", error.code)
}

/// A store with what it should hold.
pub(super) struct Player {
    setup: Setup,
    random: Random,
    clock: Arc<ManualClock>,
    place: Place,
    memory: Arc<MemoryKv>,
    pub(super) store: Store,
    pub(super) plain: CollectionId,
    pub(super) fleeting: CollectionId,
    pub(super) model: Model,
    /// The sequence of each state of the model.
    pub(super) sequences: Vec<Seq>,
    pub(super) snapshots: [Option<Snapshot>; SLOTS],
    pub(super) watchers: [Option<Watcher>; WATCHERS],
    pub(super) tally: Tally,
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
        Setup::Large | Setup::Small => Store::open(FilePath::new(STORE), options),
    }
}

impl Player {
    fn new(setup: Setup, seed: u64) -> fountain_engine::Result<Self> {
        let clock = Arc::new(ManualClock::new(BIRTH));
        let (place, memory) = (Place::Simulated(crate::disk::SimFs::default()), Arc::default());
        let store = open(setup, &place, &memory, &clock)?;
        let durability = setup.durability();
        let plain = store.create_collection("plain", CollectionOptions::default(), durability)?;
        let fleeting = create_fleeting(&store, durability)?;
        let sequences = vec![store.sequence()];
        let (model, snapshots, tally) = (Model::default(), [const { None }; SLOTS], Tally::default());
        let watchers = [const { None }; WATCHERS];
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
            watchers,
            tally,
        })
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        self.tally.operations += 1;
        match op {
            Op::Commit(writes) => self.commit(writes),
            Op::Group(all) => self.group(all),
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
            Op::Watch { watcher, from, alone } => self.watch(*watcher, *from, *alone),
            Op::Follow { watcher, pages, max_bytes } => self.follow(*watcher, *pages, *max_bytes),
            Op::Retain(latest_only) => self.retain(*latest_only),
            Op::Renew => self.renew(),
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

    /// What was closed is sound, and holds nothing that belongs to nobody.
    fn verify(&self) -> Result<(), String> {
        let options = StorageOptions { fs: self.place.fs(), ..StorageOptions::default() };
        let report = verify(FilePath::new(STORE), &options).map_err(told)?;
        if report.is_sound() { Ok(()) } else { Err(format!("verification finds {}", report.to_json())) }
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), String> {
        let set = self.write_set(self.plain, writes).map_err(told)?;
        let outcome = self.store.commit(set, self.setup.durability());
        self.committed(writes, outcome)
    }

    /// Commits of one submission happen one after another, or are refused one by one.
    fn group(&mut self, all: &[Writes]) -> Result<(), String> {
        let sets = all.iter().map(|writes| self.write_set(self.plain, writes)).collect::<Result<_, _>>();
        let (sender, answer) = channel();
        let done = Box::new(move |result| drop(sender.send(result)));
        self.store.submit(sets.map_err(told)?, self.setup.durability(), done);
        let committed = answer.recv().map_err(|error| error.to_string())?.map_err(told)?;
        let mut outcomes = all.iter().enumerate();
        outcomes.try_for_each(|(place, writes)| self.committed(writes, committed.sequence(place)))
    }

    /// A commit happens, or a unique index refuses it.
    fn committed(&mut self, writes: &Writes, outcome: fountain_engine::Result<Seq>) -> Result<(), String> {
        match (outcome, self.model.with(writes)) {
            (Ok(seq), Some(state)) => {
                self.model.commit(writes, state);
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

    /// Nothing of the collection that was dropped is in the new one, nor ever comes back.
    fn renew(&mut self) -> Result<(), String> {
        let durability = self.setup.durability();
        self.store.drop_collection("fleeting", durability).map_err(told)?;
        self.fleeting = create_fleeting(&self.store, durability).map_err(told)?;
        self.model.fleeting.clear();
        self.walk_fleeting()
    }

    fn let_go(&mut self) {
        self.snapshots = [const { None }; SLOTS];
        self.watchers.iter_mut().flatten().for_each(Watcher::let_go);
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

/// The collection whose documents expire, with its index.
fn create_fleeting(store: &Store, durability: Durability) -> fountain_engine::Result<CollectionId> {
    let ttl = Ttl { field: Path::parse("x")?, after: Duration::from_millis(BIRTH.millis()) };
    let options = CollectionOptions { ttl: Some(ttl), ..CollectionOptions::default() };
    let fleeting = store.create_collection("fleeting", options, durability)?;
    store.create_index(fleeting, definition(0)?, durability)?;
    Ok(fleeting)
}

pub(super) fn definition(index: usize) -> fountain_engine::Result<IndexDefinition> {
    let (name, unique, on, sparse) = INDEXES[index];
    let kind = if unique { IndexKind::Unique } else { IndexKind::Multi };
    let definition = IndexDefinition::new(name, kind, on)?;
    Ok(if sparse { definition.sparse() } else { definition })
}

pub(super) fn key_of(key: u8) -> fountain_engine::Result<Vec<u8>> {
    encode(&Key::Number(f64::from(key)))
}

pub(super) fn name_of(name: u8) -> String {
    format!("e{name}")
}

/// A document as JSON text.
pub(super) fn text_of(document: &Document) -> String {
    let mut members = Vec::new();
    members.extend(document.n.map(|n| format!("\"n\":{n}")));
    members.extend(document.e.map(|e| format!("\"e\":\"{}\"", name_of(e))));
    let tags: Vec<String> = document.t.iter().map(u8::to_string).collect();
    members.push(format!("\"t\":[{}]", tags.join(",")));
    members.extend(document.x.map(|x| format!("\"x\":{x}")));
    members.push(format!("\"p\":\"{}\"", "p".repeat(document.len)));
    format!("{{{}}}", members.join(","))
}
