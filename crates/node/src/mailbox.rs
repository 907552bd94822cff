//! Answers on their way from engine threads to one environment.
//!
//! A ticket is answered exactly once, whatever happens: dropping it unanswered answers it with an error. Letters wait
//! in the mailbox, not in the queue of the threadsafe function, so that an environment which ends early frees them, and so
//! that it fetches those that came together in one go. Node would call a threadsafe function up to a thousand times before
//! anything else had its turn; an environment that is awake is not called again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fountain_engine::{Error, ErrorCode, Result, Store};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};

use crate::registry::SharedStore;

/// Wakes the environment; weak, so that it does not keep the process alive by itself.
pub type Waker = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What an asynchronous call achieved. What the numbers mean depends on the function.
#[derive(Default)]
pub struct Outcome {
    pub first: f64,
    pub second: f64,
    /// Bytes for JavaScript to collect during the callback.
    pub payload: Vec<u8>,
    /// A store that was opened; the environment gives it a handle, which becomes `first`.
    pub store: Option<SharedStore>,
}

impl Outcome {
    /// An outcome that is one number.
    pub fn number(first: f64) -> Self {
        Self { first, ..Self::default() }
    }

    /// An outcome with bytes; `first` is free to say more, `second` is their number.
    pub fn bytes(first: f64, payload: Vec<u8>) -> Self {
        Self { first, second: f64::from(payload.len() as u32), payload, store: None }
    }
}

/// One answered ticket.
pub struct Letter {
    pub ticket: u32,
    pub failure: Option<String>,
    pub outcome: Outcome,
}

/// Where the answers for one environment wait.
#[derive(Default)]
pub struct Mailbox(Mutex<State>);

#[derive(Default)]
struct State {
    letters: VecDeque<Letter>,
    waker: Option<Waker>,
    /// Whether the environment has been woken and looks for letters by itself.
    awake: bool,
}

impl Mailbox {
    /// Starts waking the environment through `waker`.
    pub fn connect(&self, waker: Waker) {
        self.lock().waker = Some(waker);
    }

    /// Stops waking; letters under way and later ones are dropped. The environment is about to end.
    pub fn disconnect(&self) {
        let state = std::mem::take(&mut *self.lock());
        // Outside of the lock: dropping the waker calls into Node-API.
        drop(state);
    }

    /// The oldest letter. If there is none and the environment goes to `sleep`, the next letter wakes it.
    pub fn take(&self, sleep: bool) -> Option<Letter> {
        let mut state = self.lock();
        let letter = state.letters.pop_front();
        if sleep && letter.is_none() {
            state.awake = false;
        }
        letter
    }

    /// Makes the environment wait for letters, or not. On the environment's own thread only.
    pub fn keep_alive(&self, env: Env, alive: bool) -> napi::Result<()> {
        let mut state = self.lock();
        let Some(waker) = &mut state.waker else { return Ok(()) };
        // Deprecated in favour of counting clones, which weak functions do not have.
        #[expect(deprecated)]
        if alive { waker.refer(&env) } else { waker.unref(&env) }
    }

    /// Whether the environment has not ended.
    fn is_read(&self) -> bool {
        self.lock().waker.is_some()
    }

    fn post(&self, letter: Letter) {
        let mut state = self.lock();
        let State { letters, waker, awake } = &mut *state;
        if let Some(waker) = waker {
            letters.push_back(letter);
            if !std::mem::replace(awake, true) {
                // A refusal means that the environment is ending; nobody is left to read the letter.
                waker.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    }

    /// The state is changed in single steps, so it is good even if a holder of the lock panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to answer one call.
pub struct Ticket {
    number: u32,
    mailbox: Option<Arc<Mailbox>>,
}

impl Ticket {
    /// The duty to answer ticket `number` of the environment behind `mailbox`.
    pub fn new(number: u32, mailbox: Arc<Mailbox>) -> Self {
        Self { number, mailbox: Some(mailbox) }
    }

    /// Answers with what `work` finds on a read thread of `engine`. What waits there for an environment that has ended is
    /// not done any more: it would only keep the process from ending.
    pub fn answer_later(self, engine: &Store, work: impl FnOnce(&Store) -> Result<Outcome> + Send + 'static) {
        // If the store is closing, the job is dropped and with it the ticket, which answers that.
        let _ = engine.spawn_read(Box::new(move |engine| {
            if self.is_wanted() {
                self.answer(work(engine));
            }
        }));
    }

    /// Whether anybody is left to read the answer.
    pub fn is_wanted(&self) -> bool {
        self.mailbox.as_ref().is_some_and(|mailbox| mailbox.is_read())
    }

    /// Answers.
    pub fn answer(mut self, result: Result<Outcome>) {
        self.post(result);
    }

    fn post(&mut self, result: Result<Outcome>) {
        let Some(mailbox) = self.mailbox.take() else { return };
        let (failure, outcome) = match result {
            Ok(outcome) => (None, outcome),
            Err(error) => (Some(error.to_json()), Outcome::default()),
        };
        mailbox.post(Letter { ticket: self.number, failure, outcome });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let error = if std::thread::panicking() {
            Error::new(
                ErrorCode::Internal,
                "a panic in the engine; the program's error output has the details",
            )
        } else {
            Error::new(ErrorCode::Closed, "the store was closed before the call was carried out")
        };
        self.post(Err(error));
    }
}
