//! Scans. One has no state here: each page says where it begins, and JavaScript goes on behind its last key.

use fountain_engine::{Direction, KeyRange, Page, ReadTier, Result, ScanRequest, Store};
use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::arguments::{collection, slice};
use crate::errors::{answer, thrown};
use crate::pages;
use crate::thread::view;

/// One page of a scan. The bounds lie at the start of the block, the lower one first.
#[napi(object)]
pub struct ScanArguments {
    /// Bytes of the lower bound, included; 0 for the first key.
    pub lower: u32,
    /// Bytes of the upper bound, excluded; 0 for no bound.
    pub upper: u32,
    /// From the last key to the first.
    pub reverse: bool,
    /// What to read, see [`view`].
    pub at: f64,
    /// Most records in the page.
    pub max_records: u32,
    /// Bytes after which the page is full.
    pub max_bytes: u32,
}

/// Fills `io` with the next page as far as memory has it. Returns its length, `TOO_SMALL` or `WOULD_BLOCK`.
#[napi(catch_unwind)]
pub fn scan_sync(
    store: u32,
    collection_id: u32,
    mut io: BufferSlice<'_>,
    request: ScanArguments,
) -> answer::Result<i32> {
    let request = request.checked(collection_id, &io).map_err(|error| thrown(&error))?;
    pages::at_once(store, &mut io, |engine, tier, page| engine.scan(&request, tier, page))
}

/// Reads the next page on a read thread. Answers with the length of the page to collect as the second number.
#[napi(catch_unwind)]
pub fn scan(
    env: Env,
    ticket: u32,
    store: u32,
    collection_id: u32,
    io: &[u8],
    request: ScanArguments,
) -> answer::Result<()> {
    let request = request.checked(collection_id, io);
    let read = request.map(|request| {
        move |engine: &Store, tier: ReadTier, page: &mut Page| engine.scan(&request, tier, page)
    });
    pages::later(env, ticket, store, read)
}

impl ScanArguments {
    fn checked(&self, collection_id: u32, io: &[u8]) -> Result<ScanRequest> {
        let lower = slice(io, 0, self.lower)?.to_vec();
        let upper = slice(io, self.lower, self.upper)?;
        Ok(ScanRequest {
            collection: collection(collection_id)?,
            range: KeyRange { start: lower, end: (!upper.is_empty()).then(|| upper.to_vec()) },
            direction: if self.reverse { Direction::Reverse } else { Direction::Forward },
            at: view(self.at)?,
            max_records: self.max_records as usize,
            max_bytes: self.max_bytes as usize,
        })
    }
}
