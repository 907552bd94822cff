//! Records packed into one buffer, so that a scan crosses into another language once per page, not once per record.

use std::fmt;

/// A run of records: for each, `u32` key length, `u32` document length (both little-endian), encoded key, document
/// with its codec byte first. Reuse one page for a whole scan: clearing keeps its memory.
#[derive(Clone, Default)]
pub struct Page {
    bytes: Vec<u8>,
    records: usize,
    /// Where the last record begins.
    last: usize,
}

const HEADER: usize = 8;

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records as packed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records as packed, without copying.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The records: encoded key, document with its codec byte first.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (key, document, after) = split_record(rest)?;
            rest = after;
            Some((key, document))
        })
    }

    /// Encoded key of the last record.
    pub fn last_key(&self) -> Option<&[u8]> {
        split_record(self.bytes.get(self.last..)?).map(|(key, _, _)| key)
    }

    /// Removes all records.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
        self.last = 0;
    }

    /// Appends a record. Both lengths are far below 2^32: storage refuses larger ones.
    pub fn push(&mut self, key: &[u8], document: &[u8]) {
        self.last = self.bytes.len();
        self.records += 1;
        self.bytes.reserve(HEADER + key.len() + document.len());
        self.bytes.extend_from_slice(&header(key.len(), document.len()));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(document);
    }

    /// As [`Self::push`], with a document that `append` writes behind what the page has. If that fails, the page stays as it was.
    pub(crate) fn push_with<E>(
        &mut self,
        key: &[u8],
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&header(key.len(), 0));
        self.bytes.extend_from_slice(key);
        let document = self.bytes.len();
        if let Err(error) = append(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let header = header(key.len(), self.bytes.len() - document);
        self.bytes[start..start + HEADER].copy_from_slice(&header);
        self.last = start;
        self.records += 1;
        Ok(())
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({} records, {} bytes)", self.records, self.bytes.len())
    }
}

/// What stands before the key.
#[inline]
fn header(key_len: usize, document_len: usize) -> [u8; HEADER] {
    (key_len as u64 | (document_len as u64) << 32).to_le_bytes()
}

/// Key and document of the first packed record, and what follows it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key_len, rest) = bytes.split_first_chunk()?;
    let (document_len, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
    let (document, rest) = rest.split_at_checked(u32::from_le_bytes(*document_len) as usize)?;
    Some((key, document, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_packed() {
        let mut page = Page::new();
        assert_eq!((page.last_key(), page.records().count()), (None, 0));
        page.push(b"ab", b"\x01x");
        page.push(b"c", b"\x01");
        assert_eq!(page.bytes(), b"\x02\0\0\0\x02\0\0\0ab\x01x\x01\0\0\0\x01\0\0\0c\x01");
        let records: Vec<_> = page.records().collect();
        assert_eq!(records, [(&b"ab"[..], &b"\x01x"[..]), (b"c", b"\x01")]);
        assert_eq!((page.len(), page.last_key()), (2, Some(&b"c"[..])));

        let written = page.clone();
        let refused = page.push_with(b"d", |out| {
            out.extend_from_slice(b"part");
            Err("no")
        });
        assert_eq!((refused, page.bytes(), page.len()), (Err("no"), written.bytes(), 2));
        let append = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"\x01yz");
            Ok::<(), ()>(())
        };
        page.push_with(b"d", append).unwrap();
        assert_eq!(page.records().last(), Some((&b"d"[..], &b"\x01yz"[..])));
        assert_eq!((page.len(), page.last_key()), (3, Some(&b"d"[..])));

        page.clear();
        assert_eq!((page.len(), page.last_key(), page.bytes()), (0, None, &b""[..]));
    }
}
