//! Reads the one record that has a whole tuple of a unique index, in the newest state: two point reads, of the entry and of
//! the record that it leads to, both in one state that storage need not pin for that.
//!
//! The state is chosen after the index was found, so the index may have been dropped in between and the state may be one in
//! which its entries are gone. An index that is dropped is out of the catalog before it is empty, so what was read counts
//! only if the catalog has the index still; that is for the caller to ask.

use fountain_lsm::ReadTier;

use super::{Index, IndexKind, IndexScan};
use crate::document::check_stored;
use crate::envelope;
use crate::error::{Error, ErrorCode, Result};
use crate::expiry::{Live, lives};
use crate::keyspace::StorageKey;
use crate::kv::OrderedKv;
use crate::limits::KEYSPACE_BYTES;
use crate::page::Page;
use crate::view::View;

/// Whether a scan is such a read.
pub(crate) fn is_single(index: &Index, request: &IndexScan) -> bool {
    matches!(request.at, View::Newest)
        && request.bounds.equal == Some(index.definition.on().len())
        && index.definition.kind() == IndexKind::Unique
        && index.is_ready(None)
        && request.after.is_none()
        && request.max_records > 0
}

/// Puts the record on `page`, which is empty, if there is one that lives. `request` [`is_single`].
///
/// # Errors
/// What reading storage can fail with; `ERR_CORRUPT` if the entry leads to no record.
pub(crate) fn fill_single(
    kv: &dyn OrderedKv,
    index: &Index,
    request: &IndexScan,
    live: Option<&Live>,
    tier: ReadTier,
    page: &mut Page,
) -> Result<()> {
    let entry = StorageKey::new(index.id.prefix(), request.bounds.start());
    kv.in_newest(&mut |state| {
        let mut holder = None;
        let lead = &mut |record_key: &[u8]| {
            holder = Some(StorageKey::new(index.collection.prefix(), record_key));
        };
        state(entry.bytes(), tier, lead)?;
        let Some(holder) = holder else { return Ok(()) };
        let mut pushed = Ok(());
        let found = state(holder.bytes(), tier, &mut |stored| {
            pushed = push(stored, holder.bytes(), live, page);
        })?;
        if found {
            return pushed;
        }
        let name = index.definition.name();
        Err(Error::new(ErrorCode::Corrupt, format!("an entry of index {name} leads to no record")))
    })
}

fn push(stored: &[u8], storage_key: &[u8], live: Option<&Live>, page: &mut Page) -> Result<()> {
    check_stored(stored)?;
    if lives(live, stored)? {
        let record_key = storage_key.get(KEYSPACE_BYTES..).unwrap_or_default();
        page.push(record_key, envelope::document(stored));
    }
    Ok(())
}
