//! Watches: handles to follow a store. Asking for the next changes is answered when there are some.

use std::sync::Arc;

use fountain_engine::{CollectionId, Seq, Store, VersionPage, Watch};
use napi::Env;
use napi_derive::napi;

use crate::arguments::{collection, number, sequence};
use crate::errors::{answer, thrown};
use crate::mailbox::{Outcome, Ticket};
use crate::thread::{self, ticket_for_watch};

/// Begins to follow a store. Returns the watch's handle.
#[napi(catch_unwind)]
pub fn watch(store: u32) -> answer::Result<u32> {
    thread::keep_watch(store, Store::watch).map_err(|error| thrown(&error))
}

/// Begins to follow one collection, from a sequence on or, if that is negative, from now on: `sight` is `{ where?, prev? }` in
/// JSON. Returns the watch's handle.
#[napi(catch_unwind)]
pub fn watch_collection(
    store: u32,
    collection_id: u32,
    from: f64,
    sight: String,
    regex: bool,
) -> answer::Result<u32> {
    let begin = |engine: &Store| {
        let id = collection(collection_id)?;
        let from = if from < 0.0 { None } else { Some(sequence(from)?) };
        engine.watch_collection(id, engine.parse_sight(&sight, regex)?, from)
    };
    thread::keep_watch(store, begin).map_err(|error| thrown(&error))
}

/// The sequence behind which the changes of a watch begin.
#[napi(catch_unwind)]
pub fn watch_begin(watch: u32) -> answer::Result<f64> {
    thread::with_watch(watch, |watch| number(watch.begin())).map_err(|error| thrown(&error))
}

/// Waits for changes after a sequence, of one collection or, if that is 0, of all. Answers with the sequence up to which
/// they go and the length of the page to collect.
#[napi(catch_unwind)]
pub fn watch_next(
    env: Env,
    ticket: u32,
    watch: u32,
    collection_id: u32,
    after: f64,
    max_bytes: u32,
) -> answer::Result<()> {
    let start = || {
        let only = if collection_id == 0 { None } else { Some(collection(collection_id)?) };
        let (watch, engine, ticket) = ticket_for_watch(env, ticket, watch)?;
        let next = Next { watch, only, after: sequence(after)?, max_bytes: max_bytes as usize, ticket };
        next.spawn(&engine);
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

/// Ends a watch; what it waits for is answered with `ERR_CLOSED`. Fine if it has ended.
#[napi(catch_unwind)]
pub fn unwatch(watch: u32) {
    thread::release_watch(watch);
}

/// Somebody who waits for changes.
struct Next {
    watch: Arc<Watch>,
    only: Option<CollectionId>,
    after: Seq,
    max_bytes: usize,
    ticket: Ticket,
}

impl Next {
    /// Looks for changes on a read thread.
    fn spawn(self, engine: &Store) {
        // If the store is closing, the job is dropped and with it the ticket, which answers that.
        let _ = engine.spawn_read(Box::new(move |engine| self.look(engine)));
    }

    /// Answers if there are changes, and waits for a commit if there are none.
    fn look(self, engine: &Store) {
        let mut page = VersionPage::new();
        match self.watch.next(self.only, self.after, self.max_bytes, &mut page) {
            Ok(reached) if reached == self.after => {
                let (engine, watch, after) = (engine.clone(), Arc::clone(&self.watch), self.after);
                watch.when_after(after, Box::new(move || self.spawn(&engine)));
            }
            // Nothing to tell: JavaScript need not know.
            Ok(reached) if page.is_empty() => Self { after: reached, ..self }.spawn(engine),
            found => {
                self.ticket.answer(found.map(|reached| Outcome::bytes(number(reached), page.into_bytes())));
            }
        }
    }
}
