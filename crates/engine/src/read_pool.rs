//! A few threads for reads that have to wait for the disk, so that the caller's threads need not.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle, ThreadId};

use crate::error::{Error, Result};
use crate::sync::{lock, spawn, wait_while};

/// Work for a read thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Named threads and their queue, first in, first out. A job that panics ends only itself.
pub(crate) struct ReadPool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    ids: Vec<ThreadId>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl ReadPool {
    /// Starts `count` threads.
    pub fn start(count: usize) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut pool = Self { queue, threads: Mutex::default(), ids: Vec::new() };
        for number in 0..count {
            let queue = Arc::clone(&pool.queue);
            match spawn(&format!("fountain-read-{number}"), move || queue.run()) {
                Ok(thread) => {
                    pool.ids.push(thread.thread().id());
                    lock(&pool.threads).push(thread);
                }
                Err(error) => {
                    pool.close();
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    /// Queues a job.
    pub fn spawn(&self, job: Job) -> Result<()> {
        let mut state = lock(&self.queue.state);
        if state.closed {
            return Err(Error::closed());
        }
        state.jobs.push_back(job);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }

    /// Whether the caller is one of the pool's threads.
    pub fn is_current_thread(&self) -> bool {
        self.ids.contains(&thread::current().id())
    }

    /// Takes no more jobs and waits until all that were queued have run and the threads have ended. Called on a
    /// thread of the pool it does not wait for that thread, which ends after its job.
    pub fn close(&self) {
        lock(&self.queue.state).closed = true;
        self.queue.changed.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for handle in threads {
            if handle.thread().id() != thread::current().id() {
                // A thread cannot end by a panic: its jobs are caught.
                let _ = handle.join();
            }
        }
    }
}

impl Queue {
    fn run(&self) {
        while let Some(job) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let state = lock(&self.state);
        let mut state = wait_while(&self.changed, state, |state| state.jobs.is_empty() && !state.closed);
        state.jobs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn closing_runs_what_was_queued_even_after_a_panic() {
        let pool = ReadPool::start(2).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        for number in 0..100 {
            let ran = Arc::clone(&ran);
            pool.spawn(Box::new(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                assert!(number % 10 != 0, "a job may panic");
            }))
            .unwrap();
        }
        pool.close();
        assert_eq!(ran.load(Ordering::SeqCst), 100);
        assert!(pool.spawn(Box::new(|| ())).is_err());
        pool.close();
    }
}
