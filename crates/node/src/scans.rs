//! Pages of scans. A scan has no state here: each page says where it begins, and JavaScript goes on behind its end.
//!
//! A page is `u32 records ‖ u32 more`, then per record `u32 key length ‖ u32 document length ‖ key ‖ document`.

use fountain_engine::{Direction, ErrorCode, KeyRange, Page, ReadTier, Result, ScanEnd, ScanRequest};
use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::arguments::{collection, slice};
use crate::errors::{answer, thrown};
use crate::mailbox::Outcome;
use crate::reads::{WOULD_BLOCK, fill};
use crate::thread::{ticket_for, view, with_page};

/// Bytes before the records of a page.
const HEADER: usize = 8;

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
    let filled = request.checked(collection_id, &io).and_then(|request| {
        with_page(store, |engine, page| {
            let end = engine.scan(&request, ReadTier::Memory, page)?;
            Ok(fill(&mut io, &[&header(page, end), page.bytes()]))
        })
    });
    match filled {
        Err(error) if error.code == ErrorCode::WouldBlock => Ok(WOULD_BLOCK),
        filled => filled.map_err(|error| thrown(&error)),
    }
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
    let start = || {
        let (engine, ticket) = ticket_for(env, ticket, store)?;
        let request = match request.checked(collection_id, io) {
            Ok(request) => request,
            Err(error) => {
                ticket.answer(Err(error));
                return Ok(());
            }
        };
        // If the store is closing, the job is dropped and with it the ticket, which answers that.
        let _ = engine.spawn_read(Box::new(move |engine| {
            let mut page = Page::new();
            let scanned = engine.scan(&request, ReadTier::Disk, &mut page);
            ticket.answer(scanned.map(|end| {
                let bytes = [&header(&page, end), page.bytes()].concat();
                Outcome::bytes(0.0, bytes)
            }));
        }));
        Ok(())
    };
    start().map_err(|error| thrown(&error))
}

fn header(page: &Page, end: ScanEnd) -> [u8; HEADER] {
    let records = (page.len() as u32).to_le_bytes();
    let more = u32::from(end == ScanEnd::More).to_le_bytes();
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&records);
    header[4..].copy_from_slice(&more);
    header
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
