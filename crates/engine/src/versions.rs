//! Versions of records packed into one buffer.

use std::fmt;

use fountain_lsm::Seq;

use crate::keys;
use crate::keyspace::CollectionId;

/// Value length of a deletion.
const DELETED: u32 = u32::MAX;

/// The collection number of what is said of the version before: the document that it replaced or deleted.
const PREVIOUS: u32 = 0;
/// The collection number of what is said of the version before: the document meets conditions no longer that it did before.
const LEAVES: u32 = 1;

/// A run of versions: for each `u64` sequence, `u32` collection, `u32` key length, `u32` document length or `0xFFFFFFFF`
/// for a deletion (all little-endian), encoded key, document with its codec byte first.
///
/// What a watcher is told beside a version follows it in the same form, with an empty key and a number that no collection has: 0
/// with the document before it, 1 if it no longer meets the conditions of the watch.
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

    /// The same, taken.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
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
        self.entries().filter_map(|(seq, number, key, document)| {
            CollectionId::new(number).map(|collection| (seq, collection, key, document))
        })
    }

    /// The changes that a watcher is told.
    pub fn changes(&self) -> impl Iterator<Item = Told<'_>> {
        let mut entries = self.entries().peekable();
        std::iter::from_fn(move || {
            let (seq, number, key, document) = entries.next()?;
            let collection = CollectionId::new(number)?;
            let mut told = Told { seq, collection, key, document, previous: None, leaves: false };
            while let Some((_, said, _, previous)) = entries.next_if(|(_, number, ..)| *number <= LEAVES) {
                match said {
                    PREVIOUS => told.previous = previous,
                    _ => told.leaves = true,
                }
            }
            Some(told)
        })
    }

    fn entries(&self) -> impl Iterator<Item = (Seq, u32, &[u8], Option<&[u8]>)> {
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
            Some((seq, u32::from_le_bytes(*collection), key, value_len.map(|_| value)))
        })
    }

    /// Removes all versions.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.versions = 0;
        self.last = None;
    }

    /// Removes the versions of commits up to one, if they are in the order of commits, with what is said beside them.
    pub(crate) fn forget(&mut self, upto: Seq) {
        let gone = self.entries().take_while(|(seq, ..)| *seq <= upto);
        let (bytes, versions) = gone.fold((0, 0), |(bytes, versions), (_, number, key, value)| {
            let size = Self::HEADER + key.len() + value.map_or(0, <[u8]>::len);
            (bytes + size, versions + usize::from(CollectionId::new(number).is_some()))
        });
        self.bytes.drain(..bytes);
        self.versions -= versions;
        if self.versions == 0 {
            self.last = None;
        }
    }

    /// Appends a version. Both lengths are far below 2^32: storage refuses larger ones.
    pub(crate) fn push(&mut self, seq: Seq, collection: CollectionId, key: &[u8], value: Option<&[u8]>) {
        self.versions += 1;
        self.push_entry(seq, collection.get(), key, value);
        self.last = Some((collection, key.to_vec()));
    }

    /// Says of the last version which document it replaced or deleted.
    pub(crate) fn push_previous(&mut self, seq: Seq, document: &[u8]) {
        self.push_entry(seq, PREVIOUS, &[], Some(document));
    }

    /// Says of the last version that it no longer meets conditions.
    pub(crate) fn push_leaves(&mut self, seq: Seq) {
        self.push_entry(seq, LEAVES, &[], None);
    }

    fn push_entry(&mut self, seq: Seq, number: u32, key: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(&seq.get().to_le_bytes());
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        let value_len = value.map_or(DELETED, |value| value.len() as u32);
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }
}

/// A change as a watcher is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// The commit that made it.
    pub seq: Seq,
    /// The collection.
    pub collection: CollectionId,
    /// The encoded key; empty where the collection was dropped.
    pub key: &'a [u8],
    /// The document, unless it was deleted.
    pub document: Option<&'a [u8]>,
    /// The document before it, if there was one and it is wanted.
    pub previous: Option<&'a [u8]>,
    /// Whether the document no longer meets the conditions of the watch, which it did before.
    pub leaves: bool,
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
        page.push_leaves(Seq::MAX);
        page.push_previous(Seq::MAX, b"\x02w");
        assert_eq!(page.versions().collect::<Vec<_>>(), expected);
        let told: Vec<_> = page.changes().map(|told| (told.seq, told.previous, told.leaves)).collect();
        assert_eq!(told, [(seven, None, false), (Seq::MAX, Some(&b"\x02w"[..]), true)]);
        page.forget(seven);
        assert_eq!(page.versions().collect::<Vec<_>>(), expected[1..]);
        assert_eq!((page.len(), page.changes().next().is_some_and(|told| told.leaves)), (1, true));
        page.clear();
        assert_eq!((page.len(), page.after_last(), page.bytes()), (0, None, &b""[..]));
    }
}
