//! Sorted tables: immutable files of versions in key order. See `docs/format.md`, section 5.
//!
//! What always holds:
//! - Entries are ordered by user key ascending, then by sequence descending: the newest version comes first.
//! - The newest version of each key lies in the current section, every older one in the history section, so that reads
//!   of the newest state cost the same however much history there is.
//! - A finished table never changes, and its file number never names another one.
//! - Every byte read from the file is checked against a checksum bound to store, file and offset before it is used;
//!   what does not fit is [`crate::Error::Corrupt`], never "not found" and never a panic.
//!
//! The rooms: `block` (many entries in few bytes) with `block_builder` and `block_cursor`, `envelope` (how a block
//! lies in the file), `index`, `filter`, `tombstone_block`, `properties` and `footer` (how to find a block and whether to look;
//! read together by `tail`), `writer` with its `layout`, `reader` and `multi_get`, `section_cursor` with its `window` for reading ahead, `superseded` for what it can leave out and `cursor` on top, and `verify` (proof that a table is what it says). `remains`, with `anatomy` and `sealed`, reads what is left of a damaged one.

mod anatomy;
mod block;
mod block_builder;
mod block_cursor;
mod cursor;
mod envelope;
mod estimate;
mod filter;
mod footer;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod index;
mod index_builder;
mod layout;
mod meta;
mod multi_get;
mod properties;
mod reader;
mod remains;
mod scrub;
mod sealed;
mod section_cursor;
mod section_writer;
mod superseded;
mod tail;
mod tombstone_block;
mod unnamed;
mod verify;
mod window;
mod writer;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use crate::types::Seq;

pub(crate) use block::Block;
#[cfg(test)]
pub(crate) use block::Origin;
#[cfg(test)]
pub(crate) use block_builder::BlockBuilder;
pub(crate) use block_cursor::BlockCursor;
pub(crate) use cursor::TableCursor;
pub use envelope::Compression;
pub(crate) use filter::key_hash;
pub(crate) use layout::TableForm;
pub use layout::TableLayout;
pub(crate) use meta::TableMeta;
pub(crate) use multi_get::MultiGet;
pub(crate) use reader::Table;
pub(crate) use remains::{Gap, Piece, Remains};
pub(crate) use unnamed::stored_identity;
pub(crate) use writer::TableWriter;

/// The order of versions: user key ascending, then sequence descending.
#[inline]
pub(crate) fn version_order(a: (&[u8], Seq), b: (&[u8], Seq)) -> Ordering {
    a.0.cmp(b.0).then(b.1.cmp(&a.1))
}
