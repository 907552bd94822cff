//! Turns a group of submissions into one call of storage and the answers to their callers.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fountain_lsm::{Durability, SeqRange};

use super::{Done, Submission};
use crate::catalog::{Catalog, Claims};
use crate::error::{Error, ErrorCode, Result};
use crate::kv::{Batch, OrderedKv};
use crate::metrics::Counters;
use crate::write_set::WriteSet;

/// What the commit thread works with.
pub(crate) struct Committer {
    /// Where the commits go.
    pub kv: Arc<dyn OrderedKv>,
    /// Where the ids in them come from.
    pub catalog: Arc<Catalog>,
    /// What counts them.
    pub counters: Arc<Counters>,
}

/// The part of a group that storage is asked to commit.
#[derive(Default)]
struct Staged {
    batches: Vec<Batch>,
    durability: Option<Durability>,
    claims: Claims,
    puts: usize,
    operations: usize,
}

/// A caller and its answer.
pub(super) struct Answer {
    done: Done,
    result: Result<SeqRange>,
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
    fn commit_all(&self, requests: Vec<(Vec<WriteSet>, Durability)>) -> Vec<Result<SeqRange>> {
        let mut staged = Staged::default();
        let mut spans = Vec::with_capacity(requests.len());
        for (commits, durability) in requests {
            let checked = self.check(&commits);
            spans.push(checked.map(|()| self.stage(commits, durability, &mut staged)));
        }
        let outcome = self.write(staged);
        spans.into_iter().map(|span| span.and_then(|span| sequences(outcome.clone()?, &span))).collect()
    }

    fn check(&self, commits: &[WriteSet]) -> Result<()> {
        if commits.is_empty() || commits.iter().any(WriteSet::is_empty) {
            return Err(Error::argument("there is nothing to commit: a commit has at least one operation"));
        }
        commits.iter().try_for_each(|commit| self.catalog.check_known(commit.collections()))
    }

    /// Adds a submission to what will be committed; returns where its batches stand.
    fn stage(&self, commits: Vec<WriteSet>, durability: Durability, staged: &mut Staged) -> Range<u64> {
        let start = staged.batches.len() as u64;
        staged.durability = staged.durability.max(Some(durability));
        for commit in commits {
            staged.puts += commit.puts();
            staged.operations += commit.len();
            let (collections, mut batch) = commit.into_parts();
            self.catalog.claim(&collections, &mut batch, &mut staged.claims);
            staged.batches.push(batch);
        }
        start..staged.batches.len() as u64
    }

    fn write(&self, staged: Staged) -> Result<SeqRange> {
        // Without a durability no submission was fit to be committed, and nobody looks at the outcome.
        let durability = staged.durability.unwrap_or_default();
        if staged.batches.is_empty() {
            return Err(Error::argument("there is nothing to commit"));
        }
        let range = self.kv.commit_many(&staged.batches, durability)?;
        self.catalog.confirm(staged.claims);
        self.counters.commit_groups.add(1);
        self.counters.commits.add(staged.batches.len());
        self.counters.puts.add(staged.puts);
        self.counters.deletes.add(staged.operations - staged.puts);
        Ok(range)
    }
}

/// The sequences of the batches at `span` of a group that got `range`.
fn sequences(range: SeqRange, span: &Range<u64>) -> Result<SeqRange> {
    let (first, last) = (range.first.checked_add(span.start), range.first.checked_add(span.end - 1));
    match (first, last) {
        (Some(first), Some(last)) if last <= range.last => Ok(SeqRange { first, last }),
        _ => Err(Error::new(ErrorCode::Internal, "storage returned fewer sequences than commits")),
    }
}
