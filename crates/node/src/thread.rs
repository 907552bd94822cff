//! What belongs to the environments of one thread: stores, snapshots, transactions, and the count of outstanding answers.
//!
//! An environment lives on one thread, so its tables are thread-local and need no lock. A thread may see several
//! environments, one after another or at once (a reloaded window, several contexts); every entry names its own.
//! Handles of stores are never reused on a thread, so a stale one is an error and never someone else's store; those of
//! snapshots, transactions and watches only after four billion others, and never while in use.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fountain_engine::{Page, Result, Seq, Snapshot, Store, Transaction, View, Watch};
use napi::Env;
use napi::bindgen_prelude::{Buffer, BufferSlice, Function};
use napi_derive::napi;

use crate::arguments::sequence;
use crate::errors::{answer, bad_argument, closed, failure_of_host, host_failure, thrown};
use crate::mailbox::{Letter, Mailbox, Ticket};
use crate::registry::SharedStore;

/// One environment of this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EnvId(usize);

struct Environment {
    mailbox: Arc<Mailbox>,
    /// Answers that JavaScript waits for.
    outstanding: usize,
    /// Bytes of the answer being delivered.
    payload: Vec<u8>,
    /// Through which reads pass that are answered at once.
    block: Option<Buffer>,
}

struct OpenStore {
    env: EnvId,
    store: SharedStore,
}

struct OpenSnapshot {
    store: u32,
    kept: Kept,
}

/// What a snapshot, or what is as one, keeps.
enum Kept {
    Sequence(Snapshot),
    /// What a transaction had written by a moment.
    Writes(Transaction),
}

impl Kept {
    fn sequence(&self) -> Seq {
        match self {
            Self::Sequence(snapshot) => snapshot.sequence(),
            Self::Writes(transaction) => transaction.sequence(),
        }
    }

    fn view(&self) -> View {
        match self {
            Self::Sequence(snapshot) => snapshot.view(),
            Self::Writes(transaction) => View::Transaction(transaction.clone()),
        }
    }
}

struct OpenTransaction {
    store: u32,
    transaction: Transaction,
}

struct OpenWatch {
    store: u32,
    watch: Arc<Watch>,
}

#[derive(Default)]
struct Tables {
    environments: Vec<Option<Environment>>,
    stores: Vec<Option<OpenStore>>,
    snapshots: HashMap<u32, OpenSnapshot>,
    last_snapshot: u32,
    transactions: HashMap<u32, OpenTransaction>,
    last_transaction: u32,
    watches: HashMap<u32, OpenWatch>,
    last_watch: u32,
    /// Reused by every scan that is answered from memory.
    page: Page,
}

thread_local! {
    static TABLES: RefCell<Tables> = RefCell::default();
}

/// Registers the environment and the callback that is called when there are answers for it. Returns the environment's id.
#[napi(catch_unwind)]
pub fn init(env: Env, callback: Function<'_, (), ()>) -> answer::Result<u32> {
    let mailbox = Arc::new(Mailbox::default());
    let id = TABLES.with_borrow_mut(|tables| {
        let environment =
            Environment { mailbox: Arc::clone(&mailbox), outstanding: 0, payload: Vec::new(), block: None };
        tables.environments.push(Some(environment));
        EnvId(tables.environments.len() - 1)
    });
    let waker = callback
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .build_callback(|_| Ok(()))
        .map_err(|error| host_failure(&error))?;
    mailbox.connect(waker);
    // Hooks run last in, first out, so this one runs before the threadsafe function's own.
    env.add_env_cleanup_hook(id, |id| {
        let _ = catch_unwind(AssertUnwindSafe(|| leave(id)));
    })
    .map_err(|error| host_failure(&error))?;
    Ok(id.0 as u32)
}

/// Fetches the oldest answer: its ticket and its two numbers go into `into` as three doubles, and what else it carries waits
/// for [`collect`]. Returns [`ANSWERED`], [`FAILED`] (the second number is the length of the error as JSON text) or
/// [`NO_ANSWER`]. If there is none and the environment goes to `sleep`, the callback is called for the next one; it is not
/// called again before that.
#[napi(catch_unwind)]
pub fn next_answer(
    env: Env,
    environment: u32,
    mut into: BufferSlice<'_>,
    sleep: bool,
) -> answer::Result<i32> {
    let id = EnvId(environment as usize);
    let mailbox = TABLES
        .with_borrow_mut(|tables| Ok(Arc::clone(&tables.environment(id)?.mailbox)))
        .map_err(|error| thrown(&error))?;
    let room = into.first_chunk_mut::<NUMBERS_BYTES>();
    let room = room.ok_or_else(|| thrown(&bad_argument("no room for three numbers")))?;
    let Some(letter) = mailbox.take(sleep) else { return Ok(NO_ANSWER) };
    let (kind, numbers) = match deliver(id, env, letter) {
        (ticket, Ok([first, second])) => (ANSWERED, [ticket.into(), first, second]),
        (ticket, Err(length)) => (FAILED, [ticket.into(), 0.0, f64::from(length)]),
    };
    room.copy_from_slice(numbers.map(f64::to_ne_bytes).as_flattened());
    Ok(kind)
}

/// Bytes of the numbers of an answer.
const NUMBERS_BYTES: usize = 24;
/// No answer waits.
const NO_ANSWER: i32 = 0;
/// The call was carried out.
const ANSWERED: i32 = 1;
/// The call failed.
const FAILED: i32 = 2;

/// Copies the bytes of the answer being delivered into `into`, which must have exactly their length.
#[napi(catch_unwind)]
pub fn collect(env: u32, mut into: BufferSlice<'_>) -> answer::Result<()> {
    TABLES
        .with_borrow_mut(|tables| {
            let payload = std::mem::take(&mut tables.environment(EnvId(env as usize))?.payload);
            if payload.len() != into.len() {
                return Err(bad_argument(format!("{} bytes wait, not {}", payload.len(), into.len())));
            }
            into.copy_from_slice(&payload);
            Ok(())
        })
        .map_err(|error| thrown(&error))
}

/// Puts what the letter carries where JavaScript can reach it, and lets the process end if it was the last one. Gives its
/// ticket, and its numbers or the length of its error.
fn deliver(id: EnvId, env: Env, letter: Letter) -> (u32, std::result::Result<[f64; 2], u32>) {
    let Letter { ticket, failure, mut outcome } = letter;
    TABLES.with_borrow_mut(|tables| {
        if let Some(store) = outcome.store.take() {
            outcome.first = f64::from(tables.stores.len() as u32);
            tables.stores.push(Some(OpenStore { env: id, store }));
        }
        let failure = failure.map(String::into_bytes);
        let answer = match &failure {
            Some(text) => Err(text.len() as u32),
            None => Ok([outcome.first, outcome.second]),
        };
        if let Ok(environment) = tables.environment(id) {
            environment.payload = failure.unwrap_or(outcome.payload);
            environment.outstanding = environment.outstanding.saturating_sub(1);
            if environment.outstanding == 0 {
                // It fails only when the environment is ending, and then nothing keeps it alive anyway.
                let _ = environment.mailbox.keep_alive(env, false);
            }
        }
        (ticket, answer)
    })
}

/// Releases all that the environment still holds. Blocks until stores that it was the last to use have closed.
fn leave(id: EnvId) {
    let taken = TABLES.try_with(|tables| tables.borrow_mut().remove_environment(id));
    let Ok((environment, stores, held)) = taken else { return };
    if let Some(environment) = environment {
        environment.mailbox.disconnect();
    }
    held.release();
    // Closes engines that nobody else uses. Nobody is left to tell of a failure; what was acknowledged is safe.
    drop(stores);
}

/// A ticket of the environment that has `store` open; the process stays alive until it is answered.
pub fn ticket_for(env: Env, number: u32, store: u32) -> Result<(Store, Ticket)> {
    TABLES.with_borrow_mut(|tables| {
        let open = tables.store(store)?;
        let (engine, id) = (open.store.engine().clone(), open.env);
        Ok((engine, tables.ticket(env, number, id)?))
    })
}

/// A ticket of the environment whose store the transaction changes, which is taken out of the table.
pub fn ticket_for_transaction(env: Env, number: u32, handle: u32) -> Result<(Transaction, Ticket)> {
    TABLES.with_borrow_mut(|tables| {
        let store = tables.transactions.get(&handle).ok_or_else(transaction_ended)?.store;
        let id = tables.store(store)?.env;
        let ticket = tables.ticket(env, number, id)?;
        let open = tables.transactions.remove(&handle).ok_or_else(transaction_ended)?;
        Ok((open.transaction, ticket))
    })
}

/// A ticket of the environment whose store the watch follows.
pub fn ticket_for_watch(env: Env, number: u32, handle: u32) -> Result<(Arc<Watch>, Store, Ticket)> {
    TABLES.with_borrow_mut(|tables| {
        let open = tables.watches.get(&handle).ok_or_else(watch_ended)?;
        let (watch, store) = (Arc::clone(&open.watch), open.store);
        let open = tables.store(store)?;
        let (engine, id) = (open.store.engine().clone(), open.env);
        Ok((watch, engine, tables.ticket(env, number, id)?))
    })
}

/// A ticket of an environment.
pub fn ticket_of(env: Env, number: u32, id: u32) -> Result<Ticket> {
    TABLES.with_borrow_mut(|tables| tables.ticket(env, number, EnvId(id as usize)))
}

/// Takes a store out of the table together with its snapshots and transactions: the handle is closed from here on.
pub fn take_store(env: Env, number: u32, handle: u32) -> Result<(SharedStore, Ticket)> {
    let (open, ticket, held) = TABLES.with_borrow_mut(|tables| {
        let id = tables.store(handle)?.env;
        let ticket = tables.ticket(env, number, id)?;
        let open = tables.stores.get_mut(handle as usize).and_then(Option::take).ok_or_else(closed)?;
        Ok::<_, fountain_engine::Error>((open, ticket, tables.take_held(handle)))
    })?;
    held.release();
    Ok((open.store, ticket))
}

/// Runs `work` on an open store.
pub fn with_store<R>(handle: u32, work: impl FnOnce(&Store) -> Result<R>) -> Result<R> {
    TABLES.with_borrow(|tables| {
        let open = tables.stores.get(handle as usize).and_then(Option::as_ref);
        work(open.ok_or_else(closed)?.store.engine())
    })
}

/// Keeps a block of JavaScript's for the environment, for as long as that lives.
pub fn keep_block(environment: u32, block: Buffer) -> Result<()> {
    TABLES.with_borrow_mut(|tables| {
        tables.environment(EnvId(environment as usize))?.block = Some(block);
        Ok(())
    })
}

/// Runs `work`, which must not come back to the tables, on an open store with the block of its environment.
pub fn with_block<R>(handle: u32, work: impl FnOnce(&Store, &mut [u8]) -> Result<R>) -> Result<R> {
    TABLES.with_borrow_mut(|tables| {
        let open = tables.stores.get(handle as usize).and_then(Option::as_ref).ok_or_else(closed)?;
        let environment = tables.environments.get_mut(open.env.0).and_then(Option::as_mut);
        let block = environment.and_then(|environment| environment.block.as_mut());
        work(open.store.engine(), block.ok_or_else(|| bad_argument("no block was lent"))?)
    })
}

/// Runs `work` on an open store with the page that this thread reuses.
pub fn with_page<R>(handle: u32, work: impl FnOnce(&Store, &mut Page) -> Result<R>) -> Result<R> {
    TABLES.with_borrow_mut(|tables| {
        let open = tables.stores.get(handle as usize).and_then(Option::as_ref);
        work(open.ok_or_else(closed)?.store.engine(), &mut tables.page)
    })
}

/// The handle after `last` that is not in use. A busy thread comes round after some days.
fn free_handle<T>(used: &HashMap<u32, T>, last: u32) -> u32 {
    let mut handle = last.wrapping_add(1);
    while used.contains_key(&handle) {
        handle = handle.wrapping_add(1);
    }
    handle
}

/// Keeps a snapshot of `store` and returns its handle.
pub fn keep_snapshot(store: u32, take: impl FnOnce(&Store) -> Result<Snapshot>) -> Result<u32> {
    TABLES.with_borrow_mut(|tables| {
        let snapshot = take(tables.store(store)?.store.engine())?;
        Ok(tables.keep(store, Kept::Sequence(snapshot)))
    })
}

/// Keeps what a transaction sees now, whatever it writes later, and returns the handle of what is as a snapshot.
pub fn keep_writes(handle: u32) -> Result<u32> {
    TABLES.with_borrow_mut(|tables| {
        let open = tables.transactions.get(&handle).ok_or_else(transaction_ended)?;
        let (store, frozen) = (open.store, open.transaction.frozen());
        Ok(tables.keep(store, Kept::Writes(frozen)))
    })
}

/// The sequence of a snapshot that is kept.
pub fn snapshot_sequence(handle: u32) -> Result<Seq> {
    with_kept(handle, Kept::sequence)
}

fn with_kept<R>(handle: u32, work: impl FnOnce(&Kept) -> R) -> Result<R> {
    TABLES.with_borrow(|tables| Ok(work(&tables.snapshots.get(&handle).ok_or_else(closed)?.kept)))
}

/// Releases a snapshot; fine if closing the store already did.
pub fn release_snapshot(handle: u32) {
    let released = TABLES.with_borrow_mut(|tables| tables.snapshots.remove(&handle));
    drop(released);
}

/// Begins a transaction on `store` and returns its handle.
pub fn keep_transaction(store: u32, begin: impl FnOnce(&Store) -> Result<Transaction>) -> Result<u32> {
    TABLES.with_borrow_mut(|tables| {
        let transaction = begin(tables.store(store)?.store.engine())?;
        let handle = free_handle(&tables.transactions, tables.last_transaction);
        tables.last_transaction = handle;
        tables.transactions.insert(handle, OpenTransaction { store, transaction });
        Ok(handle)
    })
}

/// A transaction that is open.
pub fn transaction(handle: u32) -> Result<Transaction> {
    TABLES.with_borrow(|tables| {
        let open = tables.transactions.get(&handle).ok_or_else(transaction_ended)?;
        Ok(open.transaction.clone())
    })
}

/// Ends a transaction without effect; fine if it has ended.
pub fn rollback(handle: u32) {
    let ended = TABLES.with_borrow_mut(|tables| tables.transactions.remove(&handle));
    if let Some(open) = ended {
        open.transaction.rollback();
    }
}

/// The first number by which a view names what is held for a read; see [`view`].
const HELD: f64 = -2.0 - 8_589_934_592.0;

/// The view that a number names: a sequence, −1 for the newest state, −2 − 2^33 − `handle` for what is held for a read, and
/// −2 − `handle` for a transaction with what it has written up to this call; what it writes while the read waits for a
/// thread, the read does not see.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "handles are 32-bit numbers")]
pub fn view(at: f64) -> Result<View> {
    if at >= 0.0 {
        return sequence(at).map(View::At);
    }
    if at <= HELD {
        return with_kept((HELD - at) as u32, Kept::view);
    }
    if at > -2.0 {
        return Ok(View::Newest);
    }
    transaction((-2.0 - at) as u32).map(|transaction| View::Transaction(transaction.frozen()))
}

/// Begins to follow `store` and returns the watch's handle.
pub fn keep_watch(store: u32, begin: impl FnOnce(&Store) -> Result<Watch>) -> Result<u32> {
    TABLES.with_borrow_mut(|tables| {
        let watch = Arc::new(begin(tables.store(store)?.store.engine())?);
        let handle = free_handle(&tables.watches, tables.last_watch);
        tables.last_watch = handle;
        tables.watches.insert(handle, OpenWatch { store, watch });
        Ok(handle)
    })
}

/// Runs `work` on a watch that is kept.
pub fn with_watch<R>(handle: u32, work: impl FnOnce(&Watch) -> R) -> Result<R> {
    TABLES.with_borrow(|tables| Ok(work(&tables.watches.get(&handle).ok_or_else(watch_ended)?.watch)))
}

/// Ends a watch; fine if it has ended.
pub fn release_watch(handle: u32) {
    let ended = TABLES.with_borrow_mut(|tables| tables.watches.remove(&handle));
    if let Some(open) = ended {
        open.watch.cancel();
    }
}

fn watch_ended() -> fountain_engine::Error {
    fountain_engine::Error::new(fountain_engine::ErrorCode::Closed, "the watch has ended")
}

fn transaction_ended() -> fountain_engine::Error {
    fountain_engine::Error::new(fountain_engine::ErrorCode::Closed, "the transaction has ended")
}

/// What was open on a store.
#[derive(Default)]
struct Held {
    snapshots: Vec<OpenSnapshot>,
    transactions: Vec<OpenTransaction>,
    watches: Vec<OpenWatch>,
}

impl Held {
    /// Not while the tables are borrowed: whoever else holds a share in a transaction may be waiting for them.
    fn release(self) {
        drop(self.snapshots);
        for open in self.transactions {
            open.transaction.rollback();
        }
        for open in self.watches {
            open.watch.cancel();
        }
    }
}

impl Tables {
    fn environment(&mut self, id: EnvId) -> Result<&mut Environment> {
        let environment = self.environments.get_mut(id.0).and_then(Option::as_mut);
        environment.ok_or_else(|| bad_argument("the environment has ended"))
    }

    fn store(&self, handle: u32) -> Result<&OpenStore> {
        self.stores.get(handle as usize).and_then(Option::as_ref).ok_or_else(closed)
    }

    fn keep(&mut self, store: u32, kept: Kept) -> u32 {
        let handle = free_handle(&self.snapshots, self.last_snapshot);
        self.last_snapshot = handle;
        self.snapshots.insert(handle, OpenSnapshot { store, kept });
        handle
    }

    fn ticket(&mut self, env: Env, number: u32, id: EnvId) -> Result<Ticket> {
        let environment = self.environment(id)?;
        if environment.outstanding == 0 {
            let kept = environment.mailbox.keep_alive(env, true);
            kept.map_err(|error| failure_of_host(&error))?;
        }
        environment.outstanding += 1;
        Ok(Ticket::new(number, Arc::clone(&environment.mailbox)))
    }

    /// What is open on a store.
    fn take_held(&mut self, store: u32) -> Held {
        let snapshots = self.snapshots.extract_if(|_, open| open.store == store).map(|(_, open)| open);
        let transactions = self.transactions.extract_if(|_, open| open.store == store).map(|(_, open)| open);
        let watches = self.watches.extract_if(|_, open| open.store == store).map(|(_, open)| open);
        Held {
            snapshots: snapshots.collect(),
            transactions: transactions.collect(),
            watches: watches.collect(),
        }
    }

    fn remove_environment(&mut self, id: EnvId) -> (Option<Environment>, Vec<OpenStore>, Held) {
        let environment = self.environments.get_mut(id.0).and_then(Option::take);
        let mut stores = Vec::new();
        let mut held = Held::default();
        for handle in 0..self.stores.len() {
            let slot = &mut self.stores[handle];
            if slot.as_ref().is_some_and(|open| open.env == id) {
                stores.extend(slot.take());
                let of_store = self.take_held(handle as u32);
                held.snapshots.extend(of_store.snapshots);
                held.transactions.extend(of_store.transactions);
                held.watches.extend(of_store.watches);
            }
        }
        (environment, stores, held)
    }
}
