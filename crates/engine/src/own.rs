//! What a store keeps for itself, as it lies there: read before the store is open, and before a byte of it is written.
//!
//! A store that holds what this version does not know is refused here, so that no old program changes what a newer one wrote;
//! so is one whose catalog or shapes are damaged, which is left as it is for `salvage`.

use fountain_lsm::{Cursor, KeyRange, Preview};

use crate::catalog::Catalog;
use crate::error::{Error, ErrorCode, Result};
use crate::keyspace::{CATALOG, SHAPES, unknown_keys};
use crate::record::Shapes;

/// Refuses a store that this version cannot open.
///
/// # Errors
/// `ERR_NEWER_FORMAT` for what this version does not know, `ERR_CORRUPT` for what is damaged, and what reading storage can
/// fail with.
pub(crate) fn check(preview: &Preview) -> Result<()> {
    refuse_unknown(&mut preview.cursor(unknown_keys()))?;
    read_catalog(preview)?;
    read_shapes(preview).map(drop)
}

/// The catalog of a store that is not open.
///
/// # Errors
/// As [`check`].
pub(crate) fn read_catalog(preview: &Preview) -> Result<Catalog> {
    Catalog::read(&mut preview.cursor(KeyRange::prefix(&CATALOG)), preview.sequence())
}

/// The shapes of a store that is not open.
///
/// # Errors
/// As [`check`].
pub(crate) fn read_shapes(preview: &Preview) -> Result<Shapes> {
    Shapes::read(&mut preview.cursor(KeyRange::prefix(&SHAPES)))
}

/// Refuses a store that has something in keyspaces which are kept for later versions, over which `cursor` walks.
pub(crate) fn refuse_unknown(cursor: &mut Cursor) -> Result<()> {
    if !cursor.next()? {
        return Ok(());
    }
    let keyspace = cursor.key().first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let message = format!("keyspace {} is unknown", keyspace.unwrap_or_default());
    Err(Error::new(ErrorCode::NewerFormat, message))
}
