//! How a store is: whether everything works, and if not, what does not, and why.
//!
//! Four states. *Healthy*: everything works. *Degraded*: the last flush or compaction failed; what it made is discarded,
//! what it was made from stays, and it is tried again under new file numbers, with pauses; writers go on as long as
//! there is room, and are told the reason when they wait for room and it has failed several times in a row. *Disk full*:
//! as degraded, for want of space, or commits are refused for that; nothing half-done stays, reads go on, and with the
//! first success all is well again. *Poisoned*: a write or sync failed after which it is not known what is on disk; no
//! commit is taken any more, no sync tried again and nothing written, not even at close, until the next open finds out
//! what there is and writes it anew.

use std::io;
use std::time::Duration;

use super::background::Job;
use super::inner::{Inner, locked};
use crate::error::{Error, Result};
use crate::limits::{
    DAMAGE_RETRY_PAUSE, FAILURES_BEFORE_WRITERS_HEAR, FIRST_RETRY_PAUSE, LONGEST_RETRY_PAUSE,
};
use crate::manifest::{Edit, ManifestLog};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How a store is, and why.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Health {
    /// Everything works.
    #[default]
    Healthy,
    /// The last flush or compaction failed. Nothing is lost and it is tried again, but until it succeeds, space is not
    /// regained and writers may have to wait.
    Degraded {
        /// Why it failed.
        cause: Error,
    },
    /// There is no space to write. Reads go on, and so does everything else as soon as there is space.
    DiskFull {
        /// What found no space.
        cause: Error,
    },
    /// What is on disk is not known since a write or a sync failed. Nothing is written until the store is opened
    /// again; what was visible before can still be read.
    Poisoned {
        /// The first such failure.
        cause: Error,
    },
}

impl Health {
    /// Whether everything works.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }

    /// What [`crate::Metrics::health`] says: 0 healthy, 1 degraded, 2 disk full, 3 poisoned.
    pub fn code(&self) -> u64 {
        match self {
            Self::Healthy => 0,
            Self::Degraded { .. } => 1,
            Self::DiskFull { .. } => 2,
            Self::Poisoned { .. } => 3,
        }
    }
}

/// What failed and has not succeeded since.
#[derive(Default)]
pub(super) struct HealthState {
    failures: Mutex<Failures>,
    poisoned: AtomicBool,
    /// The last commit was refused for want of space.
    refusing: AtomicBool,
}

#[derive(Default)]
struct Failures {
    poison: Option<Error>,
    refused: Option<Error>,
    flush: Attempts,
    compaction: Attempts,
}

/// Failures in a row.
#[derive(Default)]
struct Attempts {
    failed: u32,
    cause: Option<Error>,
}

impl Failures {
    fn of(&mut self, job: Job) -> &mut Attempts {
        match job {
            Job::Flush => &mut self.flush,
            Job::Compact => &mut self.compaction,
        }
    }
}

impl HealthState {
    fn now(&self) -> Health {
        let failures = locked(&self.failures);
        if let Some(cause) = failures.poison.clone() {
            return Health::Poisoned { cause };
        }
        let causes = [&failures.refused, &failures.flush.cause, &failures.compaction.cause];
        let causes = || causes.into_iter().flatten();
        let full = causes().find(|cause| matches!(cause, Error::DiskFull { .. }));
        if let Some(cause) = full.cloned() {
            return Health::DiskFull { cause };
        }
        causes().next().cloned().map_or(Health::Healthy, |cause| Health::Degraded { cause })
    }

    /// Notes that a commit was refused, though nothing is broken.
    pub(super) fn note_refusal(&self, error: &Error) {
        locked(&self.failures).refused = Some(error.clone());
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Notes that commits reach the log. Called for every group, so it costs next to nothing.
    pub(super) fn note_written(&self) {
        if self.refusing.load(Ordering::Relaxed) {
            locked(&self.failures).refused = None;
            self.refusing.store(false, Ordering::Relaxed);
        }
    }

    /// Notes how a job ended. One that was broken off has not failed.
    fn note_job<T>(&self, job: Job, outcome: &Result<T>) {
        let attempts = &mut *locked(&self.failures);
        let attempts = attempts.of(job);
        match outcome {
            Ok(_) => {
                if attempts.failed > 0 {
                    hit(Mark::RetrySucceeded);
                }
                *attempts = Attempts::default();
            }
            Err(Error::Closed | Error::Poisoned { .. }) => {}
            Err(error) => {
                attempts.failed = attempts.failed.saturating_add(1);
                attempts.cause = Some(error.clone());
            }
        }
    }

    /// Why those who wait for room should wait no longer.
    pub(super) fn hopeless(&self) -> Option<Error> {
        let failures = locked(&self.failures);
        let attempts = [&failures.flush, &failures.compaction].into_iter();
        let mut hopeless = attempts.filter(|attempts| attempts.failed >= FAILURES_BEFORE_WRITERS_HEAR);
        hopeless.next().and_then(|attempts| attempts.cause.clone())
    }

    /// How long to wait before a job that failed is tried again.
    pub(super) fn retry_pause(&self, job: Job) -> Duration {
        let attempts = &mut *locked(&self.failures);
        let attempts = attempts.of(job);
        // Reading damaged tables again and again does not mend them.
        let longest = match attempts.cause {
            Some(Error::Corrupt { .. }) => DAMAGE_RETRY_PAUSE,
            _ => LONGEST_RETRY_PAUSE,
        };
        let doublings = attempts.failed.saturating_sub(1).min(16);
        (FIRST_RETRY_PAUSE * (1 << doublings)).min(longest)
    }
}

impl Inner {
    /// See [`super::Db::health`].
    pub(super) fn health(&self) -> Health {
        self.health.now()
    }

    /// Refuses writes after the store was closed, or after a failure that leaves open what is on disk.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.check_poison()
    }

    pub(super) fn check_poison(&self) -> Result<()> {
        if !self.health.poisoned.load(Ordering::Acquire) || planted::active(Bug::PoisonIgnored) {
            return Ok(());
        }
        let poison = locked(&self.health.failures).poison.clone();
        Err(match poison {
            Some(Error::Poisoned { cause }) => Error::Poisoned { cause },
            poison => Error::Poisoned { cause: poison.map(|error| error.to_string()).unwrap_or_default() },
        })
    }

    /// Stops all writing for good, unless `error` is one after which everything is as before.
    pub(super) fn poison_unless_harmless(&self, error: &Error) {
        if !error.changed_nothing() && !matches!(error, Error::Closed | Error::Poisoned { .. }) {
            self.poison_by(error);
        }
    }

    /// As [`Inner::poison_by`], for what is not an error of this crate.
    pub(super) fn poison(&self, cause: &str) {
        self.poison_by(&Error::Poisoned { cause: cause.to_owned() });
    }

    /// Stops all writing for good. The first cause is kept.
    pub(super) fn poison_by(&self, error: &Error) {
        hit(Mark::Poisoned);
        locked(&self.health.failures).poison.get_or_insert_with(|| error.clone());
        self.health.poisoned.store(true, Ordering::Release);
        self.signal_work();
    }

    /// Poisons the store if its directory is no longer the one that was opened: what is written there would be lost, or
    /// would get among the files of another store.
    pub(super) fn check_place(&self) -> Result<()> {
        let lock = locked(&self.lock);
        let Some(lock) = &*lock else { return Err(Error::Closed) };
        let path = self.paths.lock();
        let intact = lock.is_intact().map_err(|e| Error::io("check", &path, e));
        if intact.inspect_err(|error| self.poison_by(error))? {
            return Ok(());
        }
        let what = io::Error::new(io::ErrorKind::NotFound, "the directory was removed or replaced");
        let error = Error::system("keep", &path, what);
        hit(Mark::DirectoryReplaced);
        self.poison_by(&error);
        Err(error)
    }

    /// Notes how a flush or compaction ended.
    pub(super) fn note_job<T>(&self, job: Job, outcome: &Result<T>) {
        self.health.note_job(job, outcome);
        if outcome.as_ref().is_err_and(|error| !matches!(error, Error::Closed | Error::Poisoned { .. })) {
            let counter = match job {
                Job::Flush => &self.counters.failed_flushes,
                Job::Compact => &self.counters.failed_compactions,
            };
            counter.add(1);
        }
    }

    /// Makes an edit of the manifest happen.
    pub(super) fn install_edit(&self, manifest: &mut ManifestLog, edit: &Edit) -> Result<()> {
        self.check_poison()?;
        self.check_place()?;
        let _timer = self.counters.latencies.manifest_edit.time();
        manifest
            .install(edit, || self.take_file_number())
            .inspect_err(|error| self.poison_unless_harmless(error))
    }

    /// Makes the names of new tables durable. If that fails, which of them are is not known, unless it was not even begun.
    pub(super) fn sync_table_names(&self) -> Result<()> {
        let dir = self.paths.table_dir();
        let sync = || self.options.fs.sync_dir(&dir).map_err(|e| Error::sync_dir(&dir, e));
        let synced = planted::unless(Bug::TableNamesNotSynced, sync);
        if planted::active(Bug::NamesSyncRetried) {
            return synced;
        }
        synced.inspect_err(|error| self.poison_unless_harmless(error))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn failed(kind: io::ErrorKind) -> Error {
        Error::system("write", Path::new("t"), kind.into())
    }

    #[test]
    fn the_worst_of_what_fails_is_told_until_it_succeeds() {
        let state = HealthState::default();
        assert!(state.now().is_healthy());
        state.note_job::<()>(Job::Compact, &Err(failed(io::ErrorKind::Other)));
        assert!(matches!(state.now(), Health::Degraded { .. }));
        state.note_job::<()>(Job::Flush, &Err(failed(io::ErrorKind::StorageFull)));
        assert!(matches!(state.now(), Health::DiskFull { .. }));
        state.note_job::<()>(Job::Flush, &Err(Error::Closed));
        assert!(matches!(state.now(), Health::DiskFull { .. }), "broken off is neither");
        state.note_job(Job::Flush, &Ok(false));
        assert!(matches!(state.now(), Health::Degraded { .. }));
        state.note_job(Job::Compact, &Ok(true));
        state.note_refusal(&failed(io::ErrorKind::QuotaExceeded));
        assert_eq!(state.now().code(), 2);
        state.note_written();
        assert!(state.now().is_healthy());
    }

    #[test]
    fn writers_hear_of_failures_in_a_row_only_and_pauses_grow_up_to_a_limit() {
        let state = HealthState::default();
        for round in 0..FAILURES_BEFORE_WRITERS_HEAR {
            assert!(state.hopeless().is_none(), "round {round}");
            state.note_job::<()>(Job::Flush, &Err(failed(io::ErrorKind::Other)));
        }
        assert!(state.hopeless().is_some());
        let early = state.retry_pause(Job::Flush);
        for _ in 0..100 {
            state.note_job::<()>(Job::Flush, &Err(failed(io::ErrorKind::Other)));
        }
        assert!(early < LONGEST_RETRY_PAUSE && state.retry_pause(Job::Flush) == LONGEST_RETRY_PAUSE);
        state.note_job(Job::Flush, &Ok(true));
        assert!(state.hopeless().is_none());
        assert_eq!(state.retry_pause(Job::Flush), FIRST_RETRY_PAUSE);
    }
}
