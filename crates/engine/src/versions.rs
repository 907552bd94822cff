//! Versions of records packed into one buffer.

use std::fmt;

use fountain_lsm::Seq;

use crate::keys;
use crate::keyspace::CollectionId;

/// Value length of a deletion.
const DELETED: u32 = u32::MAX;

/// A run of versions: for each `u64` sequence, `u32` collection, `u32` key length, `u32` document length or `0xFFFFFFFF`
/// for a deletion (all little-endian), encoded key, document with its codec byte first.
#[derive(Clone, Default)]
pub struct VersionPage {
    bytes: Vec<u8>,
    versions: usize,
    last: Option<(CollectionId, Vec<u8>)>,
}

impl VersionPage {
    /// Bytes before a key.
    pub(crate) const HEADER: usize = 20;

    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// The versions as packed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of versions.
    pub fn len(&self) -> usize {
        self.versions
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.versions == 0
    }

    /// Where a walk by key that was answered with this goes on.
    pub fn after_last(&self) -> Option<Vec<u8>> {
        self.last.as_ref().map(|(collection, key)| keys::after(&collection.storage_key(key)))
    }

    /// The versions: sequence, collection, encoded key, and document unless deleted.
    pub fn versions(&self) -> impl Iterator<Item = (Seq, CollectionId, &[u8], Option<&[u8]>)> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (seq, after) = rest.split_first_chunk()?;
            let (collection, after) = after.split_first_chunk()?;
            let (key_len, after) = after.split_first_chunk()?;
            let (value_len, after) = after.split_first_chunk()?;
            let (key, after) = after.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
            let value_len = Some(u32::from_le_bytes(*value_len)).filter(|&len| len != DELETED);
            let (value, after) = after.split_at_checked(value_len.unwrap_or(0) as usize)?;
            rest = after;
            let seq = Seq::new(u64::from_le_bytes(*seq))?;
            let collection = CollectionId::new(u32::from_le_bytes(*collection))?;
            Some((seq, collection, key, value_len.map(|_| value)))
        })
    }

    /// Removes all versions.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.versions = 0;
        self.last = None;
    }

    /// Appends a version. Both lengths are far below 2^32: storage refuses larger ones.
    pub(crate) fn push(&mut self, seq: Seq, collection: CollectionId, key: &[u8], value: Option<&[u8]>) {
        self.versions += 1;
        self.bytes.extend_from_slice(&seq.get().to_le_bytes());
        self.bytes.extend_from_slice(&collection.get().to_le_bytes());
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        let value_len = value.map_or(DELETED, |value| value.len() as u32);
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last = Some((collection, key.to_vec()));
    }
}

impl fmt::Debug for VersionPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionPage({} versions, {} bytes)", self.versions, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_back_as_they_were_packed() {
        let mut page = VersionPage::new();
        let (seven, collection) = (Seq::new(7).unwrap(), CollectionId::FIRST);
        page.push(seven, collection, b"k", Some(b"\x02v"));
        page.push(Seq::MAX, collection, b"", None);
        let versions: Vec<_> = page.versions().collect();
        let expected =
            [(seven, collection, &b"k"[..], Some(&b"\x02v"[..])), (Seq::MAX, collection, b"", None)];
        assert_eq!((versions, page.len()), (expected.to_vec(), 2));
        page.clear();
        assert_eq!((page.len(), page.after_last(), page.bytes()), (0, None, &b""[..]));
    }
}
