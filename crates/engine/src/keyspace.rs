//! Which part of storage belongs to whom: every storage key begins with a big-endian keyspace id
//! (`docs/format.md` §6.1), so that a collection's records lie together and in the order of their keys.

use std::fmt;

use fountain_lsm::KeyRange;

use crate::limits::KEYSPACE_BYTES;

/// Storage keys up to this length are built on the stack.
const SHORT_KEY_BYTES: usize = 64;

/// Keyspace of the catalog.
pub(crate) const CATALOG: [u8; KEYSPACE_BYTES] = 0u32.to_be_bytes();
/// Keyspace of the shapes of records.
pub(crate) const SHAPES: [u8; KEYSPACE_BYTES] = 1u32.to_be_bytes();

/// The keys of what the store keeps for itself.
pub(crate) fn own_keys() -> KeyRange {
    KeyRange { start: Vec::new(), end: Some(CollectionId::FIRST.prefix().to_vec()) }
}

/// The keys of keyspaces that are kept for later versions.
pub(crate) fn unknown_keys() -> KeyRange {
    KeyRange { start: 2u32.to_be_bytes().to_vec(), ..own_keys() }
}

/// A storage key that is put together for one read and not on the heap unless it is long.
pub(crate) struct StorageKey {
    short: [u8; SHORT_KEY_BYTES],
    /// How much of `short` is the key.
    len: usize,
    /// The whole key instead.
    long: Option<Vec<u8>>,
}

impl StorageKey {
    /// The key `key` in the keyspace that begins with `prefix`.
    #[inline]
    pub fn new(prefix: [u8; KEYSPACE_BYTES], key: &[u8]) -> Self {
        let (mut short, len) = ([0; SHORT_KEY_BYTES], KEYSPACE_BYTES + key.len());
        let Some(full) = short.get_mut(..len) else {
            return Self { short, len: 0, long: Some([&prefix[..], key].concat()) };
        };
        full[..KEYSPACE_BYTES].copy_from_slice(&prefix);
        full[KEYSPACE_BYTES..].copy_from_slice(key);
        Self { short, len, long: None }
    }

    /// The key.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.long.as_deref().unwrap_or(&self.short[..self.len])
    }
}

/// A collection of one store: the id of its keyspace. Ids begin at [`CollectionId::FIRST`] and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(u32);

impl CollectionId {
    /// The id of a store's first collection. The keyspaces below are the store's own.
    pub const FIRST: Self = Self(16);

    /// A collection id from its number, as [`CollectionId::get`] gave it. `None` for the store's own keyspaces.
    pub const fn new(number: u32) -> Option<Self> {
        if number >= Self::FIRST.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// What every storage key of the collection begins with.
    pub(crate) const fn prefix(self) -> [u8; KEYSPACE_BYTES] {
        self.0.to_be_bytes()
    }

    /// The collection whose record has this storage key; `None` for what is not a record.
    pub(crate) fn of_storage_key(key: &[u8]) -> Option<Self> {
        key.first_chunk().and_then(|prefix| Self::new(u32::from_be_bytes(*prefix)))
    }

    /// Gives `work` the storage key of a record, which is not put on the heap unless it is long.
    #[inline]
    pub(crate) fn with_storage_key<R>(self, key: &[u8], work: impl FnOnce(&[u8]) -> R) -> R {
        work(StorageKey::new(self.prefix(), key).bytes())
    }

    /// The storage key of a record.
    pub(crate) fn storage_key(self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(KEYSPACE_BYTES + key.len());
        full.extend_from_slice(&self.prefix());
        full.extend_from_slice(key);
        full
    }

    /// The storage keys of the records in `range`.
    pub(crate) fn storage_range(self, range: &KeyRange) -> KeyRange {
        let end = match &range.end {
            Some(end) => Some(self.storage_key(end)),
            None => self.0.checked_add(1).map(|next| next.to_be_bytes().to_vec()),
        };
        KeyRange { start: self.storage_key(&range.start), end }
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyspaces_of_the_store_itself_are_not_collections() {
        assert_eq!(CollectionId::new(15), None);
        assert_eq!(CollectionId::new(16), Some(CollectionId::FIRST));
    }

    #[test]
    fn a_storage_key_is_the_same_on_the_stack_and_on_the_heap() {
        let collection = CollectionId::new(0x0102_0304).unwrap();
        for length in [0, 1, SHORT_KEY_BYTES - KEYSPACE_BYTES, SHORT_KEY_BYTES, 4096] {
            let key = vec![7; length];
            assert_eq!(collection.with_storage_key(&key, <[u8]>::to_vec), collection.storage_key(&key));
        }
    }

    #[test]
    fn an_open_range_ends_with_the_collection() {
        for number in [16, 0xFF, 0xFFFF, u32::MAX] {
            let collection = CollectionId::new(number).unwrap();
            let range = collection.storage_range(&KeyRange::default());
            assert!(range.contains(&collection.storage_key(b"")));
            assert!(range.contains(&collection.storage_key(&[0xFF; 40])));
            if let Some(next) = number.checked_add(1) {
                assert!(!range.contains(&CollectionId(next).storage_key(b"")));
            }
            assert!(!range.contains(&CollectionId(number - 1).storage_key(&[0xFF; 40])));
        }
    }

    #[test]
    fn a_bounded_range_keeps_its_bounds() {
        let collection = CollectionId::FIRST;
        let range = collection.storage_range(&KeyRange { start: b"b".to_vec(), end: Some(b"d".to_vec()) });
        assert!(
            range.contains(&collection.storage_key(b"b")) && !range.contains(&collection.storage_key(b"d"))
        );
    }
}
