//! Packs entries into a block payload. See `docs/format.md`, section 5.2.

use crate::format::varint::{self, MAX_VARINT_BYTES};
use crate::key::common_prefix;
use crate::types::Trailer;

/// Bytes of one restart: where its head and its value begin.
pub(crate) const RESTART_BYTES: usize = 8;

/// Builds one payload after the other in the same memory.
pub(crate) struct BlockBuilder {
    /// Entries per restart.
    interval: usize,
    heads: Vec<u8>,
    values: Vec<u8>,
    /// Where head and value of each restart begin, each in its own part.
    restarts: Vec<(u32, u32)>,
    /// Entries since the last restart.
    since_restart: usize,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    /// A builder whose blocks have a restart at every `interval`th entry.
    pub(crate) fn new(interval: usize) -> Self {
        Self {
            interval,
            heads: Vec::new(),
            values: Vec::new(),
            restarts: Vec::new(),
            since_restart: 0,
            last_key: Vec::new(),
        }
    }

    /// Appends an entry, which must come after the one before.
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        let restart = self.restarts.is_empty() || self.since_restart == self.interval;
        if restart {
            self.restarts.push((self.heads.len() as u32, self.values.len() as u32));
            self.since_restart = 0;
        }
        let shared = if restart { 0 } else { common_prefix(&self.last_key, key) };
        varint::put(&mut self.heads, shared as u64);
        varint::put(&mut self.heads, (key.len() - shared) as u64);
        varint::put(&mut self.heads, value.len() as u64);
        varint::put(&mut self.heads, trailer.raw());
        self.heads.extend_from_slice(&key[shared..]);
        self.values.extend_from_slice(value);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.since_restart += 1;
    }

    /// The key added last, in this block or the one before; empty at the start.
    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Whether nothing was added since the block was begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.restarts.is_empty()
    }

    /// Bytes of the payload if it were finished now.
    pub(crate) fn len(&self) -> usize {
        self.heads.len() + self.values.len() + self.restarts.len() * RESTART_BYTES + 4
    }

    /// At most this many bytes more after an entry of this size was added.
    pub(crate) fn entry_bound(key: &[u8], value: &[u8]) -> usize {
        // Two lengths of a key, one of a value, a trailer and a restart.
        2 * 2 + 4 + MAX_VARINT_BYTES + RESTART_BYTES + key.len() + value.len()
    }

    /// The finished payload. Call [`Self::begin`] before adding to the next.
    pub(crate) fn finish(&mut self) -> &[u8] {
        let values_start = self.heads.len() as u32;
        let payload = &mut self.heads;
        payload.append(&mut self.values);
        for (head, value) in &self.restarts {
            payload.extend_from_slice(&head.to_le_bytes());
            payload.extend_from_slice(&(values_start + value).to_le_bytes());
        }
        payload.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        payload
    }

    /// Begins the next block.
    pub(crate) fn begin(&mut self) {
        self.heads.clear();
        self.values.clear();
        self.restarts.clear();
        self.since_restart = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Kind, Seq};

    #[test]
    fn a_payload_is_laid_out_as_documented() {
        let mut builder = BlockBuilder::new(2);
        for (key, seq, kind, value) in [
            ("apple", 3, Kind::Put, "red"),
            ("apply", 100, Kind::Delete, ""),
            ("banana", 1, Kind::Put, "yellow"),
        ] {
            builder.add(key.as_bytes(), Trailer::new(Seq::new(seq).unwrap(), kind), value.as_bytes());
        }
        let mut expected = b"\x00\x05\x03\x0Capple".to_vec();
        expected.extend_from_slice(b"\x04\x01\x00\x91\x03y");
        expected.extend_from_slice(b"\x00\x06\x06\x04banana");
        expected.extend_from_slice(b"redyellow");
        expected.extend_from_slice(&[0, 0, 0, 0, 25, 0, 0, 0, 15, 0, 0, 0, 28, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(builder.len(), expected.len());
        assert_eq!(builder.finish(), expected);
        builder.begin();
        assert!(builder.is_empty());
        assert_eq!(builder.last_key(), b"banana");
    }
}
