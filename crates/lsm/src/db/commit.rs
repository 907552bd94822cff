//! The way of a commit: queue, log, memtable, sync, publication.
//!
//! Commits that arrive while another group is being appended wait in a queue; the first of them leads the next group.
//! The leader takes the commit lock, gives the commits their sequences, appends their frames with one write and
//! inserts them into the memtable; then it lets go of the lock, so that the next group can form, and only then syncs.
//! The leader of a group of durable commits lets it grow until the sync under way has ended, since its own could not
//! begin before; it does not as soon as anybody joins who need not wait for the disk.
//! A group becomes visible when it is synced and all groups before it are visible.
//!
//! What always holds: sequences lie in the log in order and without gaps; a commit that was refused for want of space
//! left no trace; after any other failure nothing later becomes visible.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::SeqRange;
use super::group::{Batches, Group, Request, Slot};
use super::inner::{Inner, locked};
use crate::batch::WriteBatch;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::limits::{MAX_GROUP_BYTES, WAL_BUFFER_BYTES};
use crate::marks::{Mark, hit};
use crate::planted::{self, Bug};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::types::{Durability, Seq};
use crate::wal::{WalFile, WalWriter};

/// What the commit lock protects.
pub(super) struct Log {
    pub(super) wal: WalWriter,
    /// The last sequence given out.
    pub(super) last: Seq,
    /// The last sequence when a memtable was sealed: what came after it is in the active one, or changed nothing.
    pub(super) sealed: Seq,
    /// Groups appended so far; each has the next number as its ticket.
    pub(super) groups: u64,
    /// While the clock is in this range, commits need not state their time.
    pub(super) quiet: Range<Timestamp>,
}

/// Commits that wait for a leader.
#[derive(Default)]
pub(super) struct CommitQueue {
    /// Requests that have come and have not left with their group. Whoever finds none leads, so a lone writer that does not
    /// wait for the disk takes no lock here.
    present: AtomicUsize,
    state: Mutex<QueueState>,
    /// Signalled when a leader need not let its group grow any longer.
    grown: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Request>,
    /// The last leader has left and found nobody to appoint, though somebody was about to wait: the next one to look
    /// leads.
    leaderless: bool,
    /// How many of those who wait do not wait for the disk.
    hasty: usize,
    /// How many groups are being synced.
    syncs: usize,
}

/// What somebody who enters the queue is to do.
enum Entered {
    /// Lead the next group, with this request as its first.
    Leads(Request),
    Waits(Arc<Slot>),
}

/// A group that is in the log and the memtable, but not yet durable and visible.
struct Appended {
    ticket: u64,
    last: Seq,
    /// The segment to be synced, and up to where, if anybody waits for the disk.
    unsynced: Option<(Arc<WalFile>, u64)>,
}

impl Inner {
    pub(super) fn commit_many(&self, batches: Vec<WriteBatch>, durability: Durability) -> Result<SeqRange> {
        if batches.is_empty() {
            self.check_writable()?;
            let newest = self.visible();
            return Ok(SeqRange { first: newest, last: newest });
        }
        self.commit(Batches::Many(batches), durability)
    }

    pub(super) fn commit(&self, batches: Batches, durability: Durability) -> Result<SeqRange> {
        self.check_writable()?;
        let _timer = self.counters.latencies.commit.time();
        self.admit(batches.bytes())?;
        match self.queue.enter(Request { batches, durability, slot: None }) {
            Entered::Leads(request) => self.lead(Some(request)),
            Entered::Waits(slot) => slot.wait().unwrap_or_else(|| self.lead(None)),
        }
    }

    /// Carries one group through. The leader's own request is the first of it: `own`, or the first of the queue.
    fn lead(&self, own: Option<Request>) -> Result<SeqRange> {
        self.queue.let_grow(own.as_ref());
        let mut log = locked(&self.log);
        let group = self.queue.take_group(own);
        if !group.others.is_empty() {
            hit(Mark::GroupOfSeveral);
        }
        let before = log.last;
        let appended = self.or_poison("appending commits", || self.append(&mut log, &group));
        drop(log);
        self.queue.appoint_next(&group);
        let outcome = appended.and_then(|appended| self.finish(appended));
        group.answer(before, &outcome)
    }

    /// Under the commit lock: sequences, log, memtable.
    fn append(&self, log: &mut Log, group: &Group) -> Result<Appended> {
        self.check_writable()?;
        let bytes = group.bytes();
        self.make_room(log, bytes)?;
        let before = log.last;
        let mark = log.wal.mark();
        let stamp = self.stamp(log);
        let last = group.encode(&mut log.wal, before, stamp)?;
        let durable = group.is_durable();
        if !(group.is_in_memory() && log.wal.buffered() < WAL_BUFFER_BYTES)
            && let Err(error) = self.write_out(&mut log.wal, durable)
        {
            return Err(self.refuse(log, mark, error));
        }
        if log.wal.buffered() == 0 {
            self.health.note_written();
        } else {
            hit(Mark::CommitsBuffered);
        }
        self.counters.commit_groups.add(1);
        self.counters.commits.add(last.get() - before.get());
        self.counters.commit_bytes.add(bytes as u64);
        group.insert(&self.current.load().active, before);
        if let (Some(stamp), Some(first)) = (stamp, before.checked_add(1)) {
            self.note_stamp(log, stamp, first);
        }
        log.last = last;
        log.groups += 1;
        let file = log.wal.file();
        let unsynced = durable.then(|| (Arc::clone(file), file.written()));
        Ok(Appended { ticket: log.groups, last, unsynced })
    }

    fn write_out(&self, wal: &mut WalWriter, durable: bool) -> Result<()> {
        let latency = &self.counters.latencies.wal_write;
        // Beside a sync two looks at the clock are nothing; beside a write alone they would show.
        let timer = if durable { Some(latency.time()) } else { latency.sample() };
        let written =
            if durable { wal.write_out_ahead(self.options.wal_segment_bytes) } else { wal.write_out() };
        drop(timer);
        written
    }

    /// Takes a group back out of the log after its write failed.
    fn refuse(&self, log: &mut Log, mark: crate::wal::Mark, error: Error) -> Error {
        if !planted::active(Bug::RefusedCommitStays) {
            log.wal.rollback(mark);
        }
        if matches!(error, Error::DiskFull { .. }) {
            hit(Mark::RefusedCommitCut);
            let cut = planted::unless(Bug::RefusedCommitNotCut, || log.wal.file().cut_failed_append());
            if let Err(worse) = cut {
                self.poison_by(&worse);
            }
        }
        self.note_refused(&error);
        error
    }

    pub(super) fn note_refused(&self, error: &Error) {
        self.poison_unless_harmless(error);
        if error.changed_nothing() {
            self.health.note_refusal(error);
            self.counters.refused_commits.add(1);
        }
    }

    /// Without the commit lock: sync, then publish in order.
    fn finish(&self, group: Appended) -> Result<()> {
        if planted::active(Bug::VisibleBeforeSync) {
            self.visible.store(group.last.get(), Ordering::Release);
        }
        let synced = group.unsynced.map_or(Ok(()), |(file, end)| self.sync(&file, end));
        let published = self.publish(group.ticket, group.last);
        synced.and(published)
    }

    fn sync(&self, file: &WalFile, end: u64) -> Result<()> {
        let syncing = self.queue.note_sync();
        let synced = self.or_poison("syncing the log", || file.sync_upto(end, &self.counters));
        drop(syncing);
        synced.inspect_err(|error| self.poison_unless_harmless(error))
    }

    /// Makes everything up to `last` visible once all groups before `ticket` are.
    pub(super) fn publish(&self, ticket: u64, last: Seq) -> Result<()> {
        self.publisher.in_turn(ticket, || {
            // After a failed sync nothing later may be seen either: it might have a hole before it on disk.
            self.check_poison()?;
            self.visible.store(last.get(), Ordering::Release);
            Ok(())
        })
    }
}

impl QueueState {
    fn pop(&mut self) -> Option<Request> {
        let request = self.waiting.pop_front()?;
        self.hasty -= usize::from(!request.is_durable());
        Some(request)
    }
}

impl CommitQueue {
    /// Lets the caller lead if nobody else does: then nobody waits either. Otherwise the request waits its turn.
    fn enter(&self, mut request: Request) -> Entered {
        if self.present.fetch_add(1, Ordering::AcqRel) == 0 {
            return Entered::Leads(request);
        }
        let mut state = locked(&self.state);
        if std::mem::take(&mut state.leaderless) {
            debug_assert!(state.waiting.is_empty());
            return Entered::Leads(request);
        }
        let slot = Arc::new(Slot::new());
        request.slot = Some(Arc::clone(&slot));
        if !request.is_durable() {
            state.hasty += 1;
            self.grown.notify_one();
        }
        state.waiting.push_back(request);
        Entered::Waits(slot)
    }

    /// Lets the leader of a durable group wait for others to join it while an earlier group is being synced: its own
    /// sync could not begin before. Not if anybody is in the group who does not wait for the disk.
    fn let_grow(&self, own: Option<&Request>) {
        if own.is_some_and(|own| !own.is_durable()) {
            return;
        }
        let mut state = locked(&self.state);
        while state.syncs > 0 && state.hasty == 0 {
            state = self.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that a group is being synced, as long as what it returns lives.
    fn note_sync(&self) -> Syncing<'_> {
        locked(&self.state).syncs += 1;
        Syncing { queue: self }
    }

    /// The next group: `own`, or the first that waits, and then those that wait.
    fn take_group(&self, own: Option<Request>) -> Group {
        if own.is_some() && self.present.load(Ordering::Acquire) == 1 {
            return Group { first: own, others: Vec::new() };
        }
        let mut state = locked(&self.state);
        let mut group = Group { first: own.or_else(|| state.pop()), others: Vec::new() };
        let mut bytes = group.bytes();
        while let Some(request) = state.waiting.front() {
            bytes += request.bytes();
            if bytes > MAX_GROUP_BYTES {
                break;
            }
            group.others.extend(state.pop());
        }
        group
    }

    /// Lets the first of those who wait lead, now that `group` has left.
    fn appoint_next(&self, group: &Group) {
        let leaving = group.requests().count();
        if self.present.fetch_sub(leaving, Ordering::AcqRel) == leaving {
            return;
        }
        let mut state = locked(&self.state);
        match state.waiting.front() {
            Some(Request { slot: Some(slot), .. }) => slot.lead(),
            _ => state.leaderless = true,
        }
    }
}

/// See [`CommitQueue::note_sync`].
struct Syncing<'a> {
    queue: &'a CommitQueue,
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        locked(&self.queue.state).syncs -= 1;
        self.queue.grown.notify_one();
    }
}

/// Lets groups through one by one, in the order of their tickets.
#[derive(Default)]
pub(super) struct Publisher {
    state: Mutex<Published>,
    changed: Condvar,
}

#[derive(Default)]
struct Published {
    /// The last ticket that is through.
    ticket: u64,
    /// How many threads sleep; without any, nobody need be woken, which would cost a system call.
    sleepers: usize,
}

impl Publisher {
    fn in_turn<T>(&self, ticket: u64, step: impl FnOnce() -> T) -> T {
        let out_of_turn = planted::active(Bug::PublishedOutOfTurn);
        let mut state = self.sleep_while(|published| published + 1 != ticket && !out_of_turn);
        let result = step();
        state.ticket = ticket;
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
        result
    }

    /// Waits until all groups up to `ticket` are through.
    pub(super) fn wait_for(&self, ticket: u64) {
        drop(self.sleep_while(|published| published < ticket));
    }

    fn sleep_while(&self, unready: impl Fn(u64) -> bool) -> MutexGuard<'_, Published> {
        let mut state = locked(&self.state);
        while unready(state.ticket) {
            state.sleepers += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleepers -= 1;
        }
        state
    }
}
