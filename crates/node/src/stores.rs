//! Opening, closing and upkeep. What may take long runs on a thread of its own, never on libuv's and never on the
//! engine's read threads, for which closing waits.

use std::path::PathBuf;
use std::thread;

use fountain_engine::record::shape_of_record;
use fountain_engine::{CollectionId, CollectionRetention, Error, ErrorCode, Result, Store};
use napi::Env;
use napi_derive::napi;

use crate::arguments::{self, number};
use crate::errors::{answer, bad_argument, thrown};
use crate::mailbox::{Outcome, Ticket};
use crate::registry::{GivenOptions, SharedStore};
use crate::reports;
use crate::thread::{take_store, ticket_for, ticket_of, with_store};

/// What `reserve_shape` answers when an object has to carry its names itself.
const NO_SHAPE: f64 = -1.0;

/// Options of `open`; the facade has checked their ranges.
#[napi(object)]
pub struct OpenOptions {
    pub create_if_missing: Option<bool>,
    pub cache_bytes: Option<f64>,
    pub memtable_bytes: Option<f64>,
    pub wal_segment_bytes: Option<f64>,
    pub read_threads: Option<u32>,
    pub page_cache_reads: Option<bool>,
    /// As JSON text.
    pub retention: Option<String>,
}

/// Opens the store at `path`. Answers with its handle.
#[napi(catch_unwind)]
pub fn open(
    env: Env,
    environment: u32,
    ticket: u32,
    path: String,
    options: OpenOptions,
) -> answer::Result<()> {
    let start = || {
        let given = options.given()?;
        let ticket = ticket_of(env, ticket, environment)?;
        run("fountain-open", ticket, move || {
            let store = SharedStore::open(&PathBuf::from(path), &given)?;
            Ok(Outcome { store: Some(store), ..Outcome::default() })
        })
    };
    start().map_err(|error| thrown(&error))
}

/// Closes a handle: it is unknown at once, and answered when the engine has closed or others still use it.
#[napi(catch_unwind)]
pub fn close(env: Env, ticket: u32, store: u32) -> answer::Result<()> {
    let start = || {
        let (shared, ticket) = take_store(env, ticket, store)?;
        run("fountain-close", ticket, move || shared.release().map(|()| Outcome::default()))
    };
    start().map_err(|error| thrown(&error))
}

/// Writes what is in memory out as a table.
#[napi(catch_unwind)]
pub fn flush(env: Env, ticket: u32, store: u32) -> answer::Result<()> {
    upkeep(env, ticket, store, Store::flush)
}

/// Merges tables and drops versions that nothing needs.
#[napi(catch_unwind)]
pub fn compact(env: Env, ticket: u32, store: u32) -> answer::Result<()> {
    upkeep(env, ticket, store, Store::compact)
}

/// The newest visible sequence.
#[napi(catch_unwind)]
pub fn sequence(store: u32) -> answer::Result<f64> {
    with_store(store, |engine| Ok(number(engine.sequence()))).map_err(|error| thrown(&error))
}

/// The id of a collection; a new one if the name is new.
#[napi(catch_unwind)]
pub fn collection(store: u32, name: String) -> answer::Result<u32> {
    with_store(store, |engine| Ok(engine.collection(&name)?.get())).map_err(|error| thrown(&error))
}

/// The id of a collection that has one; 0 for a name that was never asked for.
#[napi(catch_unwind)]
pub fn known_collection(store: u32, name: String) -> answer::Result<u32> {
    let known = with_store(store, |engine| engine.known_collection(&name)).map_err(|error| thrown(&error))?;
    Ok(known.map_or(0, CollectionId::get))
}

/// The id of the collection that had a name at a sequence; 0 if none had.
#[napi(catch_unwind)]
pub fn collection_at(store: u32, name: String, at: f64) -> answer::Result<u32> {
    let find = |engine: &Store| engine.collection_at(&name, arguments::sequence(at)?);
    let found = with_store(store, find).map_err(|error| thrown(&error))?;
    Ok(found.map_or(0, CollectionId::get))
}

/// The collections that there were at a sequence, as a JSON array of pairs of id and name.
#[napi(catch_unwind)]
pub fn collections_at(store: u32, at: f64) -> answer::Result<String> {
    let list = |engine: &Store| engine.collections_at(arguments::sequence(at)?);
    let names = with_store(store, list).map_err(|error| thrown(&error))?;
    let pairs: Vec<_> = names.iter().map(|(id, name)| (id.get(), name)).collect();
    Ok(serde_json::json!(pairs).to_string())
}

/// The names of the collections that were written to, as a JSON array.
#[napi(catch_unwind)]
pub fn collections(store: u32) -> answer::Result<String> {
    let names = with_store(store, Store::collections).map_err(|error| thrown(&error))?;
    Ok(serde_json::json!(names).to_string())
}

/// The number of the shape with these names, given as a JSON array; -1 if the store has no room for it.
#[napi(catch_unwind)]
pub fn reserve_shape(store: u32, names: String) -> answer::Result<f64> {
    let reserve = |engine: &Store| {
        let names: Vec<String> =
            serde_json::from_str(&names).map_err(|error| bad_argument(format!("names: {error}")))?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match engine.shapes().reserve(&names) {
            Ok(id) => Ok(f64::from(id.get())),
            Err(error) if matches!(error.code, ErrorCode::Limit | ErrorCode::TooLarge) => Ok(NO_SHAPE),
            Err(error) => Err(error),
        }
    };
    with_store(store, reserve).map_err(|error| thrown(&error))
}

/// The names of a shape, as a JSON array.
#[napi(catch_unwind)]
pub fn shape(store: u32, id: u32) -> answer::Result<String> {
    let names = |engine: &Store| {
        let shapes = engine.shapes().list();
        shape_of_record(&shapes, id as usize).map(|shape| serde_json::json!(shape.names()).to_string())
    };
    with_store(store, names).map_err(|error| thrown(&error))
}

/// Counters and sizes, as a JSON object.
#[napi(catch_unwind)]
pub fn metrics(store: u32) -> answer::Result<String> {
    with_store(store, |engine| Ok(reports::metrics(&engine.metrics()))).map_err(|error| thrown(&error))
}

/// What opening the engine found, as a JSON object.
#[napi(catch_unwind)]
pub fn recovery(store: u32) -> answer::Result<String> {
    with_store(store, |engine| Ok(reports::recovery(engine.recovery_report())))
        .map_err(|error| thrown(&error))
}

fn upkeep(env: Env, ticket: u32, store: u32, work: fn(&Store) -> Result<()>) -> answer::Result<()> {
    let start = || {
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        run("fountain-upkeep", ticket, move || work(&engine).map(|()| Outcome::default()))
    };
    start().map_err(|error| thrown(&error))
}

/// Runs `work` on a thread of its own and answers the ticket with what it returns.
pub fn run(
    name: &str,
    ticket: Ticket,
    work: impl FnOnce() -> Result<Outcome> + Send + 'static,
) -> Result<()> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || ticket.answer(work()));
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(ErrorCode::Io, format!("cannot start a thread: {error}"))),
    }
}

impl OpenOptions {
    #[expect(clippy::cast_sign_loss, reason = "the facade checked the ranges, and a cast saturates")]
    fn given(&self) -> Result<GivenOptions> {
        let retention = match self.retention.as_deref() {
            None => None,
            Some(json) => {
                let json: serde_json::Value = serde_json::from_str(json)
                    .map_err(|error| bad_argument(format!("retention: {error}")))?;
                Some(CollectionRetention::from_json(&json)?.of_records())
            }
        };
        Ok(GivenOptions {
            create_if_missing: self.create_if_missing,
            cache_bytes: self.cache_bytes.map(|bytes| bytes as usize),
            memtable_bytes: self.memtable_bytes.map(|bytes| bytes as usize),
            wal_segment_bytes: self.wal_segment_bytes.map(|bytes| bytes as u64),
            read_threads: self.read_threads.map(|threads| threads as usize),
            page_cache_reads: self.page_cache_reads,
            retention,
        })
    }
}
