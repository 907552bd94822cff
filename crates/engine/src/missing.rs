//! Which records lack what the program computes for an index: those that were there before it was defined.
//!
//! The program goes through them, computes, and puts each again under the condition that nobody else has meanwhile. What is
//! written by others in between has its values already: from its definition on, an index takes no record without them.

use fountain_lsm::{Direction, KeyRange, ReadTier};

use crate::catalog::no_index;
use crate::envelope::{self, Parts};
use crate::error::Result;
use crate::expiry::time;
use crate::index::{IndexId, lacks_values};
use crate::keys;
use crate::limits::{BUILD_CHUNK_BYTES, BUILD_CHUNK_RECORDS, KEYSPACE_BYTES, MAX_RECORDS_LOOKED_AT};
use crate::record::Reader;
use crate::store::Store;
use crate::versions::VersionPage;

impl Store {
    /// Fills `page`, which is cleared first, with the next records behind the encoded key `after` (empty: from the first
    /// one) that lack the values of an index, each with the sequence of its commit, and returns the key behind which to go on, or
    /// none at the end. It looks at so many records at a time and no more, so a page may be empty before the end. A record
    /// that carries its own moment has that in front, as [`crate::expiring`] puts it there. Blocking.
    ///
    /// # Errors
    /// `ERR_NO_INDEX`, `ERR_CORRUPT`, `ERR_IO`, `ERR_CLOSED`.
    pub fn records_without_values(
        &self,
        id: IndexId,
        after: &[u8],
        page: &mut VersionPage,
    ) -> Result<Option<Vec<u8>>> {
        page.clear();
        let _pass = self.inner.enter("looking for records without values")?;
        let index = self.inner.catalog.indexes().get(id).cloned();
        let index = index.ok_or_else(|| no_index(&id.to_string()))?;
        let kv = self.inner.kv.as_ref();
        let pin = kv.pin(None)?;
        let start = if after.is_empty() { Vec::new() } else { keys::after(after) };
        let range = index.collection.storage_range(&KeyRange { start, end: None });
        let mut cursor = kv.cursor(range, pin.seq(), Direction::Forward, ReadTier::Disk)?;
        let (mut seen, mut last) = (0, Vec::new());
        loop {
            let full = page.len() >= BUILD_CHUNK_RECORDS || page.bytes().len() >= BUILD_CHUNK_BYTES;
            if full || seen == MAX_RECORDS_LOOKED_AT {
                return Ok(Some(last));
            }
            if !cursor.next()? {
                return Ok(None);
            }
            seen += 1;
            let key = cursor.key().get(KEYSPACE_BYTES..).unwrap_or_default();
            last.clear();
            last.extend_from_slice(key);
            let shapes = self.inner.shapes.list();
            if !lacks_values(&index, &Reader::new(cursor.value(), &shapes)?)? {
                continue;
            }
            let found = kv.get_with_seq(cursor.key(), Some(pin.seq()), ReadTier::Disk)?;
            let Some((seq, stored)) = found else { continue };
            page.push(seq, index.collection, key, Some(&without_values(&stored)));
        }
    }
}

fn without_values(stored: &[u8]) -> Vec<u8> {
    let Parts { expires_at, document, .. } = envelope::open(stored);
    expires_at.map_or_else(|| document.to_vec(), |at| envelope::expiring(document, time(at)))
}
