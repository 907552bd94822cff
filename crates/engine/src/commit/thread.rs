//! The one thread that commits.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, ThreadId};

use super::queue::CommitQueue;
use super::{Committer, Submission};
use crate::error::{Error, ErrorCode, Result};
use crate::sync::{lock, spawn};

/// A way to the queue of the commit thread, for those who are not to keep the thread itself.
#[derive(Clone, Default)]
pub(crate) struct Submitter(Arc<CommitQueue>);

impl Submitter {
    /// Queues a submission. If none are taken any more, its caller learns that at once, on this thread.
    pub fn submit(&self, submission: Submission) {
        if let Err(refused) = self.0.push(submission) {
            (refused.done)(Err(Error::closed()));
        }
    }
}

/// The commit thread and its queue. As the only one who writes, it also closes storage, as its last act: then no
/// accepted commit can come too late.
pub(crate) struct CommitThread {
    queue: Arc<CommitQueue>,
    handle: Mutex<Option<JoinHandle<Result<()>>>>,
    id: ThreadId,
}

impl CommitThread {
    /// Starts the thread, which takes what `submitter` submits.
    pub fn start(submitter: &Submitter, committer: Committer) -> io::Result<Self> {
        let queue = Arc::clone(&submitter.0);
        let for_thread = Arc::clone(&queue);
        let handle = spawn("fountain-commit", move || run(&for_thread, &committer))?;
        let id = handle.thread().id();
        Ok(Self { queue, handle: Mutex::new(Some(handle)), id })
    }

    /// Queues a submission. If none are taken any more, its caller learns that at once, on this thread.
    pub fn submit(&self, submission: Submission) {
        Submitter(Arc::clone(&self.queue)).submit(submission);
    }

    /// Bytes of submissions that are not committed yet.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Whether the caller is the commit thread.
    pub fn is_current_thread(&self) -> bool {
        thread::current().id() == self.id
    }

    /// Takes no more submissions; those accepted are still committed.
    pub fn refuse(&self) {
        self.queue.refuse();
    }

    /// Waits until everything accepted is committed and storage is closed, and returns how closing went. Called on
    /// the commit thread itself it does not wait; the thread does the same once it has returned there.
    pub fn finish(&self) -> Result<()> {
        self.queue.end();
        let handle = lock(&self.handle).take();
        match handle {
            Some(handle) if !self.is_current_thread() => handle.join().unwrap_or_else(|_| {
                Err(Error::new(ErrorCode::Internal, "the commit thread panicked while closing storage"))
            }),
            _ => Ok(()),
        }
    }
}

fn run(queue: &CommitQueue, committer: &Committer) -> Result<()> {
    while let Some(group) = queue.next_group() {
        let size = group.iter().map(Submission::size_bytes).sum();
        let answers = committer.commit(group);
        queue.release(size);
        for answer in answers {
            answer.deliver();
        }
    }
    committer.kv.close()
}
