//! One life of a document store: carries out steps, tells the model, and notes what was begun and what was acknowledged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fountain_engine::record::{Path as FieldPath, from_json};
use fountain_engine::{
    CollectionId, CollectionOptions, CollectionRetention, CollectionSetting, Durability, ErrorCode,
    Isolation, ManualClock, Store, Timestamp, Ttl, WriteSet,
};

use super::super::list::{Document, INDEXES, KEYS};
use super::super::model::apply;
use super::super::player::{STORE, Setup, definition, key_of, text_of, told};
use super::Tally;
use super::judge::Judge;
use super::words::Word;
use super::world::{Collection, FLEETING, Model, World};
use crate::crash::ledger::{Ledger, Mark};
use crate::crash::session::Check;
use crate::disk::SimFs;
use crate::metamorphic::storage::place::Place;
use crate::random::Random;

/// When every store is made.
const BIRTH: u64 = 1_700_000_000_000;
/// Collections that are written to, and defined and dropped.
const PLAIN: [&str; 2] = ["a", "b"];
/// Commits that are submitted together.
const TOGETHER: usize = 3;

/// A store in use.
pub(super) struct Session {
    pub(super) fs: SimFs,
    pub(super) model: Model,
    /// What happened, and after how many recorded changes of the disk.
    pub(super) marks: Vec<(usize, Mark)>,
    /// Milliseconds since its birth.
    pub(super) now: u64,
    store: Option<Store>,
    clock: Arc<ManualClock>,
    random: Random,
}

/// Documents for a collection, or deletions.
type Writes = Vec<(u8, Option<Document>)>;

impl Session {
    /// A session on a disk, in which the model says what may be found.
    pub(super) fn new(fs: SimFs, model: Model, now: u64, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(BIRTH + now)));
        Self { fs, model, marks: Vec::new(), now, store: None, clock, random: Random::nth(seed, 0x5E) }
    }

    fn mark(&mut self, mark: Mark) {
        self.marks.push((self.fs.recorded(), mark));
    }

    fn store(&self) -> Check<&Store> {
        self.store.as_ref().ok_or_else(|| "the store is not open".to_owned())
    }

    /// Opens the store as somebody who knows only what was promised, and compares all of it.
    pub(super) fn open(&mut self, ledger: &Ledger, tally: &mut Tally) -> Check<()> {
        let options = Setup::Small.options(&Place::Simulated(self.fs.clone()), &self.clock);
        let store = Store::open(Path::new(STORE), options)
            .map_err(|error| format!("the store does not open: {}", told(error)))?;
        let judge = Judge { store: &store, model: &self.model, now: self.now };
        let commits = judge.all(ledger, &mut self.random, tally)?;
        self.store = Some(store);
        self.model = self.model.upto(commits);
        self.mark(Mark::Opened(commits));
        Ok(())
    }

    /// Carries out steps until the end.
    pub(super) fn run(&mut self, words: &[Word], tally: &mut Tally) -> Check<()> {
        words.iter().try_for_each(|word| self.step(*word, tally).map_err(|what| format!("{word:?}: {what}")))
    }

    fn step(&mut self, word: Word, tally: &mut Tally) -> Check<()> {
        match word {
            Word::Put => self.put(),
            Word::Many => self.many(),
            Word::Both => self.both(),
            Word::Transaction => self.transaction(),
            Word::Expiring => self.expiring(),
            Word::Clash => self.clash(),
            Word::Define => self.define(false),
            Word::Unique => self.define(true),
            Word::DropIndex => self.drop_index(),
            Word::Drop => self.drop_collection(),
            Word::Renew => self.renew(),
            Word::Latest => self.keep_latest(),
            Word::Wait => {
                let millis = *self.random.pick(&[2, 400, 3000]);
                self.clock.advance(Duration::from_millis(millis));
                self.now += millis;
                Ok(())
            }
            Word::Sweep => self.store()?.sweep_expired().map_err(told),
            Word::Flush => self.make_durable(Store::flush),
            Word::Compact => self.make_durable(Store::compact),
            Word::Reopen => {
                self.end()?;
                let commits = self.model.commits();
                let ledger =
                    Ledger { disk: commits, os: commits, begun: commits, created: true, ..Ledger::default() };
                self.open(&ledger, tally)
            }
        }
    }

    /// Ends this life of the store, in good order.
    pub(super) fn end(&mut self) -> Check<()> {
        let Some(store) = self.store.take() else { return Ok(()) };
        store.close().map_err(told)?;
        drop(store);
        self.mark(Mark::Acknowledged(self.model.commits(), Durability::Disk));
        match self.fs.open_handles() {
            0 => Ok(()),
            open => Err(format!("{open} files and locks are still open after the end")),
        }
    }

    fn make_durable(&mut self, work: impl FnOnce(&Store) -> fountain_engine::Result<()>) -> Check<()> {
        work(self.store()?).map_err(told)?;
        self.mark(Mark::Acknowledged(self.model.commits(), Durability::Disk));
        Ok(())
    }

    fn durability(&mut self) -> Durability {
        *self.random.pick(&[
            Durability::Disk,
            Durability::Disk,
            Durability::Disk,
            Durability::Os,
            Durability::Memory,
        ])
    }

    /// One commit, after which the collections are as `change` makes them.
    fn commit(&mut self, set: WriteSet, change: impl FnOnce(&mut World)) -> Check<()> {
        let durability = self.durability();
        self.commit_by(durability, change, |store| store.commit(set, durability))
    }

    fn commit_by(
        &mut self,
        durability: Durability,
        change: impl FnOnce(&mut World),
        commit: impl FnOnce(&Store) -> fountain_engine::Result<fountain_engine::Seq>,
    ) -> Check<()> {
        let mut world = self.model.newest().clone();
        change(&mut world);
        let number = self.model.commits() + 1;
        self.mark(Mark::Begun(number));
        let sequence = commit(self.store()?).map_err(told)?;
        self.model.push(world, sequence.get());
        self.mark(Mark::Acknowledged(number, durability));
        Ok(())
    }

    fn id(&self, name: &str) -> Check<CollectionId> {
        self.store()?.collection(name).map_err(told)
    }

    fn plain(&mut self) -> &'static str {
        PLAIN[self.random.below(PLAIN.len())]
    }

    /// One of the collections that are there, if any is.
    fn known(&mut self) -> Option<&'static str> {
        let first = self.plain();
        let mut names = [first, PLAIN[0], PLAIN[1]].into_iter();
        names.find(|name| self.model.newest().contains_key(name))
    }

    /// A document whose name no other key has.
    fn document(&mut self, key: u8) -> Document {
        let random = &mut self.random;
        Document {
            n: (!random.one_in(5)).then(|| random.below(5) as u8),
            e: (!random.one_in(3)).then(|| key + (KEYS * random.below(3)) as u8),
            t: (0..random.below(4)).map(|_| random.below(5) as u8).collect(),
            x: None,
            len: *random.pick(&[0, 0, 20, 200, 2000]),
        }
    }

    /// At least one document, and perhaps some more and deletions, of different keys.
    fn writes(&mut self) -> Writes {
        let count = self.random.within(1..5);
        let keys: BTreeSet<u8> = (0..count).map(|_| self.random.below(KEYS) as u8).collect();
        let mut writes = Writes::new();
        for key in keys {
            let deletes = !writes.is_empty() && self.random.one_in(3);
            writes.push((key, (!deletes).then(|| self.document(key))));
        }
        writes
    }

    fn record(&self, document: &Document) -> Check<Vec<u8>> {
        let value = from_json(&text_of(document)).map_err(told)?;
        self.store()?.encode(&value).map_err(told)
    }

    fn add(&self, set: &mut WriteSet, name: &str, writes: &Writes) -> Check<()> {
        let id = self.id(name)?;
        for (key, document) in writes {
            let key = key_of(*key).map_err(told)?;
            match document {
                Some(document) => set.put(id, &key, &self.record(document)?),
                None => set.delete(id, &key),
            }
            .map_err(told)?;
        }
        Ok(())
    }

    fn put(&mut self) -> Check<()> {
        let (name, writes) = (self.plain(), self.writes());
        let mut set = WriteSet::new();
        self.add(&mut set, name, &writes)?;
        self.commit(set, |world| apply(&mut world.entry(name).or_default().records, &writes))
    }

    fn many(&mut self) -> Check<()> {
        let (mut sets, mut worlds) = (Vec::new(), Vec::new());
        let mut world = self.model.newest().clone();
        for _ in 0..TOGETHER {
            let (name, writes, mut set) = (self.plain(), self.writes(), WriteSet::new());
            self.add(&mut set, name, &writes)?;
            apply(&mut world.entry(name).or_default().records, &writes);
            sets.push(set);
            worlds.push(world.clone());
        }
        let (number, durability) = (self.model.commits() + TOGETHER as u64, self.durability());
        self.mark(Mark::Begun(number));
        let (sender, receiver) = mpsc::sync_channel(1);
        self.store()?.submit(sets, durability, Box::new(move |done| drop(sender.send(done))));
        let committed = receiver.recv().map_err(|_| "no answer")?.map_err(told)?;
        for (index, world) in worlds.into_iter().enumerate() {
            self.model.push(world, committed.sequence(index).map_err(told)?.get());
        }
        self.mark(Mark::Acknowledged(number, durability));
        Ok(())
    }

    fn both(&mut self) -> Check<()> {
        let (one, other, mut set) = (self.writes(), self.writes(), WriteSet::new());
        self.add(&mut set, PLAIN[0], &one)?;
        self.add(&mut set, PLAIN[1], &other)?;
        self.commit(set, |world| write_both(world, &one, &other))
    }

    fn transaction(&mut self) -> Check<()> {
        let (one, other) = (self.writes(), self.writes());
        let isolation = *self.random.pick(&[Isolation::Snapshot, Isolation::Serializable]);
        let transaction = self.store()?.begin(isolation).map_err(told)?;
        for (name, writes) in PLAIN.into_iter().zip([&one, &other]) {
            let id = self.id(name)?;
            for (key, document) in writes {
                let key = key_of(*key).map_err(told)?;
                match document {
                    Some(document) => transaction.put(id, &key, &self.record(document)?),
                    None => transaction.delete(id, &key),
                }
                .map_err(told)?;
            }
        }
        if self.random.one_in(4) {
            transaction.rollback();
            return Ok(());
        }
        let durability = self.durability();
        let change = |world: &mut World| write_both(world, &one, &other);
        self.commit_by(durability, change, |_| transaction.commit(durability))
    }

    fn expiring(&mut self) -> Check<()> {
        if !self.model.newest().contains_key(FLEETING) {
            self.renew()?;
        }
        let key = self.random.below(KEYS) as u8;
        // The clock stands at even numbers, so that nothing expires at this very moment.
        let x = (!self.random.one_in(3)).then(|| 2 * self.random.below(3000) as u64 + 1);
        let writes = vec![(key, Some(Document { x, ..self.document(key) }))];
        let mut set = WriteSet::new();
        self.add(&mut set, FLEETING, &writes)?;
        self.commit(set, |world| apply(&mut world.entry(FLEETING).or_default().records, &writes))
    }

    fn clash(&mut self) -> Check<()> {
        let Some(name) = self.known() else { return self.put() };
        let Some((key, taken)) = self.model.newest().get(name).and_then(Collection::taken_name) else {
            return self.put();
        };
        let other = (key + 1) % KEYS as u8;
        let (document, mut set) = (Document { e: Some(taken), ..self.document(other) }, WriteSet::new());
        self.add(&mut set, name, &vec![(other, Some(document))])?;
        let durability = self.durability();
        match self.store()?.commit(set, durability) {
            Err(error) if error.code == ErrorCode::Unique => Ok(()),
            Err(error) => Err(told(error)),
            Ok(_) => Err("a unique key was given away twice".to_owned()),
        }
    }

    /// Unique ones are waited for, so that what they refuse is known.
    fn define(&mut self, unique: bool) -> Check<()> {
        let Some(name) = self.known() else { return self.put() };
        let has = |index: &usize| self.model.newest().get(name).is_some_and(|it| it.indexes.contains(index));
        let fits = |index: &usize| INDEXES[*index].1 == unique && !has(index);
        let free: Vec<usize> = (0..INDEXES.len()).filter(fits).collect();
        if free.is_empty() {
            return self.put();
        }
        let index = *self.random.pick(&free);
        let (id, mut set) = (self.id(name)?, WriteSet::new());
        set.create_index(id, definition(index).map_err(told)?);
        self.commit(set, |world| world.entry(name).or_default().indexes.extend([index]))?;
        if unique || self.random.one_in(2) {
            let built = self.store()?.index(id, INDEXES[index].0).map_err(told)?.id;
            self.store()?.wait_for_index(built).map_err(told)?;
        }
        Ok(())
    }

    fn drop_index(&mut self) -> Check<()> {
        let Some(name) = self.known() else { return self.put() };
        let defined: Vec<usize> =
            self.model.newest().get(name).into_iter().flat_map(|it| it.indexes.iter().copied()).collect();
        if defined.is_empty() {
            return self.define(false);
        }
        let (index, mut set) = (*self.random.pick(&defined), WriteSet::new());
        set.drop_index(self.id(name)?, INDEXES[index].0);
        self.commit(set, |world| world.entry(name).or_default().indexes.retain(|known| *known != index))
    }

    fn drop_collection(&mut self) -> Check<()> {
        let Some(name) = self.known() else { return self.put() };
        let mut set = WriteSet::new();
        set.drop_collection(self.id(name)?);
        self.commit(set, |world| drop(world.remove(name)))
    }

    fn renew(&mut self) -> Check<()> {
        if self.model.newest().contains_key(FLEETING) {
            let mut set = WriteSet::new();
            set.drop_collection(self.id(FLEETING)?);
            self.commit(set, |world| drop(world.remove(FLEETING)))?;
        }
        let field = FieldPath::parse("x").map_err(told)?;
        let ttl = Some(Ttl { field, after: Duration::from_millis(BIRTH) });
        let (id, mut set) = (self.id(FLEETING)?, WriteSet::new());
        set.create_collection(id, CollectionOptions { ttl, ..CollectionOptions::default() });
        self.commit(set, |world| drop(world.insert(FLEETING, Collection::default())))?;
        let mut set = WriteSet::new();
        set.create_index(id, definition(0).map_err(told)?);
        self.commit(set, |world| world.entry(FLEETING).or_default().indexes.extend([0]))
    }

    fn keep_latest(&mut self) -> Check<()> {
        let Some(name) = self.known() else { return self.put() };
        let mut set = WriteSet::new();
        let retention = CollectionSetting::Retention(Some(CollectionRetention::LatestOnly));
        set.alter_collection(self.id(name)?, vec![retention]);
        self.commit(set, |world| world.entry(name).or_default().latest_only = true)
    }
}

fn write_both(world: &mut World, one: &Writes, other: &Writes) {
    for (name, writes) in PLAIN.into_iter().zip([one, other]) {
        apply(&mut world.entry(name).or_default().records, writes);
    }
}
