//! What lies behind the data blocks: filter, indexes, range tombstones, properties and footer, read and checked together.

use std::path::Path;
use std::sync::Arc;

use super::block::{Block, Origin};
use super::envelope::{self, Handle};
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer};
use super::index::{Index, Section, check_layout};
use super::meta::TableMeta;
use super::properties::{self, Properties};
use super::tombstone_block;
use crate::error::{Error, Result};
use crate::format::FileSalt;
use crate::fs::File;
use crate::tombstones::RangeTombstones;
use crate::types::StoreId;

/// The parts of a table that stay in memory while it is open, and its properties.
pub(crate) struct Tail {
    pub(crate) filter: Filter,
    pub(crate) current: Option<Index>,
    pub(crate) history: Option<Index>,
    pub(crate) tombstones: RangeTombstones,
    pub(crate) properties: Properties,
}

impl Tail {
    /// The index of `section`, if it has entries.
    #[inline]
    pub(crate) fn index(&self, section: Section) -> Option<&Index> {
        match section {
            Section::Current => self.current.as_ref(),
            Section::History => self.history.as_ref(),
        }
    }

    /// Reads the tail of the table that `meta` describes and checks that they agree.
    pub(crate) fn load(file: &dyn File, path: &Arc<Path>, store: StoreId, meta: &TableMeta) -> Result<Self> {
        let size = file.len().map_err(|error| Error::io("measure", path, error))?;
        if size != meta.size {
            return Err(Error::corrupt(path, size, format!("table of {size} bytes; expected {}", meta.size)));
        }
        let Some(footer_offset) = size.checked_sub(FOOTER_BYTES as u64) else {
            return Err(Error::corrupt(path, 0, format!("table of {size} bytes is shorter than a footer")));
        };
        let mut bytes = [0; FOOTER_BYTES];
        read_exact(file, path, footer_offset, &mut bytes)?;
        let salt = FileSalt::new(store, meta.number);
        let footer = Footer::decode(&bytes, salt, footer_offset, path)
            .map_err(|error| name_stranger(file, path, footer_offset, &bytes).unwrap_or(error))?;

        let start = footer.filter.offset;
        let mut tail = vec![0; (footer_offset - start) as usize];
        read_exact(file, path, start, &mut tail)?;
        let payload = |handle: Handle| {
            let at = (handle.offset - start) as usize;
            envelope::open_plain(&tail[at..at + handle.stored_bytes()], salt, handle.offset, path)
        };
        let filter =
            Filter::decode(payload(footer.filter)?).map_err(|what| Error::corrupt(path, start, what))?;
        let index = |handle: Handle| {
            let origin = Origin { path: Arc::clone(path), offset: handle.offset };
            Index::new(Block::new(payload(handle)?.to_vec(), origin)?)
        };
        let current = footer.current.map(index).transpose()?;
        let history = footer.history.map(index).transpose()?;
        let indexes: Vec<&Index> = [&current, &history].into_iter().flatten().collect();
        let data_blocks = check_layout(&indexes, start).map_err(|what| Error::corrupt(path, start, what))?;
        let tombstones = match footer.tombstones {
            Some(handle) => tombstone_block::decode(payload(handle)?)
                .ok_or_else(|| Error::corrupt(path, handle.offset, "range tombstones that cannot be"))?,
            None => RangeTombstones::default(),
        };
        let properties = Properties::decode(payload(footer.properties)?);
        let properties = check_properties(properties, store, meta, data_blocks)
            .map_err(|what| Error::corrupt(path, footer.properties.offset, what))?;
        let tail = Self { filter, current, history, tombstones, properties };
        if tail.has_what_it_says() {
            return Ok(tail);
        }
        let what = format!("parts that do not agree with the table properties {:?}", tail.properties);
        Err(Error::corrupt(path, footer_offset, what))
    }

    fn has_what_it_says(&self) -> bool {
        let says = &self.properties;
        (says.entries > 0) == self.current.is_some()
            && (says.superseded > 0) == self.history.is_some()
            && (says.range_tombstones > 0) != self.tombstones.is_empty()
    }
}

/// The properties if they agree with the manifest and the index; otherwise what does not.
fn check_properties(
    properties: Option<Properties>,
    store: StoreId,
    meta: &TableMeta,
    data_blocks: u64,
) -> std::result::Result<Properties, String> {
    let Some(found) = properties else {
        return Err("table properties that cannot be".to_owned());
    };
    let expected = Properties {
        store,
        number: meta.number,
        entries: meta.entries,
        tombstones: meta.tombstones,
        superseded: meta.superseded,
        data_blocks,
        least_seq: meta.least_seq,
        greatest_seq: meta.greatest_seq,
        smallest: meta.smallest.clone(),
        largest: meta.largest.clone(),
        largest_exclusive: meta.largest_exclusive,
        // Nobody else knows these.
        range_tombstones: found.range_tombstones,
        key_bytes: found.key_bytes,
        value_bytes: found.value_bytes,
    };
    if found == expected {
        Ok(found)
    } else {
        Err(format!("table properties {found:?} do not agree with manifest and index: {expected:?}"))
    }
}

/// When the footer was made for another file or store, an error that says so.
fn name_stranger(
    file: &dyn File,
    path: &Path,
    footer_offset: u64,
    footer: &[u8; FOOTER_BYTES],
) -> Option<Error> {
    let mut start = [0; properties::IDENTITY_BYTES];
    read_exact(file, path, Footer::handles(footer).properties.offset, &mut start).ok()?;
    let (store, number) = properties::identity(&start)?;
    Footer::is_sealed_by(footer, FileSalt::new(store, number), footer_offset).then(|| {
        let id = u128::from_be_bytes(store.0);
        Error::corrupt(
            path,
            footer_offset,
            format!("this is table {number} of store {id:032x}, in the wrong place"),
        )
    })
}

/// Fills `bytes` from `offset`; a file that ends before is damaged.
pub(crate) fn read_exact(file: &dyn File, path: &Path, offset: u64, bytes: &mut [u8]) -> Result<()> {
    let read = file.read_at(offset, bytes).map_err(|error| Error::io("read", path, error))?;
    if read == bytes.len() {
        return Ok(());
    }
    Err(Error::corrupt(path, offset, format!("the file ends after {read} of {} bytes", bytes.len())))
}
