//! What lies behind the data blocks: filter, indexes, range tombstones, properties and footer, read and checked together.

use std::path::Path;
use std::sync::Arc;

use super::block::{Block, Origin};
use super::envelope::{self, Handle};
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer, Root};
use super::index::{Index, Section, check_layout};
use super::meta::TableMeta;
use super::properties::{self, Properties};
use super::tombstone_block;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
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
    /// Where data blocks and index leaves end.
    pub(crate) data_end: u64,
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

    /// Bytes of the data blocks of the history section. Where only leaves of the index would tell, their share by number.
    pub(crate) fn history_bytes(&self) -> Result<u64> {
        let Some(history) = &self.history else { return Ok(0) };
        if history.has_leaves() {
            let blocks = self.properties.data_blocks.max(1);
            return Ok(self.data_end / blocks * self.properties.history_blocks);
        }
        Ok(history.root_handles()?.iter().map(|handle| handle.stored_bytes() as u64).sum())
    }

    /// Reads the tail of the table that `meta` describes and checks that they agree.
    pub(crate) fn load(file: &dyn File, path: &Arc<Path>, store: StoreId, meta: &TableMeta) -> Result<Self> {
        Self::read(file, path, store, meta).map_err(|error| error.coded(FaultCode::Tail))
    }

    fn read(file: &dyn File, path: &Arc<Path>, store: StoreId, meta: &TableMeta) -> Result<Self> {
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
        let footer = Footer::decode(&bytes, salt, footer_offset, path).map_err(|error| match error {
            Error::Corrupt { .. } if !Footer::is_sealed_by(&bytes, salt, footer_offset) => {
                name_stranger(file, path, footer_offset, &bytes).unwrap_or(error)
            }
            error => error,
        })?;

        let start = footer.filter.offset;
        let mut tail = vec![0; (footer_offset - start) as usize];
        read_exact(file, path, start, &mut tail)?;
        let payload = |handle: Handle| {
            let at = (handle.offset - start) as usize;
            envelope::open_plain(&tail[at..at + handle.stored_bytes()], salt, handle.offset, path)
        };
        let filter =
            Filter::decode(payload(footer.filter)?).map_err(|what| Error::corrupt(path, start, what))?;
        let properties = Properties::decode(payload(footer.properties)?);
        let properties = check_properties(properties, store, meta)
            .map_err(|what| Error::corrupt(path, footer.properties.offset, what))?;
        let index = |root: Option<Root>, blocks: u64| {
            let Some(Root { handle, has_leaves }) = root else { return Ok(None) };
            let origin = Origin { path: Arc::clone(path), offset: handle.offset };
            let root = Block::new(payload(handle)?.to_vec(), origin)?.with_base(meta.base);
            Index::new(root, has_leaves.then_some(footer.leaf_blocks), blocks).map(Some)
        };
        let current = index(footer.current, properties.data_blocks - properties.history_blocks)?;
        let history = index(footer.history, properties.history_blocks)?;
        let tombstones = match footer.tombstones {
            Some(handle) => tombstone_block::decode(payload(handle)?)
                .ok_or_else(|| Error::corrupt(path, handle.offset, "range tombstones that cannot be"))?,
            None => RangeTombstones::default(),
        };
        let tail = Self { filter, current, history, tombstones, properties, data_end: start };
        tail.check_roots()?.map_err(|what| Error::corrupt(path, start, what))?;
        if tail.has_what_it_says() {
            return Ok(tail);
        }
        let what = format!("parts that do not agree with the table properties {:?}", tail.properties);
        Err(Error::corrupt(path, footer_offset, what))
    }

    /// Checks the layout as far as it is known without reading leaves: if there are any, only theirs.
    fn check_roots(&self) -> Result<std::result::Result<(), String>> {
        let indexes: Vec<&Index> = [&self.current, &self.history].into_iter().flatten().collect();
        let split = indexes.iter().any(|index| index.has_leaves());
        let named = indexes.into_iter().filter(|index| index.has_leaves() == split);
        let handles = named.map(Index::root_handles).collect::<Result<Vec<_>>>()?;
        let first = handles.iter().flatten().map(|handle| handle.offset).min();
        Ok(check_layout(&handles, if split { first.unwrap_or(0) } else { 0 }, self.data_end))
    }

    fn has_what_it_says(&self) -> bool {
        let says = &self.properties;
        (says.entries > 0) == self.current.is_some()
            && (says.superseded > 0) == self.history.is_some()
            && (says.range_tombstones > 0) != self.tombstones.is_empty()
    }
}

/// The properties if they agree with the manifest; otherwise what does not.
fn check_properties(
    properties: Option<Properties>,
    store: StoreId,
    meta: &TableMeta,
) -> std::result::Result<Properties, String> {
    let Some(found) = properties.and_then(|found| found.based_on(meta.base)) else {
        return Err("table properties that cannot be".to_owned());
    };
    let expected = Properties {
        store,
        number: meta.number,
        entries: meta.entries,
        tombstones: meta.tombstones,
        superseded: meta.superseded,
        least_seq: meta.least_seq,
        greatest_seq: meta.greatest_seq,
        smallest: meta.smallest.clone(),
        largest: meta.largest.clone(),
        largest_exclusive: meta.largest_exclusive,
        // Nobody else knows these.
        data_blocks: found.data_blocks,
        history_blocks: found.history_blocks,
        range_tombstones: found.range_tombstones,
        key_bytes: found.key_bytes,
        value_bytes: found.value_bytes,
        prefixes: found.prefixes,
    };
    if found == expected {
        Ok(found)
    } else {
        Err(format!("table properties {found:?} do not agree with the manifest: {expected:?}"))
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
