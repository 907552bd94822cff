//! All records of a collection and all entries of an index of a document store, read page by page.

use fountain_engine::{
    CollectionId, Direction, IndexScan, IndexScanEnd, KeyRange, Page, ReadTier, Result, ScanEnd, ScanRequest,
    Store, View,
};

/// The records of a collection in the order of their keys, as `key` reads these, and as JSON. A page has up to
/// `max_records`.
pub fn scanned<K>(
    store: &Store,
    collection: CollectionId,
    at: View,
    max_records: usize,
    key: impl Fn(&[u8]) -> Result<K>,
) -> Result<Vec<(K, String)>> {
    let mut request = ScanRequest {
        collection,
        range: KeyRange::default(),
        direction: Direction::Forward,
        at,
        max_records,
        max_bytes: usize::MAX,
    };
    let (mut found, mut page) = (Vec::new(), Page::new());
    loop {
        let end = store.scan(&request, ReadTier::Disk, &mut page)?;
        for (encoded, record) in page.records() {
            found.push((key(encoded)?, store.to_json(record)?));
        }
        if end == ScanEnd::Done {
            return Ok(found);
        }
        request.continue_after(&page);
    }
}

/// The keys of the records behind the entries of an index, in the order of the entries, as `key` reads them. The request says
/// where the first page begins and how much is in a page.
pub fn indexed<K>(store: &Store, mut request: IndexScan, key: impl Fn(&[u8]) -> Result<K>) -> Result<Vec<K>> {
    let (mut found, mut page) = (Vec::new(), Page::new());
    loop {
        let end = store.scan_index(&request, ReadTier::Disk, &mut page)?;
        for (encoded, _) in page.records() {
            found.push(key(encoded)?);
        }
        match end {
            IndexScanEnd::Done => return Ok(found),
            IndexScanEnd::More(after) => request.after = Some(after),
        }
    }
}
