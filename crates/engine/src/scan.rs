//! Reads a range of a collection page by page.

use fountain_lsm::{Direction, KeyRange, ReadTier};

use crate::document;
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Live, lives};
use crate::keys;
use crate::keyspace::CollectionId;
use crate::kv::OrderedKv;
use crate::limits::{KEYSPACE_BYTES, MAX_PAGE_BYTES};
use crate::page::Page;
use crate::view::View;

/// Which records to read, and how many at once.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// The collection.
    pub collection: CollectionId,
    /// Bounds as encoded keys: start included, end excluded. They need not be complete keys; see [`keys`] for
    /// ranges of keys that begin alike.
    pub range: KeyRange,
    /// Which way to go.
    pub direction: Direction,
    /// What to read. A scan over several pages should read at the sequence of a [`crate::Snapshot`] that it holds, or in
    /// a transaction.
    pub at: View,
    /// Most records in a page; at least 1.
    pub max_records: usize,
    /// Bytes after which a page is full; at most [`MAX_PAGE_BYTES`] count. A page that is not empty at the end of
    /// the range has at least one record, however large.
    pub max_bytes: usize,
}

impl ScanRequest {
    /// Turns this into the request for what follows `page`, which it was answered with.
    pub fn continue_after(&mut self, page: &Page) {
        if let Some(last) = page.last_key() {
            match self.direction {
                Direction::Forward => self.range.start = keys::after(last),
                Direction::Reverse => self.range.end = Some(last.to_vec()),
            }
        }
    }
}

/// Whether a scan is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// The page is full; more records may follow.
    More,
    /// There are no more records in the range.
    Done,
}

/// Fills `page` with the first records that `request` asks for. When memory does not reach further than a part of
/// them, that part is the page; only when it does not reach the first is that an error.
pub(crate) fn fill(
    kv: &dyn OrderedKv,
    live: Option<&Live>,
    request: &ScanRequest,
    tier: ReadTier,
    page: &mut Page,
) -> Result<ScanEnd> {
    page.clear();
    if request.max_records == 0 {
        return Err(Error::argument("max_records is 0; a page holds at least 1 record"));
    }
    let filled = fill_cleared(kv, live, request, tier, page);
    match filled {
        Err(error) if error.code == ErrorCode::WouldBlock && !page.is_empty() => Ok(ScanEnd::More),
        Err(error) => {
            page.clear();
            Err(error)
        }
        end => end,
    }
}

fn fill_cleared(
    kv: &dyn OrderedKv,
    live: Option<&Live>,
    request: &ScanRequest,
    tier: ReadTier,
    page: &mut Page,
) -> Result<ScanEnd> {
    let range = request.collection.storage_range(&request.range);
    let max_bytes = request.max_bytes.min(MAX_PAGE_BYTES);
    let mut cursor = request.at.cursor(kv, range, request.direction, tier)?;
    while cursor.next()? {
        document::check_stored(cursor.value())?;
        if !lives(live, cursor.value())? {
            continue;
        }
        page.push(&cursor.key()[KEYSPACE_BYTES..], envelope::document(cursor.value()));
        if page.len() >= request.max_records || page.bytes().len() >= max_bytes {
            return Ok(ScanEnd::More);
        }
    }
    Ok(ScanEnd::Done)
}
