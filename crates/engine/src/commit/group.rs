//! Takes a group of submissions through: which commits can happen, what they write, one call of storage, the answers. If what
//! they write takes too much memory, because of what changes in indexes, storage is asked several times, part by part.
//!
//! The commit thread is the only one that writes, so what a commit is judged by cannot change before it is written. For
//! each commit in order: `admission` judges it, then it is staged, and the next one finds it in `Pending`. Whatever else
//! has to change with a commit is added to it in between, in `admit_all`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fountain_lsm::{Clock, Durability, Retention, Seq, SeqRange};

use super::admission::admit;
use super::outcome::{Admitted, Parts};
use super::pending::Pending;
use super::{Committed, Done, Refused, Submission};
use crate::catalog::{Catalog, Claims, RuleChange, SchemaOp};
use crate::error::{Error, ErrorCode, ErrorDetails, Result};
use crate::expiry::{self, Moment, Sweeper, moment};
use crate::feed::Feed;
use crate::index::{self, Builder, IndexId, IndexTable};
use crate::keyspace::CollectionId;
use crate::kv::{Batch, OrderedKv};
use crate::limits::{GROUP_BYTES, KEYSPACE_BYTES, STAGED_OPERATION_BYTES};
use crate::metrics::Counters;
use crate::planted::{self, Bug};
use crate::record::{self, ShapeList, Shapes};
use crate::transaction::Transactions;
use crate::write_set::WriteSet;

/// What the commit thread works with.
pub(crate) struct Committer {
    /// Where the commits go.
    pub kv: Arc<dyn OrderedKv>,
    /// Where the ids in them come from.
    pub catalog: Arc<Catalog>,
    /// What the documents in them may refer to.
    pub shapes: Arc<Shapes>,
    /// Who fills the indexes that they define.
    pub builder: Arc<Builder>,
    /// What counts them.
    pub counters: Arc<Counters>,
    /// Those that are open, and what was written since they began.
    pub transactions: Arc<Transactions>,
    /// Whom commits are announced to.
    pub feed: Arc<Feed>,
    /// Which versions are kept where a collection says nothing.
    pub retention: Retention,
    /// By what records expire.
    pub clock: Arc<dyn Clock>,
    /// Who deletes them then.
    pub sweeper: Arc<Sweeper>,
}

/// A group on its way to storage.
struct Group {
    /// Whether anything in it looks at what those before have written.
    indexed: bool,
    /// What is to be written next.
    staged: Option<Staged>,
    /// What was written.
    parts: Parts,
}

/// The part of a group that storage is asked to commit.
struct Staged {
    pending: Pending,
    /// Bytes of memory that it takes, about.
    bytes: usize,
    durability: Option<Durability>,
    claims: Claims,
    puts: usize,
    operations: usize,
    expired: usize,
    /// What expires by now has expired.
    now: Moment,
}

/// What a commit changes beside its operations.
#[derive(Default)]
struct Derived {
    batch: Batch,
    /// What the group has claimed, with this commit, if that changes the catalog.
    claims: Option<Claims>,
    /// How many records it deletes because they have expired.
    expired: usize,
}

/// A caller and its answer.
pub(super) struct Answer {
    done: Done,
    result: Result<Committed>,
}

impl Answer {
    /// Tells the caller. A panic there is the caller's own affair and must not end the commit thread.
    pub fn deliver(self) {
        let Self { done, result } = self;
        let _ = catch_unwind(AssertUnwindSafe(move || done(result)));
    }
}

impl Committer {
    /// Commits a group. A submission that cannot be committed gets its own error and does not hinder the others. After a
    /// panic all get one, and storage refuses to write: what it left half-done in memory is not known.
    pub(super) fn commit(&self, group: Vec<Submission>) -> Vec<Answer> {
        let (callers, requests): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|Submission { commits, durability, done }| (done, (commits, durability)))
            .unzip();
        let results = catch_unwind(AssertUnwindSafe(|| self.commit_all(requests))).unwrap_or_else(|_| {
            self.kv.poison("a panic while committing");
            let panicked =
                || Error::new(ErrorCode::Internal, "a panic while committing; the commit may exist");
            callers.iter().map(|_| Err(panicked())).collect()
        });
        let answer = |(done, result)| Answer { done, result };
        callers.into_iter().zip(results).map(answer).collect()
    }

    /// One result for each request.
    fn commit_all(&self, requests: Vec<(Vec<WriteSet>, Durability)>) -> Vec<Result<Committed>> {
        let mut commits = requests.iter().flat_map(|(commits, _)| commits);
        let indexes = self.catalog.indexes();
        let indexed = commits
            .any(|commit| commit.depends_on_state() || commit.has_consequences() || !indexes.is_empty());
        let mut group = Group { indexed, staged: None, parts: Parts::default() };
        let mut admitted = Vec::with_capacity(requests.len());
        for (commits, durability) in requests {
            let checked = Self::check(&commits);
            admitted.push(checked.map(|()| self.admit_all(commits, durability, &mut group)));
        }
        self.write_part(&mut group);
        admitted.into_iter().map(|admitted| admitted?.answer(&group.parts)).collect()
    }

    /// What the group is to write next, which comes after all that storage has.
    fn staged<'a>(&self, group: &'a mut Group) -> &'a mut Staged {
        group.staged.get_or_insert_with(|| Staged {
            pending: Pending::new(self.kv.visible()),
            bytes: 0,
            durability: None,
            claims: Claims::default(),
            puts: 0,
            operations: 0,
            expired: 0,
            now: moment(self.clock.now()),
        })
    }

    /// Writes what is staged, if anything is.
    fn write_part(&self, group: &mut Group) {
        if let Some(staged) = group.staged.take().filter(|staged| staged.pending.len() > 0) {
            let commits = staged.pending.len();
            group.parts.push(commits, self.write(staged));
        }
    }

    /// Refuses what makes no sense, whatever the state of the store.
    fn check(commits: &[WriteSet]) -> Result<()> {
        if commits.is_empty() || commits.iter().any(WriteSet::is_empty) {
            return Err(Error::argument("there is nothing to commit: a commit has at least one operation"));
        }
        Ok(())
    }

    /// Refuses a commit to collections that do not exist, or of what are no records.
    fn check_commit(&self, commit: &WriteSet, shapes: &ShapeList) -> Result<()> {
        self.catalog.check_known(commit.collections(), commit.claim().is_some())?;
        commit.records().try_for_each(|record| record::check(record, shapes))
    }

    /// Judges the commits of a submission one by one, and stages those that can happen.
    fn admit_all(&self, commits: Vec<WriteSet>, durability: Durability, group: &mut Group) -> Admitted {
        let pending = &self.staged(group).pending;
        let (newest, before) = (pending.newest_sequence(), pending.len());
        let start = group.parts.commits() + before;
        let mut admitted = Admitted { newest, start, accepted: 0, refused: Vec::new() };
        // Taken after the submission, so it has every shape that a record in it may name.
        let shapes = self.shapes.list();
        for (place, commit) in commits.into_iter().enumerate() {
            let indexed = group.indexed;
            let staged = self.staged(group);
            if indexed {
                staged.pending.note();
            }
            let checked = self.check_commit(&commit, &shapes);
            let judged = if checked.is_ok() && commit.depends_on_state() {
                self.judge(&commit, staged)
            } else {
                checked
            };
            match judged.and_then(|()| self.derive(&commit, staged)) {
                Ok(derived) => {
                    self.stage(commit, derived, durability, staged);
                    admitted.accepted += 1;
                    if staged.bytes > GROUP_BYTES {
                        self.write_part(group);
                    }
                }
                Err(error) => {
                    self.counters.refusals.add(1);
                    admitted.refused.push(Refused { place, error: self.of_record(error, &commit) });
                }
            }
        }
        admitted
    }

    fn judge(&self, commit: &WriteSet, staged: &Staged) -> Result<()> {
        let table = self.catalog.indexes_after(&staged.claims);
        let shapes = self.shapes.list();
        let is_live = |key: &[u8], record: &[u8]| {
            let index = CollectionId::of_storage_key(key).and_then(|id| table.expiry_of(id));
            let expiry = index.and_then(|index| index.expiry.as_ref());
            expiry.map_or(Ok(true), |expiry| expiry::is_live(expiry, record, &shapes, staged.now))
        };
        let name_key = |key: &[u8], details: &mut ErrorDetails| self.name_key(key, &table, details);
        admit(commit, &staged.pending, self.kv.as_ref(), &self.transactions, &is_live, &name_key)
    }

    /// Names what a storage key is: a record, an entry of an index, or that a collection has its name.
    fn name_key(&self, key: &[u8], table: &IndexTable, details: &mut ErrorDetails) {
        let Some(id) = CollectionId::of_storage_key(key) else {
            details.collection = Catalog::named_by(key);
            return;
        };
        let own = key.get(KEYSPACE_BYTES..).filter(|own| !own.is_empty());
        if let Some(index) = table.get(IndexId::new(id.get())) {
            details.collection = self.catalog.name(index.collection);
            details.index = Some(index.definition.name().to_owned());
            details.index_key = own.and_then(|own| index.shown_key(own));
        } else {
            details.collection = self.catalog.name(id);
            details.key = own.map(<[u8]>::to_vec);
        }
    }

    /// The changes of the catalog that a commit asks for, and those that its records do: a collection whose first record
    /// carries its own moment gets an expiry index.
    fn schema_of(&self, commit: &WriteSet, staged: &Staged) -> Vec<SchemaOp> {
        let table = self.catalog.indexes_after(&staged.claims);
        let unindexed = commit.expiring().iter().filter(|&&id| table.expiry_of(id).is_none());
        commit.schema().iter().cloned().chain(unindexed.map(|&id| SchemaOp::EnsureExpiry(id))).collect()
    }

    /// What a commit changes beside its operations: in the catalog, and in indexes.
    fn derive(&self, commit: &WriteSet, staged: &Staged) -> Result<Derived> {
        let mut derived = Derived::default();
        self.catalog.check_kept(&staged.claims, commit.collections(), commit.claim().is_some())?;
        let schema = if commit.has_consequences() { self.schema_of(commit, staged) } else { Vec::new() };
        if !schema.is_empty() {
            let mut claims = staged.claims.clone();
            let seq = staged.pending.newest_sequence().checked_add(1).unwrap_or(Seq::MAX);
            for op in &schema {
                self.catalog.change(op, seq, &mut derived.batch, &mut claims)?;
            }
            let written: Vec<_> =
                commit.batch().ops().filter_map(|(key, _)| CollectionId::of_storage_key(key)).collect();
            self.catalog.check_kept(&claims, &written, commit.claim().is_some())?;
            derived.claims = Some(claims);
        }
        let claims = derived.claims.as_ref().unwrap_or(&staged.claims);
        let table = self.catalog.indexes_after(claims);
        if table.is_empty() && commit.chunk().is_none() && commit.swept().is_empty() {
            return Ok(derived);
        }
        let (kv, pending) = (self.kv.as_ref(), &staged.pending);
        let state = index::State { kv, pending, shapes: self.shapes.list(), now: staged.now };
        if let Some(chunk) = commit.chunk() {
            derived.expired += chunk.apply(&state, &table, &mut derived.batch)?;
        }
        if !commit.swept().is_empty() {
            let swept = index::expire(&state, &table, commit.swept(), &mut derived.batch)?;
            derived.expired += swept;
            if swept == 0 {
                return Err(Error::new(ErrorCode::NotFound, "none of the records has expired"));
            }
        }
        derived.expired += index::derive(&state, &table, commit.batch(), &mut derived.batch)?;
        Ok(derived)
    }

    /// Adds a commit to what storage will be asked to commit.
    fn stage(&self, commit: WriteSet, derived: Derived, durability: Durability, staged: &mut Staged) {
        staged.durability = staged.durability.max(Some(durability));
        staged.puts += commit.puts();
        staged.operations += commit.len();
        let (collections, mut batch) = commit.into_parts();
        let Derived { batch: others, claims, expired } = derived;
        staged.expired += expired;
        staged.claims = claims.unwrap_or_else(|| std::mem::take(&mut staged.claims));
        batch.append(&others);
        // Last, as it has the last word on the next id: what is derived may have put a lower one.
        self.catalog.claim(&collections, &mut batch, &mut staged.claims);
        staged.bytes += batch.size_bytes() + batch.len() * STAGED_OPERATION_BYTES;
        staged.pending.push(batch);
    }

    fn write(&self, staged: Staged) -> Result<SeqRange> {
        // Without a durability no commit was staged, and nobody looks at the outcome.
        let asked = staged.durability.unwrap_or_default();
        let durability = if planted::active(Bug::DurabilityForgotten) { Durability::Os } else { asked };
        let mut batches = staged.pending.into_batches();
        let Some(first) = batches.first_mut() else {
            return Err(Error::argument("there is nothing to commit"));
        };
        let shapes = self.shapes.claim(first);
        let rules = self.rule_change(&staged.claims);
        self.kv.set_retention(&rules.meanwhile);
        let withdrawn = self.catalog.withdraw(&staged.claims);
        let range = self.kv.commit_many(&batches, durability).inspect_err(|_| {
            self.kv.set_retention(&rules.before);
            self.catalog.restore(withdrawn);
            // A build may have ended meanwhile, because its index was not to be seen.
            self.builder.wake();
        })?;
        // Only now: what began before this is registered, what begins later sees the commits.
        self.transactions.note_commits(&batches, range);
        self.kv.set_retention(&rules.after);
        let changed = staged.claims.changes_indexes();
        self.feed.note_drops(&batches, range);
        self.catalog.confirm(staged.claims);
        if changed {
            self.builder.wake();
            self.sweeper.wake();
        }
        self.shapes.confirm(shapes);
        self.counters.commit_groups.add(1);
        self.counters.commits.add(batches.len());
        self.counters.puts.add(staged.puts);
        self.counters.deletes.add(staged.operations - staged.puts);
        self.counters.expired.add(staged.expired);
        self.feed.note_commits(batches, range);
        Ok(range)
    }

    /// How a group changes which versions storage keeps; most often not at all.
    fn rule_change(&self, claims: &Claims) -> RuleChange {
        if claims.changes_schema() {
            self.catalog.rule_change(claims, self.retention)
        } else {
            RuleChange::default()
        }
    }

    /// Names the record that an error about an operation concerns.
    fn of_record(&self, error: Error, commit: &WriteSet) -> Error {
        let item = error.details.item.and_then(|item| usize::try_from(item).ok());
        let Some((key, _)) = item.and_then(|item| commit.batch().op(item)) else { return error };
        let name = CollectionId::of_storage_key(key).and_then(|id| self.catalog.name(id));
        error.with(|details| {
            details.collection = name;
            details.key = key.get(KEYSPACE_BYTES..).map(<[u8]>::to_vec);
        })
    }
}
