//! A table that no manifest describes: what it says about itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TableMeta;
use super::envelope;
use super::footer::{FOOTER_BYTES, Footer};
use super::properties::{self, Properties};
use super::reader::Table;
use super::tail::read_exact;
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::fault::FaultCode;
use crate::format::FileSalt;
use crate::fs::{File, Fs};
use crate::types::{FileNumber, StoreId};

impl Table {
    /// Opens the table `number` as its own properties describe it.
    pub(crate) fn open_unnamed(
        fs: &dyn Fs,
        path: PathBuf,
        store: StoreId,
        number: FileNumber,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let meta = described_by_itself(fs, &path, store, number).map_err(|e| e.coded(FaultCode::Tail))?;
        Self::open(fs, path, store, meta, cache)
    }
}

fn described_by_itself(fs: &dyn Fs, path: &Path, store: StoreId, number: FileNumber) -> Result<TableMeta> {
    let file = fs.open(path).map_err(|e| Error::io("open", path, e))?;
    let salt = FileSalt::new(store, number);
    let (bytes, at) = read_footer(file.as_ref(), path)?;
    let footer = Footer::decode(&bytes, salt, at, path)?;
    let mut stored = vec![0; footer.properties.stored_bytes()];
    read_exact(file.as_ref(), path, footer.properties.offset, &mut stored)?;
    let payload = envelope::open_plain(&stored, salt, footer.properties.offset, path)?;
    match Properties::decode(payload) {
        Some(found) if found.store == store && found.number == number => {
            Ok(found.into_meta(at + FOOTER_BYTES as u64))
        }
        _ => Err(Error::corrupt(path, footer.properties.offset, "properties that are not this table's")),
    }
}

/// The last bytes of a table, and where they begin.
fn read_footer(file: &dyn File, path: &Path) -> Result<([u8; FOOTER_BYTES], u64)> {
    let size = file.len().map_err(|e| Error::io("measure", path, e))?;
    let Some(at) = size.checked_sub(FOOTER_BYTES as u64) else {
        return Err(Error::corrupt(path, 0, format!("table of {size} bytes is shorter than a footer")));
    };
    let mut bytes = [0; FOOTER_BYTES];
    read_exact(file, path, at, &mut bytes)?;
    Ok((bytes, at))
}

/// The id of the store to which the table `number` belongs, if its footer was made for that.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened or read.
pub(crate) fn stored_identity(fs: &dyn Fs, path: &Path, number: FileNumber) -> Result<Option<StoreId>> {
    let file = fs.open(path).map_err(|e| Error::io("open", path, e))?;
    match identity_in(file.as_ref(), path, number) {
        Err(error @ Error::Io { .. }) => Err(error),
        Err(_) => Ok(None),
        Ok(store) => Ok(store),
    }
}

fn identity_in(file: &dyn File, path: &Path, number: FileNumber) -> Result<Option<StoreId>> {
    let (footer, at) = read_footer(file, path)?;
    let mut start = [0; properties::IDENTITY_BYTES];
    read_exact(file, path, Footer::handles(&footer).properties.offset, &mut start)?;
    let is_its_own = |&(store, found): &(StoreId, FileNumber)| {
        found == number && Footer::is_sealed_by(&footer, FileSalt::new(store, number), at)
    };
    Ok(properties::identity(&start).filter(is_its_own).map(|(store, _)| store))
}
