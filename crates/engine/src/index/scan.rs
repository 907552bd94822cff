//! Reads records through an index page by page.

use fountain_lsm::Direction;

use super::read::{IndexCursor, Place, behind, exclusive_record, is_exclusive};
use super::{Bounds, Index};
use crate::document::Document;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::lives;
use crate::keyspace::CollectionId;
use crate::limits::MAX_PAGE_BYTES;
use crate::page::Page;
use crate::view::View;

/// Which records to read through which index, and how many at once.
#[derive(Clone, Debug)]
pub struct IndexScan {
    /// The collection.
    pub collection: CollectionId,
    /// The name of the index.
    pub index: String,
    /// Which keys. A record comes once for each of its entries in it, in the order of keys, then of record keys.
    pub bounds: Bounds,
    /// Which way to go.
    pub direction: Direction,
    /// What to read. A scan over several pages should read at the sequence of a [`crate::Snapshot`] that it holds, or in
    /// a transaction.
    pub at: View,
    /// Behind which entry to begin, as an earlier page said.
    pub after: Option<Vec<u8>>,
    /// Most records in a page; at least 1.
    pub max_records: usize,
    /// Bytes after which a page is full.
    pub max_bytes: usize,
}

/// Whether a scan through an index is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexScanEnd {
    /// The page is full; more records may follow behind this entry, see [`IndexScan::after`].
    More(Vec<u8>),
    /// There are no more.
    Done,
}

/// Fills `page`. When memory does not reach further than a part of it, that part is the page.
pub(crate) fn fill(
    place: Place<'_>,
    index: &std::sync::Arc<Index>,
    request: &IndexScan,
    page: &mut Page,
) -> Result<IndexScanEnd> {
    page.clear();
    if request.max_records == 0 {
        return Err(Error::argument("max_records is 0; a page holds at least 1 record"));
    }
    let mut position = request.after.clone();
    let filled = fill_cleared(place, index, request, page, &mut position);
    match (filled, position) {
        (Err(error), Some(position)) if error.code == ErrorCode::WouldBlock && !page.is_empty() => {
            Ok(IndexScanEnd::More(position))
        }
        (Err(error), _) => {
            page.clear();
            Err(error)
        }
        (end, _) => end,
    }
}

fn fill_cleared(
    place: Place<'_>,
    index: &std::sync::Arc<Index>,
    request: &IndexScan,
    page: &mut Page,
    position: &mut Option<Vec<u8>>,
) -> Result<IndexScanEnd> {
    let mut range = request.bounds.keys();
    if request.bounds.equal == Some(index.definition.on().len())
        && request.after.is_none()
        && is_exclusive(index, place.view)
    {
        if let Some(record_key) = exclusive_record(place, index, &range.start)? {
            push_record(place, index, &record_key, page)?;
        }
        return Ok(IndexScanEnd::Done);
    }
    if let Some(after) = &request.after {
        behind(&mut range, after, request.direction);
    }
    let mut cursor = IndexCursor::open(place, index, range, request.direction)?;
    while cursor.next()? {
        push_record(place, index, cursor.record_key(), page)?;
        *position = Some(cursor.position().to_vec());
        if page.len() >= request.max_records || page.bytes().len() >= request.max_bytes.min(MAX_PAGE_BYTES) {
            return Ok(IndexScanEnd::More(cursor.position().to_vec()));
        }
    }
    Ok(IndexScanEnd::Done)
}

fn push_record(place: Place<'_>, index: &Index, record_key: &[u8], page: &mut Page) -> Result<()> {
    let found = place.view.get(place.kv, &index.collection.storage_key(record_key), place.tier)?;
    let Some(stored) = found else {
        let name = index.definition.name();
        return Err(Error::new(ErrorCode::Corrupt, format!("an entry of index {name} leads to no record")));
    };
    let document = Document::from_stored(stored)?;
    if lives(place.live, document.stored())? {
        page.push(record_key, &document);
    }
    Ok(())
}
