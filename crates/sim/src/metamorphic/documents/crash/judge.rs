//! Compares a document store that was opened after a crash with what must and may be there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fountain_engine::{CollectionRetention, ErrorCode, Seq, StorageOptions, Store, View, verify};

use super::super::list::INDEXES;
use super::super::player::{STORE, told};
use super::super::reads::{index_entries, same, scanned};
use super::Tally;
use super::world::{FLEETING, Model, Seen};
use crate::crash::ledger::Ledger;
use crate::crash::session::Check;
use crate::disk::SimFs;
use crate::random::Random;

/// Earlier states that are read of each store.
const PAST: usize = 2;

/// A store and what it is compared with.
pub(super) struct Judge<'a> {
    pub(super) store: &'a Store,
    pub(super) model: &'a Model,
    /// Milliseconds by which documents have expired.
    pub(super) now: u64,
}

impl Judge<'_> {
    /// How many commits have survived: exactly those up to one that may be the last.
    pub(super) fn all(&self, ledger: &Ledger, random: &mut Random, tally: &mut Tally) -> Check<u64> {
        let seen = self.seen()?;
        let fits = |commits: &u64| {
            self.model.at(*commits).is_some_and(|(world, sequence)| {
                let expected = world.iter().map(|(name, it)| ((*name).to_owned(), it.seen(self.now)));
                sequence <= self.store.sequence().get() && expected.eq(seen.clone())
            })
        };
        let Some(commits) = (ledger.os..=ledger.begun).find(fits) else {
            return Err(self.differs(ledger, &seen));
        };
        self.indexes(commits, tally)?;
        for _ in 0..PAST {
            self.past(random.below(commits as usize + 1) as u64, tally)?;
        }
        Ok(commits)
    }

    fn differs(&self, ledger: &Ledger, seen: &BTreeMap<String, Seen>) -> String {
        let (least, most) = (ledger.os, ledger.begun);
        let matching = (0..=self.model.commits()).find(|commits| {
            self.model.at(*commits).is_some_and(|(world, _)| {
                world.iter().map(|(name, it)| ((*name).to_owned(), it.seen(self.now))).eq(seen.clone())
            })
        });
        let expected = self.model.at(least).map(|(world, _)| world);
        match matching {
            Some(commits) => format!("{commits} commits were recovered; {least} to {most} may be there"),
            None => format!(
                "what is there was there after no commit; {least} to {most} may be there: {seen:?}, after {least}: {expected:?}"
            ),
        }
    }

    /// All collections, their settings and their records.
    fn seen(&self) -> Check<BTreeMap<String, Seen>> {
        let mut all = BTreeMap::new();
        for name in self.store.collections().map_err(told)? {
            let info =
                self.store.collection_info(&name).map_err(told)?.ok_or("a collection without an entry")?;
            let number = |name: &str| INDEXES.iter().position(|known| known.0 == name);
            let indexes = info.indexes.iter().map(|index| number(index.definition.name()));
            let seen = Seen {
                records: scanned(self.store, info.id, View::Newest).map_err(told)?,
                indexes: indexes.collect::<Option<_>>().ok_or("an index that nobody defined")?,
                latest_only: info.options.retention == Some(CollectionRetention::LatestOnly),
            };
            if info.options.ttl.is_some() != (name == FLEETING) {
                return Err(format!("{name} has the options {:?}", info.options));
            }
            all.insert(name, seen);
        }
        Ok(all)
    }

    /// Builds go on where they were, and then every entry is there.
    fn indexes(&self, commits: u64, tally: &mut Tally) -> Check<()> {
        let Some((world, _)) = self.model.at(commits) else { return Ok(()) };
        for (name, collection) in world {
            let id = self.store.collection(name).map_err(told)?;
            for &index in &collection.indexes {
                let built = self.store.index(id, INDEXES[index].0).map_err(told)?.id;
                self.store.wait_for_index(built).map_err(told)?;
                let found = index_entries(self.store, id, INDEXES[index].0).map_err(told)?;
                let what = format!("index {} of {name}", INDEXES[index].0);
                same(&what, &found, &collection.entries(index, self.now))?;
                tally.indexes += 1;
            }
        }
        Ok(())
    }

    /// The state after an earlier commit, dropped collections included: right, or refused where it may be forgotten. What
    /// expires is read in the newest state only.
    fn past(&self, commits: u64, tally: &mut Tally) -> Check<()> {
        let Some((world, sequence)) = self.model.at(commits) else { return Ok(()) };
        let at = Seq::new(sequence).ok_or("no such sequence")?;
        let names: Vec<_> = self.store.collections_at(at).map_err(told)?.into_values().collect();
        let mut expected: Vec<_> = world.keys().map(|name| (*name).to_owned()).collect();
        let mut found = names;
        found.sort_unstable();
        expected.sort_unstable();
        same("names of an earlier state", &found, &expected)?;
        for (name, collection) in world.iter().filter(|(name, _)| **name != FLEETING) {
            let id =
                self.store.collection_at(name, at).map_err(told)?.ok_or("a name without a collection")?;
            match scanned(self.store, id, View::At(at)) {
                Ok(found) => same(&format!("{name} at {at}"), &found, &collection.seen(0).records)?,
                Err(error) if error.code == ErrorCode::HistoryTruncated && self.model.may_forget(name) => {}
                Err(error) => return Err(format!("{name} at {at}: {}", told(error))),
            }
            tally.past += 1;
        }
        Ok(())
    }
}

/// A store that was closed is sound, and holds nothing that belongs to nobody.
pub(super) fn sound(fs: &SimFs, tally: &mut Tally) -> Check<()> {
    let options = StorageOptions { fs: Arc::new(fs.clone()), ..StorageOptions::default() };
    let report = verify(Path::new(STORE), &options).map_err(told)?;
    tally.verified += 1;
    let whole = report.is_sound() && report.contents.is_some();
    if whole { Ok(()) } else { Err(format!("verification finds {}", report.to_json())) }
}
